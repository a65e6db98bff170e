// why.js: why a call has not ended, in words: for how long it has been running, the median of its method, and what it
// waits for by what its worker tells.
import { foreign } from './dom.js';
import { count, duration } from './format.js';
import { live } from './live.js';
import { callLink } from './parts.js';

const DAY_MS = 86400000, AGAIN_MS = 60000;

const learnt = new Map(); // what the last day tells of methods: "class method" -> {at, ms}
const nameOf = call => `${call.class} ${call.method}`;
const methodOf = (methods, call) => (methods || []).find(m => m.class === call.class && m.method === call.method);

// The median of a method's times from the beginning of a call to its end; null: unknown. Few calls park, or most do.
function median(m) {
    const parks = m?.parked && m.parked.count * 2 >= m.run?.count;
    return typeof m?.run?.p50_ms === 'number' ? m.run.p50_ms + (parks ? m.parked.p50_ms : 0) : null;
}

export function usual(call, methods = live.overview?.stats?.methods) {
    return median(methodOf(methods, call)) ?? learnt.get(nameOf(call))?.ms ?? null;
}

// Reads the last day of those methods of which the last minute tells nothing; at most once a minute each.
export async function learn(ctx, calls) {
    const methods = live.overview?.stats?.methods, now = Date.now();
    for (const call of calls) {
        if (!call.class || median(methodOf(methods, call)) !== null || learnt.get(nameOf(call))?.at > now - AGAIN_MS)
            continue;
        learnt.set(nameOf(call), { at: now, ms: learnt.get(nameOf(call))?.ms ?? null });
        const stats = await ctx.maybe('/api/stats', { last_ms: DAY_MS, class: call.class, method: call.method }, null);
        learnt.set(nameOf(call), { at: now, ms: median(methodOf(stats?.methods, call)) });
    }
}

const hasBegun = call => call.state === 'running' || call.state === 'parked';

// How long a call has not moved: since its method began, or since it was made.
export const since = call => hasBegun(call) ? call.run_ms ?? call.age_ms : call.age_ms;

function withMedian(text, call) {
    const ms = usual(call);
    return ms === null ? text : `${text}, median ${duration(ms)}`;
}

export const runningFor = call => withMedian(`running for ${duration(since(call))}`, call);

// The state of a call and its time, for a sentence about it: "has been running for 18 min 2 s, median 21 ms".
export function standing(call) {
    return call.state === 'parked' ? withMedian(`is parked, ${duration(since(call))} after it began`, call)
        : `has been ${call.state === 'running' ? runningFor(call) : `${call.state} for ${duration(call.age_ms)}`}`;
}

// What its worker tells, unless that says no more than its state.
export const told = call => call.why && !(call.state === 'running' && call.why === 'runs') ? call.why : null;

// The same with what it waits for as a link, and when it is due; nothing: [].
export function waiting(call) {
    const named = call.waits_for && call.why?.includes(call.waits_for); // then the link says it
    const why = named ? null : told(call);
    return [why ? foreign(why) : null,
        call.waits_for ? [why ? ' ' : 'waits for call ', callLink(call.waits_for), call.awaited > 1 ? ` and ${count(call.awaited - 1)} more` : ''] : null,
        call.due_ms !== undefined ? ` due in ${duration(call.due_ms)}` : null, call.failed_runs ? ` after ${count(call.failed_runs)} failed` : null].filter(Boolean);
}

// The same for a table, where nothing else says how long it has been running.
export function reason(call) {
    const why = waiting(call);
    return call.state === 'running' && !told(call) ? [runningFor(call), why.length ? '; ' : null, why] : why;
}
