// parts.js: pieces of which several views are made: tables, states, empty places, links to agents and calls.
import { foreign, h, keep, plain } from './dom.js';
import { plural } from './format.js';
import { to } from './router.js';

export function empty(title, ...more) {
    return h('div', { class: 'empty' }, h('strong', null, title), more.map(m => typeof m === 'string' ? h('span', null, m) : m));
}

export function tag(text, kind = '') {
    return h('span', { class: `tag ${kind}` }, text);
}

export const stateTag = state => tag(state, state);

export function agentLink(id) {
    return id ? h('a', { href: to('agents', id) }, foreign(id)) : h('span', { class: 'quiet' }, 'none');
}

export function callLink(id, text = null) {
    return h('a', { href: to('calls', id), class: text === null ? 'mono tight' : 'mono', title: plain(id) }, text ?? foreign(id.length > 14 ? `…${id.slice(-12)}` : id));
}

// Counter.add, with what others have named isolated.
export function methodName(cls, method) {
    return h('span', { class: 'mono' }, foreign(cls || '?'), '.', foreign(method || '?'));
}

// table({caption, columns, rows, key, sort, onSort}): a column is {label, of: row => content, num, sort: row => value,
// hide: true where cards have no label}. Rows are elements with the key's text as theirs.
export function table({ caption, columns, rows, key, sort, onSort }) {
    let sorted = rows;
    const by = columns.find(c => sort && c.label === sort.by && c.sort);
    if (by)
        sorted = [...rows].sort((a, b) => compare(by.sort(a), by.sort(b)) * (sort.down ? -1 : 1));
    return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
        h('table', { class: 'cards' },
            h('caption', { class: 'sr' }, caption),
            h('thead', null, h('tr', null, columns.map(c => heading(c, sort, onSort)))),
            h('tbody', null, sorted.map(row => h('tr', { 'data-key': key ? key(row) : null, 'data-row': key ? plain(key(row)) : null },
                columns.map(c => h('td', { class: [c.num && 'num', c.tight && 'tight', c.bare && 'bare'].filter(Boolean).join(' ') || null, 'data-label': c.label }, h('div', { class: 'cell' }, c.of(row)))))))));
}

function heading(column, sort, onSort) {
    const chosen = sort && column.sort && sort.by === column.label;
    return h('th', { scope: 'col', class: column.num ? 'num' : null, 'aria-sort': chosen ? (sort.down ? 'descending' : 'ascending') : null, title: column.title },
        column.sort && onSort
            ? h('button', { type: 'button', onclick: () => onSort({ by: column.label, down: chosen ? !sort.down : true }) },
                column.label, h('span', { 'aria-hidden': 'true' }, chosen ? (sort.down ? ' ▾' : ' ▴') : ''))
            : column.label || h('span', { class: 'sr' }, 'Actions'));
}

function compare(a, b) {
    if (a === b)
        return 0;
    if (a === null || a === undefined)
        return -1;
    if (b === null || b === undefined)
        return 1;
    return a < b ? -1 : 1;
}

// Who had a partition, and who has it.
export function moved(takeover) {
    const { from, to: heir } = takeover;
    return from && from === heir ? [foreign(heir), ' has claimed it again'] : [from ? foreign(from) : 'nobody', ' → ', heir ? foreign(heir) : 'nobody'];
}

// Who took over how many partitions of a worker that has died, the most first; '' if nobody has.
export function heirs(death) {
    const taken = Object.entries(death.heirs || {}).sort((a, b) => Number(b[1]) - Number(a[1]));
    return taken.map(([id, n], i) => [i ? ', ' : '', `${plural(n, 'partition')} to `, foreign(id)]);
}

export function facts(pairs) {
    return h('dl', { class: 'facts' }, pairs.filter(Boolean).map(([name, value]) => [h('dt', null, name), h('dd', null, value)]));
}

export function meter(value, most, label) {
    const share = most > 0 ? Math.min(1, Number(value) / Number(most)) : 0;
    return h('span', { class: share >= 1 ? 'meter full' : 'meter', role: 'img', 'aria-label': label }, h('i', { css: { width: `${(share * 100).toFixed(1)}%` } }));
}

// A control with data-keep is the same element each time.
export function field(label, control) {
    return h('div', { class: 'field' }, h('label', { for: control.id }, label), control.dataset.keep ? keep(control) : control);
}

export function head(title, { end = [], more = null } = {}) {
    return h('div', { class: 'head' }, h('h1', { tabindex: -1 }, title), more, h('div', { class: 'end' }, end));
}

export function choice(label, chosen, options, onChoose) {
    return h('span', { class: 'switch', role: 'group', 'aria-label': label },
        options.map(([value, text]) => h('button', { type: 'button', 'aria-pressed': String(value === chosen), onclick: () => onChoose(value) }, text)));
}

// Runs f when nothing was typed for a moment.
export function later(f, ms = 250) {
    let timer;
    return () => {
        clearTimeout(timer);
        timer = setTimeout(f, ms);
    };
}
