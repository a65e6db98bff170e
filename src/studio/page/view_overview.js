// view_overview.js: is it well, and if not, what is slow or stuck, and why.
import { attention, timed } from './attention.js';
import { Chart } from './chart.js';
import { foreign, h, keep } from './dom.js';
import { bytes, clock, count, duration, none, short } from './format.js';
import { live, now } from './live.js';
import { choice, empty, head, methodName, moved, table } from './parts.js';
import { to } from './router.js';
import { BEGUN } from './view_calls.js';
import { learn } from './why.js';

const KEEP = 600; // samples of our own, where the server has no history
const SINCE_MS = 15 * 60 * 1000;
const READINGS = { waits: 'Waits', running: 'Running calls', summary: 'Failures', letters: 'Dead letters' };
const MINUTE = 60000, DAY = 86400000;

function tile(label, value, more, { href = null, kind = '' } = {}) {
    const name = label.toLowerCase().replace(/[^a-z]+/g, '-');
    return h(href ? 'a' : 'div', { class: `tile ${kind}`, href, 'data-tile': name },
        h('span', { class: 'label' }, label), h('span', { class: 'value' }, value), h('span', { class: 'more' }, more || ''));
}

function tiles(o) {
    const age = o.stats?.now?.oldest_waiting_ms;
    const full = o.capacity > 0 && o.running >= o.capacity;
    return h('section', { class: 'tiles', 'aria-label': 'Figures of the moment' },
        tile('Calls', `${short(o.calls_per_s)}/s`, `${count(o.calls)} since the workers began`),
        tile('Failures', `${short(o.failures_per_s)}/s`, `${count(o.failures)} in all`, { href: to('failures'), kind: o.failures_per_s > 0 ? 'bad' : '' }),
        tile('Running', count(o.running), `of ${count(o.capacity)} places`, { href: to('calls', null, { state: 'running' }), kind: full ? 'warn' : '' }),
        tile('Waiting', count(o.waiting), age > 0 ? `the oldest for ${duration(age)}` : 'to begin', { href: to('calls', null, { state: 'waiting' }), kind: age > 5000 ? 'warn' : '' }),
        tile('Parked', count(o.parked), 'wait for others or for time', { href: to('waits') }),
        tile('Dead letters', count(o.dead_letters) + (o.dead_letters_more ? '+' : ''), 'calls given up', { href: to('dead'), kind: o.dead_letters > 0 ? 'bad' : '' }),
        tile('Workers', count(o.workers?.alive), o.workers?.dead ? `${count(o.workers.dead)} gone` : `${count(o.partitions?.owned)} of ${count(o.partitions?.total)} partitions owned`,
            { href: to('workers'), kind: o.workers?.dead || o.workers?.alive === 0 ? 'bad' : '' }),
        tile('Agents', count(o.agents), `${count(o.agents_in_memory)} in memory, ${bytes(o.agent_bytes)}`, { href: to('agents') }),
        tile('Redis', o.redis?.up ? duration(o.redis.ping_ms) : 'away', o.redis?.up ? 'for an answer' : '', { kind: o.redis?.up ? '' : 'bad' }));
}

// The phases of a method's calls, at the median, as one bar.
function phases(m) {
    const parts = [['queue', m.queue], ['run', m.run], ['park', m.parked], ['commit', m.commit]].map(([c, x]) => [c, x?.p50_ms || 0]);
    const all = parts.reduce((n, [, ms]) => n + ms, 0);
    return h('span', { class: 'bar', role: 'img', 'aria-label': parts.map(([c, ms]) => `${c} ${duration(ms)}`).join(', ') },
        parts.map(([c, ms]) => h('i', { class: c, css: { width: `${all ? ms / all * 100 : 0}%` } })));
}

const p99 = phase => m => m[phase]?.p99_ms ?? null;

function methodsTable(methods, sort, onSort) {
    const timed = (label, phase, title) => ({ label, num: true, title, of: m => duration(p99(phase)(m)), sort: p99(phase) });
    return table({
        caption: 'Methods, with where their calls spend their time', rows: methods, key: m => `${m.class}.${m.method}`, sort, onSort,
        columns: [
            { label: 'Method', of: m => h('a', { href: to('classes', m.class) }, methodName(m.class, m.method)), sort: m => `${m.class}.${m.method}` },
            { label: 'Calls/s', num: true, of: m => short(m.rate), sort: m => m.rate },
            { label: 'Failed', num: true, of: m => m.failed ? h('a', { href: to('failures', null, { class: m.class, method: m.method }) }, count(m.failed)) : '0', sort: m => m.failed },
            timed('Queue', 'queue', '99 of 100 calls begin earlier'), timed('Run', 'run', '99 of 100 calls run shorter'),
            timed('Parked', 'parked', '99 of 100 calls wait shorter'), timed('Commit', 'commit', '99 of 100 commits are faster'),
            { label: 'Where the time goes', of: phases },
        ],
    });
}

function takeovers() {
    const list = live.takeovers.slice(0, 30);
    return h('section', { class: 'card', 'aria-labelledby': 'takeovers' },
        h('div', { class: 'title' }, h('h2', { id: 'takeovers' }, 'Takeovers'), h('span', { class: 'end quiet' }, 'of partitions, as they happen')),
        list.length === 0 ? h('p', { class: 'quiet' }, 'None since as-studio began to look.')
            : h('ol', { class: 'takeovers', tabindex: 0, 'aria-label': 'Takeovers, newest first' }, list.map(t => h('li', { 'data-key': t.seq },
                h('time', { class: 'mono quiet' }, clock(t.time_ms)), h('span', null, `partition ${t.partition}`),
                h('span', null, moved(t))))));
}

class Charts {
    constructor(signal) {
        const make = (title, series) => new Chart({ title, series, signal });
        const time = x => duration(x), rate = x => x === null ? none : short(x);
        this.rate = make('Calls a second', [{ label: 'calls', colour: '--run', format: rate, fill: true }, { label: 'failed', colour: '--bad', format: rate }]);
        this.latency = make('Latency', [
            { label: 'queue p99', colour: '--queue', format: time }, { label: 'run p99', colour: '--run', format: time },
            { label: 'parked p99', colour: '--park', format: time }, { label: 'commit p99', colour: '--commit', format: time }]);
        this.age = make('Age of the oldest waiting call', [{ label: 'age', colour: '--queue', format: time, fill: true }]);
        this.work = make('Calls in hand', [
            { label: 'running', colour: '--run', format: rate }, { label: 'waiting', colour: '--queue', format: rate }, { label: 'parked', colour: '--park', format: rate }]);
        this.all = [this.rate, this.latency, this.age, this.work];
        this.own = [];
    }

    // points of asq_stats
    history(points, step_ms) {
        const of = name => points.map(p => p[name] ?? null);
        const x = points.map(p => p.time_ms / 1000);
        this.rate.set([x, of('rate'), points.map(p => p.failed === undefined || p.failed === null ? null : Number(p.failed) / (step_ms / 1000))]);
        this.latency.set([x, of('queue_p99_ms'), of('run_p99_ms'), of('parked_p99_ms'), of('commit_p99_ms')]);
        this.age.set([x, of('oldest_waiting_ms')]);
        this.work.set([x, of('running'), of('waiting'), of('parked')]);
    }

    sample(o) {
        this.own.push(o);
        if (this.own.length > KEEP)
            this.own.shift();
        const of = f => this.own.map(x => f(x) ?? null);
        const x = of(v => v.time_ms / 1000);
        this.rate.set([x, of(v => v.calls_per_s), of(v => v.failures_per_s)]);
        this.work.set([x, of(v => v.running), of(v => v.waiting), of(v => v.parked)]);
    }
}

export default {
    title: 'Overview',
    mount(ctx) {
        const charts = new Charts(ctx.signal);
        const known = { waits: null, running: null, summary: null, letters: null };
        const unread = new Map([['waits', null], ['running', null], ['summary', null], ['letters', null]]); // why; null: not yet
        let last_ms = MINUTE, history = true, sort = { by: 'Run', down: true };

        const gaps = () => [...live.workers ? [] : [{ name: 'Workers', why: null }], ...[...unread].map(([what, why]) => ({ name: READINGS[what], why }))];
        const draw = () => {
            const o = live.overview;
            if (!o) {
                ctx.show(h('p', { class: 'quiet' }, 'Waiting for the first figures …'));
                return;
            }
            const methods = o.stats?.methods || null;
            ctx.show(
                head('Overview', { end: history ? [choice('Span of the charts', last_ms, [[MINUTE, 'Last minute'], [DAY, 'Last day']], value => { last_ms = value; readHistory(); draw(); })] : [] }),
                attention({ overview: o, workers: live.workers, takeovers: live.takeovers, methods, now: now(), unread: gaps(), ...known }),
                tiles(o),
                h('section', { class: 'charts', 'aria-label': 'Charts' }, (history ? charts.all : [charts.rate, charts.work]).map(c => keep(c.el))),
                o.stats === null ? null : h('section', { class: 'card', 'aria-labelledby': 'methods' },
                    h('div', { class: 'title' }, h('h2', { id: 'methods' }, 'Methods'), h('span', { class: 'quiet' }, 'of the last minute; times at the 99th percentile'),
                        h('span', { class: 'keys end' }, [['queue', 'queue'], ['run', 'run'], ['park', 'parked'], ['commit', 'commit']].map(([c, t]) => h('span', { class: 'key' }, h('i', { class: c }), t)))),
                    methods?.length ? methodsTable(methods, sort, s => { sort = s; draw(); })
                        : empty('No call has ended in the last minute', 'Methods appear here with their rates and times as soon as something is called.', h('code', null, 'as-ctl call AGENT METHOD ARGS'))),
                takeovers());
        };
        const readHistory = ctx.poll(1000, async () => {
            if (!history)
                return;
            const stats = await ctx.maybe('/api/stats', { last_ms }, null);
            if (stats)
                charts.history(stats.points, Number(stats.step_ms));
            else
                history = false;
        });
        ctx.poll(5000, async () => {
            const since_ms = Math.floor((now() - SINCE_MS) / MINUTE) * MINUTE; // the same in all pages
            const readings = {
                waits: ctx.maybe('/api/waits', {}, null),
                running: ctx.get('/api/calls', BEGUN).then(a => a.calls),
                summary: ctx.get('/api/failures/summary', { since_ms }),
                letters: ctx.get('/api/dead', { limit: 1 }).then(a => a.letters),
            };
            // Each counts by itself: what one has found is shown though another fails, or is late.
            const outcomes = await Promise.allSettled(Object.entries(readings).map(async ([what, reading]) => {
                try {
                    known[what] = await reading;
                    unread.delete(what);
                } catch (error) {
                    unread.set(what, error.message);
                    throw error;
                } finally {
                    draw();
                }
            }));
            const failed = outcomes.find(o => o.status === 'rejected');
            if (failed)
                throw failed.reason;
            await learn(ctx, timed(known));
            draw();
        });
        ctx.on(kind => {
            if (kind === 'overview' && live.overview && !history)
                charts.sample(live.overview);
            if (kind !== 'redis')
                draw();
        });
        draw();
    },
};
