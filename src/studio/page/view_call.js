// view_call.js: one call with the whole tree that it is in: who called whom, who waits for whom, and where the time went.
import { pathOf } from './api.js';
import { foreign, h, keepOf, plain } from './dom.js';
import { duration, plural } from './format.js';
import { agentLink, callLink, empty, facts, head, methodName, stateTag, tag } from './parts.js';
import { to } from './router.js';
import { cutNote } from './view_waits.js';
import { waterfall } from './falls.js';
import { cancelCall, reason } from './view_calls.js';

function treeOf(answer, here) {
    const rows = new Map(answer.calls.map(c => [c.id, c]));
    const below = new Map(), hasParent = new Set();
    for (const { from, to: child } of [...answer.edges].sort((a, b) => (a.kind === 'calls' ? 0 : 1) - (b.kind === 'calls' ? 0 : 1))) {
        if (hasParent.has(child) || !rows.has(child) || child === answer.root || from === child)
            continue;
        hasParent.add(child);
        below.set(from, [...(below.get(from) || []), child]);
    }
    const ring = new Set(answer.cycle || []);
    const shown = new Set();
    const item = id => {
        const call = rows.get(id);
        if (shown.has(id) || !call)
            return null;
        shown.add(id);
        const children = (below.get(id) || []).map(item).filter(Boolean);
        return h('li', { 'data-key': id },
            h('div', { class: `node ${id === here ? 'here' : ''}`, 'data-call': plain(id), 'aria-current': id === here ? 'true' : null }, stateTag(call.state), h('a', { href: to('calls', id) }, methodName(call.class, call.method)), 'of', agentLink(call.agent),
                h('span', { class: 'quiet' }, duration(call.age_ms)), ring.has(id) ? tag('in a ring', 'cycle') : null, h('span', { class: 'why' }, reason(call))),
            children.length ? h('ul', null, children) : null);
    };
    const tops = [answer.root, ...answer.calls.map(c => c.id).filter(id => !hasParent.has(id)), ...answer.calls.map(c => c.id)];
    return h('ul', { class: 'calltree' }, tops.map(item).filter(Boolean));
}

// In one sentence, why this call has not ended.
function diagnosis(answer) {
    const rows = new Map(answer.calls.map(c => [c.id, c]));
    if (answer.cycle?.length)
        return h('div', { class: 'note bad' }, h('strong', null, `${plural(answer.cycle.length, 'call')} wait for each other in a ring: `),
            answer.cycle.map((id, i) => [i ? ' → ' : '', callLink(id, methodName(rows.get(id)?.class, rows.get(id)?.method))]), '. It ends by itself (ASQ_EDEADLK) unless one of them is not in a method of the library; cancelling one ends it.');
    let at = answer.call, steps = 0;
    const seen = new Set();
    while (at?.waits_for && rows.has(at.waits_for) && !seen.has(at.id)) {
        seen.add(at.id);
        at = rows.get(at.waits_for);
        steps++;
    }
    if (!at || steps === 0)
        return null;
    return h('div', { class: 'note warn' }, h('strong', null, 'What it comes down to: '), callLink(at.id, methodName(at.class, at.method)), ' of ', agentLink(at.agent), ` is ${at.state} for ${duration(at.age_ms)}`, at.why ? [': ', foreign(at.why)] : '', '.');
}

async function traceOf(ctx, answer) {
    if (!ctx.session.traces)
        return null;
    let hex = answer?.trace;
    if (!hex)
        hex = (await ctx.get('/api/traces', { call: ctx.id, limit: 1 })).traces[0]?.trace_id;
    return hex ? await ctx.get(pathOf('traces', hex)) : null;
}

function falls(ctx, trace) {
    return h('section', { class: 'card', 'aria-labelledby': 'falls' }, h('h2', { id: 'falls' }, 'Where the time went'),
        trace ? h('div', { 'data-keep': keepOf(trace) }, waterfall(trace.spans))
            : h('p', { class: 'quiet' }, ctx.session.traces ? 'No trace of it was received: workers and callers send them with --traces.'
                : ['as-studio keeps no traces. With ', h('code', null, 'as-studio --collect-traces'), ' and ', h('code', null, 'as-worker --traces URL'), ' the spans of each call are shown here.']));
}

export function mountCall(ctx) {
    ctx.show(head('Call'), h('p', { class: 'quiet' }, 'Loading …'));
    const again = ctx.poll(2000, async () => {
        let answer = null, missing = '';
        try {
            answer = await ctx.get(pathOf('calls', ctx.id));
        } catch (error) {
            if (error.status !== 404)
                throw error;
            missing = error.message;
        }
        const trace = await traceOf(ctx, answer);
        if (!answer) {
            ctx.show(head(['Call ', foreign(ctx.id, 'mono')]), h('div', { class: 'card' }, empty('The call is not under way',
                foreign(missing), 'If it failed, it is under Failures; if it was given up, under Dead letters.')), trace ? falls(ctx, trace) : null);
            return;
        }
        const c = answer.call;
        ctx.show(head(methodName(c.class, c.method), { more: stateTag(c.state), end: ctx.writes ? [h('button', { type: 'button', class: 'danger', onclick: () => cancelCall(c, again) }, 'Cancel …')] : [] }),
            diagnosis(answer),
            h('section', { class: 'card' }, h('h2', null, 'About it'), facts([['Call', foreign(c.id, 'mono')], ['Agent', agentLink(c.agent)], ['Age', duration(c.age_ms)], ['Partition', c.partition],
                c.caller ? ['Called by', callLink(c.caller)] : null, ['Why it has not ended', reason(c).some(Boolean) ? reason(c) : 'it runs']])),
            h('section', { class: 'card', 'aria-labelledby': 'tree' }, h('div', { class: 'title' }, h('h2', { id: 'tree' }, 'The tree that it is in'), h('span', { class: 'end quiet' }, plural(answer.calls.length, 'call'))), treeOf(answer, c.id),
                answer.more ? h('p', { class: 'quiet' }, 'The tree has more calls than are shown.') : null, cutNote(answer)),
            falls(ctx, trace));
    });
}
