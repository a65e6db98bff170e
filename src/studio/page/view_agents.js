// view_agents.js: finds agents by the beginning of their ids and by class; one agent is shown by view_agent.js.
import { foreign, h } from './dom.js';
import { count } from './format.js';
import { live } from './live.js';
import { agentLink, empty, field, head, later, table } from './parts.js';
import { remember } from './router.js';
import { mountAgent } from './view_agent.js';

const PAGE = 100;

function mountList(ctx) {
    let rows = [], next = null, prefix = ctx.params.get('prefix') || '', cls = ctx.params.get('class') || '';
    let total = null, classes = [], reading = null, sort = null;
    let wrong = null; // why the last reading has failed, and from where it was to begin

    const input = h('input', { id: 'prefix', type: 'search', value: prefix, autocomplete: 'off', spellcheck: 'false', placeholder: 'the beginning of an id', 'data-keep': 'prefix' });
    const select = h('select', { id: 'class', 'data-keep': 'class' });
    const options = () => select.replaceChildren(h('option', { value: '' }, 'all classes'),
        ...[...new Set([...classes, ...(cls ? [cls] : [])])].sort().map(c => h('option', { value: c, selected: c === cls }, foreign(c).textContent)));

    const draw = () => ctx.show(
        head('Agents', { more: h('span', { class: 'quiet', id: 'count' }, total === null ? '' : `${count(total)} in all`) }),
        h('form', { class: 'card filters', role: 'search', onsubmit: e => { e.preventDefault(); again(); } }, field('Id', input), field('Class', select)),
        h('section', { class: 'card', 'aria-label': 'Agents found', 'aria-busy': String(!!reading) },
            wrong ? failure() : null,
            rows.length ? [
                table({
                    caption: 'Agents', rows, key: a => a.id, sort, onSort: x => { sort = x; draw(); },
                    columns: [{ label: 'Id', of: a => agentLink(a.id), sort: a => a.id }, { label: 'Class', of: a => h('span', { class: 'mono' }, foreign(a.class || '')), sort: a => a.class },
                        { label: 'Partition', num: true, of: a => count(a.partition), sort: a => a.partition }],
                }),
                h('p', { class: 'quiet', role: 'status' }, reading ? 'Searching …' : `${count(rows.length)} shown${next === null && !wrong ? ', no more' : ''}.`),
            ] : reading ? h('p', { class: 'quiet' }, 'Searching …') : wrong ? null
                : prefix || cls ? empty('No agent is like this', 'Ids are compared from their first letter, upper and lower case apart.')
                    : empty('There is no agent yet', 'A program makes one with asq_create, an operator with', h('code', null, 'as-ctl create CLASS --id ID')),
            next !== null && !wrong ? h('button', { type: 'button', onclick: () => read(next) }, 'Show more') : null));

    const failure = () => h('div', { class: 'note bad', role: 'alert' }, wrong.from === null ? 'The search has failed: ' : 'The rest could not be read: ', foreign(wrong.message), '. ',
        h('button', { type: 'button', onclick: () => read(wrong.from) }, 'Try again'));

    // Reads until a page has rows, or there is no more. Rows of before stay until the first answer, or failure.
    const read = async from => {
        reading?.abort();
        const mine = reading = new AbortController();
        ctx.signal.addEventListener('abort', () => mine.abort());
        wrong = null;
        draw();
        try {
            let found = 0, there = from === null ? [] : rows;
            do {
                const answer = await ctx.get('/api/agents', { prefix, class: cls, limit: PAGE, from });
                if (mine.signal.aborted)
                    return;
                const known = new Set(there.map(a => a.id));
                const fresh = answer.agents.filter(a => !known.has(a.id));
                rows = there = [...there, ...fresh];
                found += fresh.length;
                next = from = answer.next;
            } while (next !== null && found < PAGE / 2);
        } catch (error) {
            if (error.status === undefined && error.name !== 'AbortError')
                throw error;
            if (reading === mine && error.name !== 'AbortError') {
                wrong = { from, message: error.message };
                if (from === null)
                    rows = [];
            }
        }
        if (reading === mine)
            reading = null;
        draw();
    };
    const again = () => {
        prefix = input.value;
        cls = select.value;
        remember('agents', null, { prefix, class: cls });
        next = null;
        read(null);
    };
    const typed = later(again);
    input.oninput = typed;
    select.onchange = again;
    ctx.poll(30000, async () => {
        const found = await ctx.get('/api/classes');
        classes = found.map(c => c.name);
        options();
    });
    ctx.on(kind => {
        if (kind === 'overview' && live.overview.agents !== total) {
            total = live.overview.agents;
            draw();
        }
    });
    total = live.overview?.agents ?? null;
    options();
    read(null);
}

export default { title: 'Agents', mount: ctx => ctx.id === null ? mountList(ctx) : mountAgent(ctx) };
