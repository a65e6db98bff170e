// view_calls.js: the calls that have not ended, by state; one call is shown by view_call.js.
import { post, pathOf } from './api.js';
import { foreign, h, toast } from './dom.js';
import { count, duration } from './format.js';
import { ask } from './dialogs.js';
import { agentLink, callLink, empty, field, head, later, methodName, stateTag, table } from './parts.js';
import { remember } from './router.js';
import { mountCall } from './view_call.js';
import { reason } from './why.js';

const STATES = [['running', 'on a thread of a worker'], ['parked', 'has begun, and waits for a call or for time'], ['waiting', 'has not begun'], ['delayed', 'a timer: its time has not come'], ['retrying', 'has failed, and will be run again']];
const LIMIT = 200;
export const BEGUN = { state: 'running,parked', limit: 500 }; // what all views ask for

export function cancelCall(call, onDone) {
    ask({
        title: ['Cancel the call of ', methodName(call.class, call.method), '?'], button: 'Cancel the call',
        text: 'If it has not begun, it does not run. A method that runs is told, and its waits end; what it does then is up to it.',
        f: async () => {
            const { end } = await post(pathOf('calls', call.id, 'cancel'));
            toast(end === null ? 'The call has been asked to end.' : `The call has ended: ${end}.`);
            onDone?.();
        },
    });
}

// begun: calls that run or are parked, where the rows may not have them.
export function callsTable(ctx, rows, { sort = null, onSort = null, onDone = null, begun = rows } = {}) {
    // A call waits until what its agent has begun is over.
    const active = new Map(begun.filter(c => c.state === 'running' || c.state === 'parked').map(c => [c.agent, c]));
    const behind = c => c.state === 'waiting' && !c.why && !c.waits_for && active.has(c.agent) ? ['behind ', callLink(active.get(c.agent).id), ' of its agent'] : null;
    return table({
        caption: 'Calls', rows, key: c => c.id, sort, onSort,
        columns: [
            { label: 'State', of: c => stateTag(c.state), sort: c => c.state },
            { label: 'Age', num: true, of: c => duration(c.age_ms), sort: c => c.age_ms },
            { label: 'Method', of: c => methodName(c.class, c.method), sort: c => `${c.class}.${c.method}` },
            { label: 'Agent', of: c => agentLink(c.agent), sort: c => c.agent },
            { label: 'Why', of: c => behind(c) ?? reason(c) },
            { label: 'Call', of: c => callLink(c.id) },
            ...(ctx.writes ? [{ label: '', bare: true, of: c => h('span', { class: 'actions' }, h('button', { type: 'button', class: 'small danger', onclick: () => cancelCall(c, onDone) }, 'Cancel')) }] : []),
        ],
    });
}

function mountList(ctx) {
    const chosen = new Set((ctx.params.get('state') || '').split(',').filter(Boolean));
    let answer = null, begun, sort = { by: 'Age', down: true };
    const agent = h('input', { id: 'agent', type: 'search', value: ctx.params.get('agent') || '', autocomplete: 'off', placeholder: 'the whole id', 'data-keep': 'agent' });
    const cls = h('input', { id: 'class', type: 'search', value: ctx.params.get('class') || '', autocomplete: 'off', placeholder: 'its name', 'data-keep': 'class' });
    const filters = () => ({ state: [...chosen].join(','), agent: agent.value, class: cls.value });
    const draw = () => ctx.show(
        head('Calls', { more: h('span', { class: 'quiet' }, answer ? `${count(answer.calls.length)}${answer.more ? ' of more' : ''} that have not ended` : '') }),
        h('form', { class: 'card filters', role: 'search', onsubmit: e => e.preventDefault() },
            h('fieldset', { class: 'chips' }, h('legend', { class: 'sr' }, 'States'), STATES.map(([state, title]) => h('label', { title },
                h('input', { type: 'checkbox', 'data-keep': state, checked: chosen.has(state), onchange: e => { e.target.checked ? chosen.add(state) : chosen.delete(state); changed(); } }), state))),
            field('Agent', agent), field('Class', cls)),
        h('section', { class: 'card', 'aria-label': 'Calls found' },
            answer === null ? h('p', { class: 'quiet' }, 'Loading …')
                : answer.calls.length ? [callsTable(ctx, answer.calls, { sort, onSort: x => { sort = x; draw(); }, onDone: read, begun }), answer.more ? h('p', { class: 'quiet' }, `These are not all: ${count(answer.calls.length)} of the oldest. Choose a state, an agent or a class to see others.`) : null]
                    : empty('No such call', chosen.size || agent.value || cls.value ? 'Calls that have ended are not listed; failed ones are under Failures.' : 'Nothing runs, and nothing waits.')));
    const read = ctx.poll(2000, async () => {
        const all = chosen.size === 0 || (chosen.has('running') && chosen.has('parked'));
        const [found, more] = await Promise.all([ctx.get('/api/calls', { ...filters(), limit: LIMIT }), all ? null : ctx.get('/api/calls', BEGUN)]);
        answer = found;
        begun = more?.calls;
        draw();
    });
    const changed = () => {
        remember('calls', null, filters());
        read();
    };
    agent.oninput = cls.oninput = later(changed);
    draw();
}

export default { title: 'Calls', mount: ctx => ctx.id === null ? mountList(ctx) : mountCall(ctx) };
