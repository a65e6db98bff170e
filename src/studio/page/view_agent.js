// view_agent.js: one agent: its class, creation arguments, state, and its calls, failures and traces.
import { orError, post, pathOf } from './api.js';
import { foreign, h, toast } from './dom.js';
import { bytes, count, none } from './format.js';
import { ask } from './dialogs.js';
import { callsTable } from './view_calls.js';
import { failuresList } from './view_failures.js';
import { methodRow } from './view_classes.js';
import { timersCard } from './view_timers.js';
import { tracesTable } from './view_traces.js';
import { empty, facts, head } from './parts.js';
import { to } from './router.js';
import { tree } from './tree.js';

const TIMERS = 50;

function remove(ctx) {
    ask({
        title: ['Delete agent ', foreign(ctx.id), '?'], button: 'Delete it', text: 'It ends after the calls that were made to it before. Its state is gone for good.',
        f: async () => {
            await post(pathOf('agents', ctx.id, 'delete'));
            toast(`Agent ${ctx.id} is deleted.`);
            location.hash = to('agents');
        },
    });
}

function body(ctx, agent, related, cls) {
    return [
        head(foreign(ctx.id, 'mono'), {
            more: h('span', { class: 'quiet' }, 'agent of class ', h('a', { href: to('classes', agent.class) }, foreign(agent.class))),
            end: ctx.writes ? [h('button', { type: 'button', class: 'danger', onclick: () => remove(ctx) }, 'Delete …')] : [],
        }),
        h('div', { class: 'columns' },
            h('section', { class: 'card', 'aria-labelledby': 'state' }, h('div', { class: 'title' }, h('h2', { id: 'state' }, 'State'), h('span', { class: 'end quiet' }, agent.state_bytes !== undefined ? bytes(agent.state_bytes) : '')),
                agent.cut ? h('p', { class: 'note' }, 'It is too large to be shown here: as-ctl show prints it.') : h('div', { id: 'state-tree' }, tree(agent.state ?? null))),
            h('div', { class: 'stack' },
                h('section', { class: 'card' }, h('h2', null, 'About it'), facts([['Partition', count(agent.partition)],
                    ['Owner', agent.owner ? h('a', { href: to('workers') }, foreign(agent.owner)) : 'no worker: its calls wait'], ['Version', agent.version ?? none]])),
                h('section', { class: 'card' }, h('h2', null, 'Creation arguments'), tree(agent.args ?? null)))),
        cls ? h('section', { class: 'card' }, h('h2', null, 'Methods'), cls.methods.map(m => methodRow(ctx, cls.name, m, ctx.id))) : null,
        h('section', { class: 'card' }, h('h2', null, 'Calls that have not ended'),
            related.calls.length ? callsTable(ctx, related.calls) : h('p', { class: 'quiet' }, 'It has nothing to do.')),
        timersCard(ctx, related.timers, agent.class, () => ctx.changed()),
        h('section', { class: 'card' }, h('h2', null, 'Last failures'),
            related.failures.length ? failuresList(related.failures) : h('p', { class: 'quiet' }, 'None is kept.')),
        ctx.session.traces ? h('section', { class: 'card' }, h('h2', null, 'Recent calls'),
            related.traces.length ? tracesTable(related.traces) : h('p', { class: 'quiet' }, 'No trace of a call to it was received.')) : null];
}

export function mountAgent(ctx) {
    let cls;
    ctx.show(head(foreign(ctx.id, 'mono')), h('p', { class: 'quiet' }, 'Loading …'));
    const again = ctx.poll(2000, async () => {
        try {
            const [agent, related, timers, traces] = await Promise.all([ctx.get(pathOf('agents', ctx.id)), ctx.get(pathOf('agents', ctx.id, 'calls')),
                orError(ctx.get('/api/timers', { agent: ctx.id, limit: TIMERS })), ctx.session.traces ? ctx.get('/api/traces', { agent: ctx.id, limit: 50 }) : { traces: [] }]);
            if (cls === undefined)
                cls = (await ctx.get('/api/classes')).find(c => c.name === agent.class) || null;
            ctx.show(body(ctx, agent, { ...related, timers, traces: traces.traces }, cls));
        } catch (error) {
            if (error.status !== 404)
                throw error;
            ctx.show(head(foreign(ctx.id, 'mono')), h('div', { class: 'card' }, empty('There is no such agent', 'It was deleted, or never made.', h('a', { href: to('agents') }, 'All agents'))));
        }
    });
    ctx.changed = again;
}
