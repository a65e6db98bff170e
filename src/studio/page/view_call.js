// view_call.js: one call with the whole tree that it is in: who called whom, who waits for whom, and where the time went.
import { orError, pathOf } from './api.js';
import { foreign, foreignBlock, h, keepOf, plain } from './dom.js';
import { duration, plural } from './format.js';
import { agentLink, callLink, empty, facts, head, methodName, stateTag, tag } from './parts.js';
import { to } from './router.js';
import { tree } from './tree.js';
import { cutNote } from './view_waits.js';
import { waterfall } from './falls.js';
import { cancelCall } from './view_calls.js';
import { failuresList } from './view_failures.js';
import { learn, reason, standing, told, waiting } from './why.js';

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
    return h('div', { class: 'note warn' }, h('strong', null, 'What it comes down to: '), callLink(at.id, methodName(at.class, at.method)), ' of ', agentLink(at.agent), ` ${standing(at)}`, told(at) ? [': ', foreign(told(at))] : '', '.');
}

async function traceOf(ctx, answer) {
    if (!ctx.session.traces)
        return null;
    let hex = answer?.trace;
    if (!hex)
        hex = (await ctx.get('/api/traces', { call: ctx.id, limit: 1 })).traces[0]?.trace_id;
    return hex ? ctx.get(pathOf('traces', hex)) : null;
}

function falls(ctx, trace) {
    return h('section', { class: 'card', 'aria-labelledby': 'falls' }, h('h2', { id: 'falls' }, 'Where the time went'),
        trace instanceof Error ? h('p', { class: 'quiet' }, 'Its trace could not be read: ', foreign(trace.message), '.')
            : trace ? h('div', { 'data-keep': keepOf(trace) }, waterfall(trace.spans))
                : h('p', { class: 'quiet' }, ctx.session.traces ? 'No trace of it was received: workers and callers send them with --traces.'
                    : ['as-studio keeps no traces. With ', h('code', null, 'as-studio --collect-traces'), ' and ', h('code', null, 'as-worker --traces URL'), ' the spans of each call are shown here.']));
}

// `agent` is as it was after its last commit, or why it cannot be shown: that there is none yet is one reason.
function stateOf(agent, id) {
    const missing = agent instanceof Error;
    return h('section', { class: 'card', 'aria-labelledby': 'state' }, h('div', { class: 'title' }, h('h2', { id: 'state' }, 'State of its agent'), h('span', { class: 'end quiet' }, 'after its last commit')),
        missing ? h('p', { class: 'quiet' }, agent.status === 404 ? 'There is no such agent yet.' : ['It could not be read: ', foreign(agent.message), '.']) : agent.cut ? h('p', { class: 'note' }, 'It is too large to be shown here: as-ctl show prints it.') : h('div', { 'data-state': plain(id) }, tree(agent.state ?? null)));
}

// Its worker tells the beginning of the arguments, of a call that has begun.
function argumentsOf(call) {
    const why = !call.worker ? 'Its worker tells them once it has begun.' : 'Its worker does not tell them: it has no room, or was started with --keep-arguments no.';
    return h('section', { class: 'card', 'aria-labelledby': 'arguments' }, h('h2', { id: 'arguments' }, 'Arguments'),
        typeof call.args === 'string' ? h('div', { 'data-arguments': plain(call.id) }, foreignBlock(call.args)) : h('p', { class: 'quiet' }, why));
}

const KEPT = 1000; // letters and failures that are looked through
const LOOK_MS = 10000; // for them again, because they may come later

// What is kept of a call that is not under way: its letter, and its failed runs.
async function endOf(ctx) {
    const [{ letters }, { failures }] = await Promise.all([ctx.get('/api/dead', { limit: KEPT }), ctx.get('/api/failures', { limit: KEPT })]);
    return { letter: letters.find(l => l.call_id === ctx.id), failures: failures.filter(f => f.call_id === ctx.id) };
}

function showEnded(ctx, why, { letter, failures }, trace) {
    ctx.show(head(['Call ', foreign(ctx.id, 'mono')]),
        letter ? h('div', { class: 'note bad' }, h('strong', null, 'It was given up: '), foreign(letter.reason || ''), '. ', h('a', { href: to('dead', letter.id) }, 'The dead letter'), ' has its arguments, and can be sent again.') : null,
        h('div', { class: 'card' }, empty('The call is not under way', foreign(why), letter || failures.length ? '' : 'Neither a failure nor a dead letter of it is kept.')),
        failures.length ? h('section', { class: 'card' }, h('h2', null, 'Its failed runs'), failuresList(failures)) : null, trace ? falls(ctx, trace) : null);
}

export function mountCall(ctx) {
    let ended = null, looked = 0;
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
        if (!answer) {
            if (ended === null || Date.now() - looked > LOOK_MS) {
                ended = await endOf(ctx);
                looked = Date.now();
            }
            showEnded(ctx, missing, ended, await orError(traceOf(ctx, null)));
            return;
        }
        ended = null;
        const c = answer.call;
        const [agent, trace] = await Promise.all([orError(ctx.get(pathOf('agents', c.agent))), orError(traceOf(ctx, answer))]);
        ctx.show(head(methodName(c.class, c.method), { more: stateTag(c.state), end: ctx.writes ? [h('button', { type: 'button', class: 'danger', onclick: () => cancelCall(c, again) }, 'Cancel …')] : [] }),
            diagnosis(answer),
            h('section', { class: 'card' }, h('h2', null, 'About it'), facts([['Call', foreign(c.id, 'mono')], ['Agent', agentLink(c.agent)], ['Age', duration(c.age_ms)], ['Partition', c.partition],
                c.worker ? ['Worker', h('a', { href: to('workers') }, foreign(c.worker))] : null, c.caller ? ['Called by', callLink(c.caller)] : null, ['Why it has not ended', ['it ', standing(c), waiting(c).length ? ': ' : '', waiting(c)]]])),
            h('section', { class: 'card', 'aria-labelledby': 'tree' }, h('div', { class: 'title' }, h('h2', { id: 'tree' }, 'The tree that it is in'), h('span', { class: 'end quiet' }, plural(answer.calls.length, 'call'))), treeOf(answer, c.id),
                answer.more ? h('p', { class: 'quiet' }, 'The tree has more calls than are shown.') : null, cutNote(answer)),
            argumentsOf(c), stateOf(agent, c.agent), falls(ctx, trace));
        await learn(ctx, [c, ...answer.calls.filter(x => x.id === c.waits_for)]); // for the next time
    });
}
