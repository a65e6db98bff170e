// attention.js: what an operator should look at first, and why, from what the views read.
import { foreign, h } from './dom.js';
import { ago, clock, count, duration, none, plural } from './format.js';
import { heirs, methodName } from './parts.js';
import { to } from './router.js';
import { since, standing, told } from './why.js';

const LONG_MS = 10000; // calls that are in their methods for longer are worth a look
const SLOW_MS = 1000; // methods should not take longer, nor calls wait longer to begin
const OLD_MS = 5000; // calls should not wait longer to begin
const MOST_DEATHS = 3; // that are told one by one
const LATELY_MS = 600000; // what has happened to workers is told for so long

const share = (part, all) => all > 0 ? `${(part / all * 100).toFixed(part / all < .1 ? 1 : 0)} %` : '';

// What runs longest, by the 99th percentile. How long its calls wait does not make a method slow.
export function slowest(methods) {
    return [...(methods || [])].filter(m => m.run?.p99_ms > 0).sort((a, b) => b.run.p99_ms - a.run.p99_ms)[0] || null;
}

// What else a method's calls go through, told apart from their running.
function besides(m) {
    const names = { queue: 'waiting in the queue', parked: 'parked for other calls or for time', commit: 'committing to Redis' };
    return Object.keys(names).filter(p => m[p]?.p99_ms > 0).map(p => `${duration(m[p].p99_ms)} ${names[p]}`).join(', ');
}

function trouble(level, label, href, title, why) {
    return { level, label, href, title, why };
}

// Workers that are much younger than the oldest one: what was before as-studio looked is not known, but this is.
function ofYoung(workers, lately) {
    const living = workers.filter(w => w.alive && w.uptime_ms !== undefined), told = new Set(lately.map(t => t.from === t.to && t.to));
    const young = living.filter(w => w.uptime_ms < LATELY_MS && !told.has(w.id));
    if (young.length === 0 || Math.max(...living.map(w => w.uptime_ms)) < 3 * LATELY_MS)
        return [];
    const newest = young.reduce((a, b) => a.uptime_ms < b.uptime_ms ? a : b);
    return [trouble('info', 'new', to('workers'), ['Worker ', foreign(newest.id), ` has begun ${duration(newest.uptime_ms)} ago`],
        [young.length > 1 ? `And ${plural(young.length - 1, 'other one', 'other ones')} within 10 minutes. ` : '', 'It is new, or was started again after its process has died.'])];
}

// Deaths that Redis has noted: each of the last minutes, and how many there were before. `told` gets their workers' ids.
function ofDeaths(deaths, now, told) {
    const out = [], died = deaths.filter(d => !d.heard_ms), lately = died.filter(d => now - Number(d.time_ms) < LATELY_MS);
    lately.forEach(d => told.add(d.id));
    for (const d of lately.slice(0, MOST_DEATHS)) {
        const went = heirs(d);
        out.push(trouble('bad', 'death', to('workers'), ['Worker ', foreign(d.id), ` died ${ago(d.time_ms, now)}`, d.how === 'unknown' ? ', it is not known how' : [': ', foreign(d.how)]],
            [d.host ? ['Process ', String(d.pid ?? none), ' on ', foreign(d.host), '. '] : '', went.length ? ['Taken over: ', went, '.'] : 'Nobody has taken over from it yet.']));
    }
    const before = died.length - out.length;
    if (before > 0)
        out.push(trouble('info', 'deaths', to('workers'), `${plural(before, `${out.length ? 'more ' : ''}worker process has`, `${out.length ? 'more ' : ''}worker processes have`)} died in the last 24 hours`,
            ['The last of them: ', foreign(died[out.length].id), `, ${ago(died[out.length].time_ms, now)}`, died[out.length].how === 'unknown' ? '' : [', ', foreign(died[out.length].how)], '.']));
    for (const d of deaths.filter(x => x.heard_ms && now - Number(x.time_ms) < LATELY_MS).slice(0, MOST_DEATHS)) {
        told.add(d.id);
        out.push(trouble('warn', 'missed', to('workers'), ['Worker ', foreign(d.id), ` was missed ${ago(d.time_ms, now)}: `, foreign(d.how)],
            ['It was heard of again: it stood still, or was away from Redis, for longer than its lease time. ', heirs(d).length ? ['Taken over: ', heirs(d), '.'] : '']));
    }
    return out;
}

// Workers that are listed and dead without a noted death: those of an older version.
function ofListed(workers, takeovers, now, told) {
    const out = [];
    for (const w of workers.filter(x => !x.alive && !told.has(x.id))) {
        const gained = new Map();
        for (const t of takeovers.filter(x => x.from === w.id && x.to && x.to !== w.id && now - x.time_ms <= (w.seen_ms ?? 0)))
            gained.set(t.to, (gained.get(t.to) || 0) + 1);
        const heard = [...gained].map(([id, n]) => [` ${plural(n, 'partition')} went to `, foreign(id), '.']);
        out.push(trouble('bad', 'worker', to('workers'), ['Worker ', foreign(w.id), ' has died'],
            [`It was last seen ${duration(w.seen_ms)} ago.`, heard.length ? heard : w.owns?.length ? ` It still owns ${plural(w.owns.length, 'partition')}.` : ' Its partitions are with others.']));
    }
    return out;
}

function ofWorkers({ overview, workers, takeovers, now }) {
    const told = new Set();
    const out = [...ofDeaths(overview?.deaths || [], now, told), ...ofListed(workers || [], takeovers, now, told)];
    if (overview?.workers && overview.workers.alive === 0)
        out.push(trouble('bad', 'workers', to('workers'), 'No worker is alive', 'Calls wait in Redis until one is started: as-worker.'));
    else if (overview?.partitions && overview.partitions.owned < overview.partitions.total)
        out.push(trouble('warn', 'workers', to('workers'), `${plural(overview.partitions.total - overview.partitions.owned, 'partition')} without an owner`, 'Calls of their agents wait until a worker takes them over.'));
    const lately = takeovers.filter(t => t.from && now - t.time_ms < LATELY_MS);
    for (const id of new Set(lately.filter(t => t.from === t.to && !told.has(t.to)).map(t => t.to))) {
        const again = lately.filter(t => t.from === id && t.to === id);
        out.push(trouble('warn', 'restarted', to('workers'), ['Worker ', foreign(id), ` has claimed ${plural(again.length, 'partition')} again, ${ago(again[0].time_ms, now)}`],
            'Its process has died or was stopped, and has been started again; or it was away from Redis for longer than its lease time.'));
    }
    out.push(...ofYoung((workers || []).filter(w => !told.has(w.id)), lately));
    const lost = lately.filter(t => !told.has(t.from) && !(workers || []).some(w => w.id === t.from));
    if (lost.length)
        out.push(trouble('warn', 'takeover', to('workers'), [`${plural(lost.length, 'partition')} changed hands, ${ago(lost[0].time_ms, now)}`],
            ['Worker ', foreign(lost[0].from), ' is not there any more: it has ended, or died.']));
    const { alive, most, most_ms } = overview?.workers || {};
    const known = new Set([...(workers || []).filter(w => !w.alive), ...overview?.deaths || []].map(w => w.id).concat(lost.map(t => t.from)));
    const missing = [...known].filter(id => !(workers || []).some(w => w.alive && w.id === id)).length;
    if (most > alive + missing)
        out.push(trouble('warn', 'workers', to('workers'), `${plural(most, 'worker process', 'worker processes')} lived at ${clock(most_ms).slice(0, 5)}, and ${count(alive)} now`,
            'Others have ended or died within the last hour, and Redis has no more of them than their number.'));
    return out;
}

// Whether a call waits for one that is in the set, perhaps through others.
function hangsOn(ids, call, nodes) {
    const seen = new Set();
    for (let at = call; at?.waits_for && !seen.has(at.id); at = nodes.get(at.waits_for)) {
        seen.add(at.id);
        if (ids.has(at.waits_for))
            return true;
    }
    return false;
}

// The calls that ofWaits tells of: those on which others hang, and the others, the oldest first.
function stuckCalls({ waits, running }) {
    const nodes = new Map((waits?.nodes || []).map(n => [n.id, n]));
    const stuck = (waits?.roots || []).map(r => ({ ...nodes.get(r.id ?? r), waiting: r.waiting || 0 })).filter(c => c.id && !c.cycle && since(c) > LONG_MS).slice(0, 2);
    const named = new Set(stuck.map(c => c.id));
    const old = (running || []).filter(c => since(c) > LONG_MS && !named.has(c.id) && !nodes.get(c.id)?.cycle && !hangsOn(named, c, nodes)).sort((a, b) => since(b) - since(a));
    return { nodes, stuck, old };
}

// Calls that do not move: those that most others hang on, among all that others hang on; then the oldest of the rest.
// The call that most others wait for may be a short one with a long queue behind it.
function ofWaits(known) {
    const out = [];
    const { nodes, stuck, old } = stuckCalls(known);
    for (const ring of (known.waits?.cycles || []).slice(0, 3))
        out.push(trouble('bad', 'ring', to('waits'), `${plural(ring.length, 'call')} wait for each other in a ring`,
            ring.slice(0, 5).map((id, i) => [i ? ' → ' : '', methodName(nodes.get(id)?.class, nodes.get(id)?.method), ' of ', foreign(nodes.get(id)?.agent || id)])));
    for (const c of stuck)
        out.push(trouble('warn', 'stuck', to('calls', c.id), [c.waiting ? `${plural(c.waiting, 'call hangs', 'calls hang')} on ` : 'Others hang on ', methodName(c.class, c.method), ' of ', foreign(c.agent)],
            [`It ${standing(c)}`, told(c) ? [': ', foreign(told(c))] : '', '.']));
    if (old.length)
        out.push(trouble('warn', 'stuck', to('calls', old[0].id), [methodName(old[0].class, old[0].method), ' of ', foreign(old[0].agent), ` ${standing(old[0])}`],
            [told(old[0]) ? [foreign(told(old[0])), '. '] : '', old.length > 1 ? `${plural(old.length - 1, 'more call')} longer than ${duration(LONG_MS)}.` : '']));
    return out;
}

// The calls whose times the overview tells.
export function timed(known) {
    const { stuck, old } = stuckCalls(known);
    return [...stuck, ...old.slice(0, 1)];
}

function ofFailures({ summary, methods, letters, overview, now }) {
    const out = [];
    for (const f of (summary?.kinds || []).slice(0, 3)) {
        const m = (methods || []).find(x => x.class === f.class && x.method === f.method), lately = m?.failures?.[f.code];
        out.push(trouble(now - f.last_ms < 120000 ? 'bad' : 'warn', 'failing', to('failures', null, { class: f.class, method: f.method, code: f.code }),
            [methodName(f.class, f.method), lately ? ` has failed ${plural(lately, 'time')} in the last minute with ` : ' has failed with ', h('span', { class: 'mono' }, foreign(f.code))],
            [`Last ${ago(f.last_ms, now)}`, lately ? `; ${share(lately, m.calls)} of its calls in the last minute` : '', `. ${plural(f.count, 'failure')} of the ${summary.more ? `newest ${count(summary.counted)}, and there are more than that in the last 15 minutes` : 'last 15 minutes'}.`]));
    }
    if (overview?.dead_letters > 0) {
        const newest = letters?.[0];
        out.push(trouble('bad', 'dead letter', to('dead', newest?.id ?? null), plural(overview.dead_letters, 'call was', 'calls were') + ' given up',
            newest ? ['The newest: ', foreign(newest.call || newest.id), newest.reason ? [': ', foreign(newest.reason)] : ''] : 'They can be shown, sent again or dropped.'));
    }
    return out;
}

function ofTimes({ overview, methods }) {
    const out = [];
    const oldest = overview?.stats?.now?.oldest_waiting_ms;
    if (oldest > OLD_MS) {
        const full = overview.capacity > 0 && overview.running >= overview.capacity;
        out.push(trouble('warn', 'waiting', to('calls', null, { state: 'waiting' }), `A call has waited ${duration(oldest)} to begin`,
            overview.paused?.length ? 'Something is paused, see above.' : full ? `All ${count(overview.capacity)} places of the workers are taken: more workers, or shorter methods.`
                : 'Workers have room: an earlier call of the same agent runs, or its partition is being taken over.'));
    }
    const slow = slowest(methods);
    if (slow)
        out.push(trouble(slow.run.p99_ms > SLOW_MS ? 'warn' : 'info', 'slowest', to('classes', slow.class),
            [methodName(slow.class, slow.method), ` is the slowest method: it runs ${duration(slow.run.p99_ms)} at the 99th percentile`], besides(slow) ? `Besides, its calls take ${besides(slow)}.` : ''));
    const late = [...(methods || [])].filter(m => m.queue?.p99_ms > SLOW_MS).sort((a, b) => b.queue.p99_ms - a.queue.p99_ms)[0];
    if (late)
        out.push(trouble('info', 'queue', to('calls', null, { state: 'waiting', class: late.class }), ['Calls of ', methodName(late.class, late.method), ` began late: 99 of 100 within ${duration(late.queue.p99_ms)}`],
            'They have waited for a place, for the turn of their agent, or for a worker that takes over; the method itself need not be slow.'));
    return out;
}

// Everything, the worst first.
export function troubles(known) {
    const { overview } = known;
    const out = [];
    if (overview?.redis && overview.redis.up === false)
        out.push(trouble('bad', 'Redis', to('overview'), 'Redis is away', foreign(overview.redis.error || '')));
    for (const p of overview?.paused || [])
        out.push(trouble('warn', 'paused', to('classes', p.class || null), p.class ? ['Class ', foreign(p.class), ' is paused'] : 'The whole namespace is paused', 'Its calls wait, and nothing is lost; resume it under Classes.'));
    out.push(...ofWorkers(known), ...ofWaits(known), ...ofFailures(known), ...ofTimes(known));
    const rank = { bad: 0, warn: 1, info: 2 };
    return out.sort((a, b) => rank[a.level] - rank[b.level]);
}

// What is not known: `unread` has, for each reading that is due, its name and why it failed (null: not read yet).
function gaps(unread) {
    const looking = unread.filter(u => u.why === null), failed = unread.filter(u => u.why !== null);
    return [looking.length ? h('p', { class: 'quiet' }, `Still looking: ${looking.map(u => u.name).join(', ')}.`) : null,
        failed.map(u => h('p', { class: 'quiet' }, `${u.name} could not be read: `, foreign(u.why)))];
}

export function attention(known) {
    const { unread } = known;
    const found = troubles(known);
    const bad = found.filter(t => t.level !== 'info').length;
    const title = bad ? 'Look at this first' : unread.some(u => u.why !== null) ? 'Not everything could be read' : unread.length ? 'Still looking' : 'Nothing needs you';
    return h('section', { class: 'card', 'aria-labelledby': 'attention' },
        h('h2', { id: 'attention' }, title), gaps(unread),
        found.length === 0 ? unread.length ? null : h('p', { class: 'quiet' }, 'No worker is gone, no call is stuck, nothing fails and no letter is dead.')
            : h('ul', { class: 'attention' }, found.map(t => h('li', { class: t.level, 'data-trouble': t.label },
                h('span', { class: `tag ${t.level}` }, t.label),
                h('div', null, h('strong', null, h('a', { href: t.href }, t.title)), h('div', { class: 'why' }, t.why))))));
}
