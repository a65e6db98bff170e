// why.js: why a call has not ended, in words: for how long it has been in its method, how long others of the method
// usually take, and what it waits for by what its worker tells.
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

// "in its method for 18 min 2 s, usually 21 ms"
export function inMethod(call) {
    const ms = usual(call);
    return `in its method for ${duration(since(call))}${ms === null ? '' : `, usually ${duration(ms)}`}`;
}

// The state of a call and its time, for a sentence that begins with "it is".
export function standing(call) {
    return call.state === 'running' ? inMethod(call) : call.state === 'parked' ? `parked ${inMethod(call)}` : `${call.state} for ${duration(call.age_ms)}`;
}

// What its worker tells, unless that says no more than its state.
export const told = call => call.why && !(call.state === 'running' && call.why === 'runs') ? call.why : null;

// The same for a table: what it waits for as a link.
export function reason(call) {
    const named = call.waits_for && call.why?.includes(call.waits_for); // then the link says it
    const why = named ? null : told(call);
    return [why ? foreign(why) : call.state === 'running' ? inMethod(call) : null,
        call.waits_for ? [why ? ' ' : 'waits for call ', callLink(call.waits_for), call.awaited > 1 ? ` and ${count(call.awaited - 1)} more` : ''] : null,
        call.due_ms !== undefined ? ` due in ${duration(call.due_ms)}` : null, call.failed_runs ? ` after ${count(call.failed_runs)} failed` : null];
}
