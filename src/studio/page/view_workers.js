// view_workers.js: the worker processes, what each does and owns, and partitions as they change hands.
import { post, pathOf } from './api.js';
import { foreign, h, plain, toast } from './dom.js';
import { ago, bytes, clock, count, duration, none, ranges, short, time } from './format.js';
import { live, now, on } from './live.js';
import { callLink, empty, head, heirs, meter, moved, table, tag } from './parts.js';
import { ask } from './dialogs.js';

const MOVED_MS = 10000;

// As many colours as needed, next to each other far apart in hue.
const colour = index => `hsl(${(211 + index * 137.5) % 360} 62% ${index % 2 ? 48 : 58}%)`;

function partitionsOf(workers) {
    const owner = new Map();
    for (const w of workers)
        for (const p of w.owns || [])
            owner.set(p, w.id);
    return owner;
}

function map(workers, colours, total) {
    const owner = partitionsOf(workers);
    const most = Math.max(total || 0, ...[...owner.keys()].map(p => p + 1), 0);
    if (most === 0)
        return null;
    const fresh = new Set(live.takeovers.filter(t => now() - t.time_ms < MOVED_MS).map(t => t.partition));
    const free = most - owner.size;
    return h('section', { class: 'card', 'aria-labelledby': 'partitions' },
        h('div', { class: 'title' }, h('h2', { id: 'partitions' }, 'Partitions'),
            h('span', { class: 'end quiet' }, `${count(owner.size)} of ${count(most)} have an owner`)),
        h('div', { class: 'cells', role: 'img', 'aria-label': `${owner.size} of ${most} partitions have an owner; each worker's are listed with it` },
            Array.from({ length: most }, (_, p) => h('i', {
                'data-key': p, class: `${owner.has(p) ? '' : 'free '}${fresh.has(p) ? 'moved' : ''}`.trim() || null,
                title: plain(`partition ${p}: ${owner.get(p) ?? 'nobody'}`), css: owner.has(p) ? { background: colours.get(owner.get(p)) } : {},
            }))),
        free > 0 ? h('p', { class: 'quiet' }, `${count(free)} wait for a worker (hatched).`) : null);
}

const state = w => !w.alive ? ['bad', 'gone'] : w.stopping ? ['warn', 'stopping'] : ['ok', 'alive'];

function figure(label, value) {
    return h('span', null, `${label} `, h('b', null, value));
}

// Lines of a worker about calls that take long: a call's id, its age, and what it does.
function stuck(w) {
    return h('div', { class: 'note warn stuck' }, h('strong', null, w.alive ? 'Under way for long:' : 'Was under way for long:'),
        h('ul', null, String(w.stuck).split('\n').filter(Boolean).map(line => {
            const [, id, seconds, rest] = /^(\d+-[0-9a-f]+-\d+) (\d+) s( .*)$/.exec(line) || [null, null, null, line];
            return h('li', null, id ? [callLink(id), ` ${duration(seconds * 1000)}`] : null, foreign(rest));
        })));
}

// Calls a second of each worker, also while another view is shown. A worker tells its number of calls with each
// heartbeat, so the rate is that between the last two numbers that came at different times.
const rates = new Map();
on(kind => {
    for (const w of kind === 'workers' ? live.workers : []) {
        const old = rates.get(w.id), at = Date.now();
        if (old && at - old.at < 900)
            continue;
        const same = old && old.pid === w.pid && w.calls >= old.calls;
        rates.set(w.id, { pid: w.pid, calls: w.calls, at, rate: same ? Number(w.calls - old.calls) / ((at - old.at) / 1000) : undefined });
    }
});

// Before there are two numbers of a worker, its average since it has begun.
function rateOf(w) {
    const rate = rates.get(w.id)?.rate;
    return rate !== undefined ? short(rate) : w.uptime_ms > 0 ? `${short(Number(w.calls) / (w.uptime_ms / 1000))} on average` : none;
}

function card(ctx, w, colours) {
    const [kind, text] = state(w);
    return h('section', { class: `card worker ${w.alive ? '' : 'dead'}`, 'data-key': w.id, 'data-worker': plain(w.id) },
        h('div', { class: 'title' }, h('i', { class: 'swatch', css: { background: colours.get(w.id) } }), h('h2', null, foreign(w.id)), tag(text, kind),
            ctx.writes && w.alive && !w.stopping ? h('span', { class: 'end' }, h('button', { type: 'button', class: 'small', onclick: () => stop(w) }, 'Stop')) : null),
        h('p', { class: 'quiet' }, w.host ? [foreign(w.host), ', '] : null, w.pid ? `pid ${w.pid}` : '', w.version ? [', version ', foreign(w.version)] : '',
            w.uptime_ms !== undefined ? `, up for ${duration(w.uptime_ms)}` : '', w.seen_ms !== undefined ? `, seen ${ago(0, w.seen_ms)}` : ''),
        h('div', { class: 'figures' },
            h('span', null, 'running ', h('b', null, count(w.running)), w.capacity ? [` of ${count(w.capacity)} `, meter(w.running || 0, w.capacity, `${w.running || 0} of ${w.capacity} places taken`)] : null),
            figure('parked', count(w.parked)), figure('waiting', count(w.waiting)), figure('calls/s', w.alive ? rateOf(w) : none),
            figure('calls', count(w.calls)), figure('failures', count(w.failures)), figure('agents', count(w.agents)), figure('memory', bytes(w.agent_bytes))),
        w.stuck ? stuck(w) : null,
        w.classes?.length ? h('p', { class: 'quiet' }, 'classes: ', w.classes.map((c, i) => [i ? ', ' : '', foreign(c)])) : null,
        h('p', { class: 'quiet' }, w.owns?.length ? `${count(w.owns.length)} partitions: ${ranges(w.owns)}` : 'owns no partition'));
}

function stop(w) {
    ask({
        title: ['Stop worker ', foreign(w.id), '?'], button: 'Stop it',
        text: 'It finishes its calls, hands its partitions over, and ends. Unless something starts it again, it stays away.',
        f: async () => {
            await post(pathOf('workers', w.id, 'stop'));
            toast(`Worker ${w.id} has been told to stop.`);
        },
    });
}

function deaths() {
    const list = live.overview?.deaths || [];
    if (list.length === 0)
        return null;
    return h('section', { class: 'card', 'aria-labelledby': 'deaths' },
        h('div', { class: 'title' }, h('h2', { id: 'deaths' }, 'Deaths'), h('span', { class: 'end quiet' }, 'of worker processes, in the last 24 hours')),
        table({
            caption: 'Worker processes that have died, newest first', rows: list, key: d => `${d.id} ${d.time_ms}`,
            columns: [
                { label: 'When', of: d => [time(d.time_ms, now()), h('span', { class: 'quiet' }, ` ${ago(d.time_ms, now())}`)] },
                { label: 'Worker', of: d => foreign(d.id) },
                { label: 'How', of: d => [foreign(d.how), d.heard_ms ? h('span', { class: 'quiet' }, ', then heard again') : null] },
                { label: 'Where', of: d => [d.host ? foreign(d.host) : none, d.pid === undefined ? '' : `, pid ${d.pid}`] },
                { label: 'Heirs', of: d => heirs(d).length ? heirs(d) : none },
            ],
        }));
}

function log() {
    return h('section', { class: 'card', 'aria-labelledby': 'log' }, h('h2', { id: 'log' }, 'Takeovers'),
        h('div', { role: 'log', 'aria-labelledby': 'log' }, h('ol', { class: 'takeovers', tabindex: 0, 'aria-label': 'Takeovers, newest first' }, live.takeovers.length === 0
            ? h('li', { class: 'quiet' }, 'None since as-studio began to look.')
            : live.takeovers.map(t => h('li', { 'data-key': t.seq, 'data-takeover': t.partition }, h('time', { class: 'mono quiet' }, clock(t.time_ms)),
                h('b', null, `partition ${t.partition}`), h('span', null, moved(t)))))));
}

export default {
    title: 'Workers',
    mount(ctx) {
        const colours = new Map();
        const draw = () => {
            const workers = [...(live.workers || [])].sort((a, b) => (b.alive - a.alive) || (a.id < b.id ? -1 : 1));
            for (const w of workers)
                if (!colours.has(w.id))
                    colours.set(w.id, colour(colours.size));
            if (!live.workers) {
                ctx.show(head('Workers'), h('p', { class: 'quiet' }, 'Waiting for the first figures …'));
                return;
            }
            ctx.show(head('Workers', { more: h('span', { class: 'quiet' }, `${count(workers.filter(w => w.alive).length)} alive of ${count(workers.length)}`) }),
                workers.length === 0 ? h('div', { class: 'card' }, empty('There is no worker', 'Calls wait in Redis until one is started.', h('code', null, 'as-worker --agent-dir DIR'))) : null,
                map(workers, colours, live.overview?.partitions?.total),
                deaths(), h('div', { class: 'workers' }, workers.map(w => card(ctx, w, colours))), log());
        };
        ctx.on(kind => {
            if (kind === 'workers' || kind === 'takeover')
                draw();
        });
        draw();
    },
};
