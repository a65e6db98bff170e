// view_dead.js: dead letters: calls that were given up. Shows why, sends them again, or drops them.
import { post, pathOf } from './api.js';
import { foreign, foreignBlock, h, plain, toast } from './dom.js';
import { bytes, count, time } from './format.js';
import { now } from './live.js';
import { ask } from './dialogs.js';
import { agentLink, empty, facts, head, methodName, table } from './parts.js';
import { to } from './router.js';

const LIMIT = 200;

function retry(letter, onDone) {
    ask({
        title: 'Send this call again?', button: 'Send again', danger: false, text: ['It becomes a new call without a caller, behind the calls that its agent has by now. The letter is removed: ', foreign(letter.call || letter.id)],
        f: async () => {
            const { call_ids } = await post(pathOf('dead', letter.id, 'retry'));
            toast(`It was sent again as call ${(call_ids || []).join(', ')}.`);
            onDone();
        },
    });
}

function drop(letter, onDone) {
    ask({
        title: 'Drop this letter?', button: 'Drop it', text: ['It is removed for good: ', foreign(letter.call || letter.id)],
        f: async () => {
            await post(pathOf('dead', letter.id, 'drop'));
            toast('The letter is dropped.');
            onDone();
        },
    });
}

function buttons(letter, onDone) {
    return h('span', { class: 'actions' }, h('button', { type: 'button', class: 'small', onclick: () => retry(letter, onDone) }, 'Retry'),
        h('button', { type: 'button', class: 'small danger', onclick: () => drop(letter, onDone) }, 'Drop'));
}

function mountList(ctx) {
    let answer = null;
    const draw = () => ctx.show(head('Dead letters', { more: h('span', { class: 'quiet' }, 'calls that were given up: they killed their workers, Redis refused their commits, or they could not be decoded') }),
        h('section', { class: 'card', 'aria-label': 'Dead letters' }, answer === null ? h('p', { class: 'quiet' }, 'Loading …') : answer.letters.length === 0
            ? empty('There is no dead letter', 'No call was given up.')
            : [table({
                caption: 'Dead letters, newest first', rows: answer.letters, key: l => l.id,
                columns: [
                    { label: 'When', tight: true, of: l => time(l.time_ms, now()) }, { label: 'Call', of: l => h('a', { href: to('dead', l.id), 'data-letter': plain(l.id) }, foreign(l.call || l.id)) },
                    { label: 'Why', of: l => foreign(l.reason || '') }, { label: 'Attempts', num: true, of: l => count(l.attempts) }, { label: 'Given up by', of: l => foreign(l.worker || '') },
                    ...(ctx.writes ? [{ label: '', bare: true, of: l => buttons(l, read) }] : []),
                ],
            }), answer.more ? h('p', { class: 'quiet' }, `The newest ${LIMIT}.`) : null]));
    const read = ctx.poll(3000, async () => {
        answer = await ctx.get('/api/dead', { limit: LIMIT });
        draw();
    });
    draw();
}

function jobs(letter) {
    return (letter.jobs || []).map(j => h('section', { class: 'card' }, h('h2', null, j.class ? methodName(j.class, j.method) : foreign(j.method || j.kind || 'a job', 'mono')),
        facts([['Kind', foreign(j.kind || '')], j.agent ? ['Agent', agentLink(j.agent)] : null]), j.args === undefined || j.args === null ? null : [h('h3', null, 'Arguments'), foreignBlock(typeof j.args === 'string' ? j.args : JSON.stringify(j.args, (k, v) => typeof v === 'bigint' ? String(v) : v, 2))]));
}

// A letter's call is not under way any more: its trace and its failures tell more, where they are kept.
function related(letter, trace) {
    const agent = letter.jobs?.find(j => j.agent)?.agent;
    return [letter.call_id ? foreign(letter.call_id, 'mono') : 'unknown',
        trace ? [' ', h('a', { href: to('traces', trace) }, 'its trace')] : null,
        agent ? [' ', h('a', { href: to('failures', null, { agent }) }, 'failures of its agent')] : null];
}

function about(ctx, l, trace) {
    return h('section', { class: 'card' }, h('h2', null, 'About it'), facts([['Letter', foreign(ctx.id, 'mono')], ['When', time(l.time_ms, now())], ['Attempts', count(l.attempts)],
        l.worker ? ['Given up by', [foreign(l.worker), h('span', { class: 'quiet' }, ', the worker process that had it last; another one is named above if that has died of it')]] : null,
        ['Call', related(l, trace)], ['Size', bytes(l.batch_bytes)]]));
}

function mountLetter(ctx) {
    let trace;
    ctx.show(head('Dead letter'), h('p', { class: 'quiet' }, 'Loading …'));
    ctx.poll(10000, async () => {
        try {
            const l = await ctx.get(pathOf('dead', ctx.id));
            const back = () => { location.hash = to('dead'); };
            if (trace === undefined)
                trace = ctx.session.traces && l.call_id ? (await ctx.get('/api/traces', { call: l.call_id, limit: 1 })).traces[0]?.trace_id ?? null : null;
            ctx.show(head(['Dead letter: ', foreign(l.call || ctx.id)], { end: ctx.writes ? buttons({ ...l, id: ctx.id }, back) : [] }),
                h('div', { class: 'note bad' }, h('strong', null, 'Why: '), foreign(l.reason || 'not told')), about(ctx, l, trace),
                l.error ? h('section', { class: 'card' }, h('h2', null, 'It cannot be decoded'), foreignBlock(l.error), l.batch_head ? foreignBlock(l.batch_head) : null) : null, jobs(l));
        } catch (error) {
            if (error.status !== 404)
                throw error;
            ctx.show(head('Dead letter'), h('div', { class: 'card' }, empty('There is no such letter', 'It was sent again, or dropped.', h('a', { href: to('dead') }, 'All letters'))));
        }
    });
}

export default { title: 'Dead letters', mount: ctx => ctx.id === null ? mountList(ctx) : mountLetter(ctx) };
