// view_timers.js: timers of agents, those that are due first first; the table is also on the page of an agent.
import { post, pathOf } from './api.js';
import { foreign, h, toast } from './dom.js';
import { ago, clock, count, duration, time } from './format.js';
import { ask } from './dialogs.js';
import { now } from './live.js';
import { agentLink, callLink, empty, field, head, later, methodName, table } from './parts.js';
import { remember } from './router.js';

const PAGE = 100, MOST = 500;

// every 90 s, every 2 h
function interval(ms) {
    const [unit, size] = [['d', 86400000], ['h', 3600000], ['min', 60000], ['s', 1000], ['ms', 1]].find(([, n]) => Number(ms) % n === 0);
    return `every ${count(Number(ms) / size)} ${unit}`;
}

function schedule(timer) {
    if (timer.every_ms)
        return interval(timer.every_ms);
    if (timer.at_ms)
        return 'once';
    return [h('span', { class: 'mono' }, foreign(timer.cron || '?')), ' ', foreign(timer.zone || 'UTC')];
}

function due(timer) {
    const left = Number(timer.next_ms) - now();
    return [time(timer.next_ms, now()), ' ', h('span', { class: 'quiet' }, left >= 1000 ? `in ${duration(left)}` : left > -2000 ? 'now' : `late by ${duration(-left)}`)];
}

function last(timer) {
    return timer.last_ms ? [ago(timer.last_ms, now()), ' ', callLink(timer.last_call, 'its call')] : h('span', { class: 'quiet' }, 'not yet');
}

function remove(timer, onDone) {
    ask({
        title: ['Remove timer ', foreign(timer.name), '?'], button: 'Remove it',
        text: ['It calls ', foreign(timer.method), ' of agent ', foreign(timer.agent), ' no more, as soon as earlier calls to that agent have ended. Calls that it has made go on.'],
        f: async () => {
            await post(pathOf('agents', timer.agent, 'unschedule'), { name: timer.name });
            toast(`Timer ${timer.name} is removed.`);
            onDone();
        },
    });
}

const OVERLAP = { queue: 'waits', skip: 'left out', cancel: 'cancels it' };
const MISSED = { one: 'one call', all: 'each', skip: 'left out' };

// What a timer calls; with the beginning of its arguments, where there are any.
function calls(timer, cls) {
    const name = cls ? methodName(cls, timer.method) : h('span', { class: 'mono' }, foreign(timer.method || '?'));
    return timer.args ? [name, ' ', h('span', { class: 'quiet mono' }, foreign(timer.args.slice(0, 60)), timer.args_cut || timer.args.length > 60 ? ' …' : '')] : name;
}

export function timersTable(ctx, timers, { onDone, cls = null }) {
    return table({
        caption: 'Timers, those that are due first first', rows: timers, key: t => `${t.agent} ${t.name}`,
        columns: [
            { label: 'Next', of: due }, { label: 'Timer', of: t => foreign(t.name) }, ...(cls === null ? [{ label: 'Agent', of: t => agentLink(t.agent) }] : []),
            { label: 'Calls', of: t => calls(t, cls) }, { label: 'When', of: schedule }, { label: 'Last', of: last }, { label: 'Fired', num: true, of: t => count(t.fired) },
            { label: 'While the last one runs', title: 'What becomes of a call whose predecessor has not ended', of: t => OVERLAP[t.overlap] ?? 'unknown' },
            { label: 'Missed times', title: 'What becomes of times at which no worker was there', of: t => MISSED[t.missed] ?? 'unknown' },
            ...(ctx.writes ? [{ label: '', bare: true, of: t => h('button', { type: 'button', class: 'small danger', onclick: () => remove(t, onDone) }, 'Remove') }] : []),
        ],
    });
}

// The timers of an agent, for its page; `answer` may be an error.
export function timersCard(ctx, answer, cls, onDone) {
    return h('section', { class: 'card', 'aria-labelledby': 'timers' }, h('h2', { id: 'timers' }, 'Timers'),
        answer instanceof Error ? h('p', { class: 'quiet' }, 'They could not be read: ', foreign(answer.message), '.')
            : answer.timers.length ? [timersTable(ctx, answer.timers, { onDone, cls }), answer.next !== null ? h('p', { class: 'quiet' }, `The first ${count(answer.timers.length)}; there are more.`) : null]
                : h('p', { class: 'quiet' }, 'It has none.'));
}

export default {
    title: 'Timers',
    mount(ctx) {
        let rows = null, next = null, wanted = PAGE, search = 0, failed = false;
        let slow = null; // when a search was read that took several readings, and is not repeated by itself
        const input = (id, placeholder) => h('input', { id, type: 'search', value: ctx.params.get(id) || '', autocomplete: 'off', spellcheck: 'false', placeholder, 'data-keep': id });
        const prefix = input('prefix', 'the beginning of an id'), name = input('name', 'the beginning of a name');

        const list = () => rows.length ? [
            timersTable(ctx, rows, { onDone: again }),
            h('p', { class: 'quiet', role: 'status' }, `${count(rows.length)} shown${next === null ? ', no more' : ''}.`, slow === null ? '' : ` As of ${clock(slow)}: this search takes long, and is not made again by itself.`),
            next !== null && wanted < MOST ? h('button', { type: 'button', onclick: () => { wanted += PAGE; again(); } }, 'Show more') : null,
            next !== null && wanted >= MOST ? h('p', { class: 'quiet' }, 'Others are found by the beginnings of their names.') : null,
            slow !== null ? h('button', { type: 'button', onclick: again }, 'Search again') : null]
            : prefix.value || name.value ? empty('No timer is like this', 'Names are compared from their first letter, upper and lower case apart.')
                : empty('There is no timer', 'A method or a program sets one with asq_schedule, an operator with', h('code', null, 'as-ctl schedule AGENT NAME METHOD --every 1h'));
        const draw = () => ctx.show(
            head('Timers', { more: h('span', { class: 'quiet' }, 'calls of agents at a time, at intervals, or by a cron expression') }),
            h('form', { class: 'card filters', role: 'search', onsubmit: e => { e.preventDefault(); changed(); } }, field('Agent', prefix), field('Timer', name)),
            h('section', { class: 'card', 'aria-label': 'Timers found', 'aria-busy': String(rows === null && !failed) },
                rows !== null ? list() : h('p', { class: 'quiet' }, failed ? 'The search has failed.' : 'Searching …')));

        // A page of the server ends after a time: several are one search.
        const read = async () => {
            const mine = search, found = new Map();
            let from = null, readings = 0;
            if (slow !== null)
                return;
            try {
                do {
                    const answer = await ctx.get('/api/timers', { prefix: prefix.value, name: name.value, limit: wanted - found.size, from });
                    if (mine !== search)
                        return;
                    for (const t of answer.timers)
                        found.set(`${t.agent} ${t.name}`, t);
                    from = answer.next;
                    readings++;
                } while (from !== null && found.size < wanted);
            } catch (error) {
                failed = mine === search;
                draw();
                throw error;
            }
            rows = [...found.values()];
            next = from;
            failed = false;
            slow = readings > 1 ? now() : null;
            draw();
        };
        const poll = ctx.poll(3000, read);
        const again = () => {
            search++;
            slow = null;
            poll();
        };
        const changed = () => {
            remember('timers', null, { prefix: prefix.value, name: name.value });
            rows = null;
            failed = false;
            wanted = PAGE;
            draw();
            again();
        };
        prefix.oninput = name.oninput = later(changed);
        draw();
    },
};
