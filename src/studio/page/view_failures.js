// view_failures.js: which methods fail with what, and the last failed runs of calls.
import { foreign, foreignBlock, h, plain } from './dom.js';
import { ago, count, plural, time } from './format.js';
import { now } from './live.js';
import { agentLink, callLink, empty, field, head, later, methodName, tag } from './parts.js';
import { remember } from './router.js';

const LIMIT = 200;

export function failuresList(failures) {
    return h('div', { class: 'failures' }, failures.map(f => h('details', { class: 'failure', 'data-key': f.id, 'data-failure': plain(f.agent || '') },
        h('summary', null, h('time', { class: 'quiet' }, time(f.time_ms, now())), ' ', methodName(f.class, f.method), ' of ', f.agent ? foreign(f.agent) : 'nobody', ' ',
            tag(foreign(f.code), 'bad'), f.again ? tag('run again', 'warn') : null, ' ', foreign(String(f.message || '').slice(0, 160))),
        h('div', { class: 'span-detail stack' }, foreignBlock(f.message || ''),
            h('p', { class: 'quiet' }, 'agent ', agentLink(f.agent), ', call ', f.call_id ? callLink(f.call_id) : 'unknown', `, attempt ${count(f.attempt)}`, f.worker ? [', worker ', foreign(f.worker)] : '', `, partition ${count(f.partition)}, number ${f.number}`),
            f.args === null || f.args === undefined ? h('p', { class: 'quiet' }, 'Its arguments were not kept.') : [h('h3', null, 'Arguments'), foreignBlock(f.args)]))));
}

function summaryTable({ kinds, counted, more }, choose) {
    const most = Math.max(1, ...kinds.map(x => x.count));
    return [h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Failures by method and code' }, h('table', { class: 'cards' }, h('caption', { class: 'sr' }, 'Failures by method and code'),
        h('thead', null, h('tr', null, ['Method', 'Code', 'Last', 'Kept', ''].map(x => h('th', { scope: 'col', class: x === 'Kept' ? 'num' : null }, x || h('span', { class: 'sr' }, 'Share'))))),
        h('tbody', null, kinds.slice(0, 50).map(x => h('tr', { 'data-key': `${x.class} ${x.method} ${x.code}`, 'data-summary': plain(`${x.class}.${x.method}`) },
            h('td', { 'data-label': 'Method' }, h('div', { class: 'cell' }, h('button', { type: 'button', class: 'plain', title: 'Only these', onclick: () => choose(x) }, methodName(x.class, x.method)))),
            h('td', { 'data-label': 'Code' }, h('div', { class: 'cell' }, tag(foreign(x.code), 'bad'))),
            h('td', { 'data-label': 'Last', class: 'tight' }, ago(x.last_ms, now())),
            h('td', { 'data-label': 'Kept', class: 'num' }, count(x.count)),
            h('td', { 'data-label': 'Share' }, h('span', { class: 'bar', role: 'img', 'aria-label': plural(x.count, 'failure') }, h('i', { class: 'fails', css: { width: `${x.count / most * 100}%` } })))))))),
    more ? h('p', { class: 'quiet', 'data-more': counted }, `Of the newest ${count(counted)}; more than ${count(counted)} are kept.`) : null,
    kinds.length > 50 ? h('p', { class: 'quiet' }, `The first 50 of ${count(kinds.length)} kinds.`) : null];
}

export default {
    title: 'Failures',
    mount(ctx) {
        const names = { class: 'Class', method: 'Method', agent: 'Agent', code: 'Code' };
        const inputs = Object.fromEntries(Object.keys(names).map(name => [name,
            h('input', { id: name, type: 'search', value: ctx.params.get(name) || '', autocomplete: 'off', spellcheck: 'false', 'data-keep': name })]));
        let found = null, summary = null;
        const filters = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
        const draw = () => ctx.show(
            head('Failures', { more: h('span', { class: 'quiet' }, 'the last failed runs of calls, which workers keep for 7 days') }),
            summary?.kinds.length ? h('section', { class: 'card', 'aria-labelledby': 'summary' }, h('h2', { id: 'summary' }, 'What fails most'), summaryTable(summary, x => {
                for (const name of ['class', 'method', 'code'])
                    inputs[name].value = x[name] || '';
                changed();
            })) : null,
            h('form', { class: 'card filters', role: 'search', onsubmit: e => e.preventDefault() }, Object.entries(inputs).map(([name, input]) => field(names[name], input)),
                Object.values(filters()).some(Boolean) ? h('button', { type: 'button', onclick: () => { for (const i of Object.values(inputs)) i.value = ''; changed(); } }, 'Show all') : null),
            h('section', { class: 'card', 'aria-label': 'Failures found' }, found === null ? h('p', { class: 'quiet' }, 'Loading …')
                : found.failures.length ? [failuresList(found.failures), found.more ? h('p', { class: 'quiet' }, `The newest ${LIMIT}.`) : null]
                    : Object.values(filters()).some(Boolean) ? empty('No such failure is kept') : empty('Nothing has failed', 'Each failed run of a call would be here, with its message and arguments.')));
        const read = ctx.poll(3000, async () => {
            [found, summary] = await Promise.all([ctx.get('/api/failures', { ...filters(), limit: LIMIT }), ctx.get('/api/failures/summary')]);
            draw();
        });
        const changed = () => {
            remember('failures', null, filters());
            read();
        };
        for (const input of Object.values(inputs))
            input.oninput = later(changed);
        draw();
    },
};
