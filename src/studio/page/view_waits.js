// view_waits.js: calls that wait for other calls, as a graph: rings, and what everything hangs on.
import { foreign, h } from './dom.js';
import { count, duration, plural } from './format.js';
import { drawing } from './graph.js';
import { agentLink, callLink, choice, empty, head, methodName, stateTag, table } from './parts.js';
import { to } from './router.js';
import { runningFor, told } from './why.js';

const MAX_DRAWN = 150;

// Rings and what hangs on the longest chains first; at most MAX_DRAWN nodes.
function worth(answer) {
    const ids = new Set(), waiters = new Map(), next = new Map();
    for (const { from, to: target } of answer.edges) {
        waiters.set(target, [...(waiters.get(target) || []), from]);
        next.set(from, [...(next.get(from) || []), target]);
    }
    const add = start => {
        const queue = [start];
        while (queue.length && ids.size < MAX_DRAWN) {
            const id = queue.shift();
            if (ids.has(id))
                continue;
            ids.add(id);
            queue.push(...(next.get(id) || []), ...(waiters.get(id) || []));
        }
    };
    answer.cycles.flat().forEach(add);
    answer.roots.map(r => r.id ?? r).forEach(add);
    answer.nodes.forEach(n => add(n.id));
    return { nodes: answer.nodes.filter(n => ids.has(n.id)), edges: answer.edges.filter(e => ids.has(e.from) && ids.has(e.to)) };
}

function rings(answer, nodes) {
    return answer.cycles.map(ring => h('div', { class: 'note bad', 'data-ring': ring.length }, h('strong', null, `${plural(ring.length, 'call')} wait for each other in a ring: `),
        ring.map(id => [callLink(id, methodName(nodes.get(id)?.class, nodes.get(id)?.method)), ' of ', agentLink(nodes.get(id)?.agent), ' → ']), 'and again.'));
}

function roots(answer, nodes) {
    const list = answer.roots.map(r => typeof r === 'string' ? { id: r } : r).filter(r => nodes.has(r.id)).slice(0, 20);
    if (list.length === 0)
        return null;
    return h('section', { class: 'card', 'aria-labelledby': 'roots' }, h('h2', { id: 'roots' }, 'What everything hangs on'),
        table({
            caption: 'Calls that others wait for, and that wait for none', rows: list.map(r => ({ ...nodes.get(r.id), waiting: r.waiting, uncounted: r.more })), key: n => n.id,
            columns: [{ label: 'Waiting for it', num: true, of: n => count(n.waiting) + (n.uncounted ? '+' : '') }, { label: 'State', of: n => stateTag(n.state) }, { label: 'Age', num: true, of: n => duration(n.age_ms) },
                { label: 'Method', of: n => methodName(n.class, n.method) }, { label: 'Agent', of: n => agentLink(n.agent) }, { label: 'Why', of: n => [told(n) ? foreign(told(n)) : n.state === 'running' ? runningFor(n) : '', n.behind ? ` (${plural(n.behind, 'call')} of its agent behind it)` : ''] }, { label: 'Call', of: n => callLink(n.id) }],
        }));
}

function graph(answer) {
    const { nodes, edges } = worth(answer);
    const top = new Set(answer.roots.map(r => r.id ?? r));
    return h('section', { class: 'card', 'aria-labelledby': 'graph' },
        h('div', { class: 'title' }, h('h2', { id: 'graph' }, 'Who waits for whom'), h('span', { class: 'end quiet' }, 'arrows point to what is waited for',
            nodes.length < answer.nodes.length ? `; ${nodes.length} of ${count(answer.nodes.length)} calls` : '')),
        h('div', { class: 'graph', tabindex: 0, role: 'region', 'aria-label': 'Graph of waits' }, drawing({
            nodes, edges, hrefOf: n => to('calls', n.id), label: `${nodes.length} calls and ${edges.length} waits`,
            classOf: n => n.cycle ? 'cycle' : top.has(n.id) ? 'root' : '',
            linesOf: n => [`${n.class}.${n.method}`, `${n.agent}, ${n.state} ${duration(n.age_ms)}`],
        })));
}

function list(answer) {
    const waits = new Map();
    for (const { from, to: target } of answer.edges)
        waits.set(from, [...(waits.get(from) || []), target]);
    return h('section', { class: 'card' }, h('h2', null, 'All of them'), table({
        caption: 'Calls that wait or are waited for', rows: answer.nodes, key: n => n.id,
        columns: [{ label: 'State', of: n => stateTag(n.state) }, { label: 'Age', num: true, of: n => duration(n.age_ms) }, { label: 'Method', of: n => methodName(n.class, n.method) },
            { label: 'Agent', of: n => agentLink(n.agent) }, { label: 'Waits for', of: n => (waits.get(n.id) || []).slice(0, 3).map((id, i) => [i ? ', ' : '', callLink(id)]) }, { label: 'Call', of: n => callLink(n.id) }],
    }));
}

// Memory for the graph is bounded.
export function cutNote(answer) {
    return answer.cut ? h('p', { class: 'note warn', 'data-cut': answer.calls_read }, `The deployment has more calls than as-studio looks at: it has read ${count(answer.calls_read)}, and waits of the others are missing here.`) : null;
}

export default {
    title: 'Waits',
    mount(ctx) {
        let form = 'graph', answer = null;
        const draw = () => {
            if (!answer) {
                ctx.show(head('Waits'), h('p', { class: 'quiet' }, 'Asking the workers …'));
                return;
            }
            const nodes = new Map(answer.nodes.map(n => [n.id, n]));
            ctx.show(head('Waits', {
                more: h('span', { class: 'quiet' }, `${plural(answer.nodes.length, 'call')}, ${plural(answer.cycles.length, 'ring')}`),
                end: answer.nodes.length ? [choice('Form', form, [['graph', 'Graph'], ['list', 'List']], x => { form = x; draw(); })] : [],
            }), rings(answer, nodes),
            answer.nodes.length === 0 ? h('div', { class: 'card' }, empty('No call waits for another', 'Calls that wait for the result of another call are drawn here, and rings of them marked.'))
                : [roots(answer, nodes), form === 'graph' ? graph(answer) : list(answer)],
            answer.more ? h('p', { class: 'quiet' }, `There are more than the ${count(answer.nodes.length)} that are shown.`) : null, cutNote(answer));
        };
        ctx.poll(3000, async () => {
            answer = await ctx.get('/api/waits');
            draw();
        });
        draw();
    },
};
