// tree.js: shows a value of an agent (its state, arguments, a result) as a tree that opens and closes by keyboard.
import { foreign, h, keepOf } from './dom.js';
import { to } from './router.js';

const MAX_ROWS = 200; // of one list or map at once
const OPEN_DEPTH = 2;

export function tree(value, name = null) {
    return h('ul', { class: 'tree', 'data-keep': keepOf(value) }, row(name, value, 0));
}

function row(name, value, depth) {
    const label = name === null ? null : [h('span', { class: 'k' }, typeof name === 'number' ? String(name) : foreign(name)), ': '];
    const special = known(value);
    if (special)
        return h('li', null, label, special);
    if (value !== null && typeof value === 'object') {
        const entries = Array.isArray(value) ? value.map((v, i) => [i, v]) : Object.entries(value);
        const open = depth < OPEN_DEPTH && entries.length <= 50;
        if (entries.length === 0)
            return h('li', null, label, Array.isArray(value) ? '[ ]' : '{ }');
        const inside = h('ul', null);
        const details = h('details', { open },
            h('summary', null, label, Array.isArray(value) ? `[ ${entries.length} ]` : `{ ${entries.length} }`), inside);
        let filled = 0;
        const fillMore = () => {
            inside.lastElementChild?.matches('.rest') && inside.lastElementChild.remove();
            for (const [k, v] of entries.slice(filled, filled + MAX_ROWS))
                inside.append(row(k, v, depth + 1));
            filled = Math.min(entries.length, filled + MAX_ROWS);
            if (filled < entries.length)
                inside.append(h('li', { class: 'rest' }, h('button', { type: 'button', class: 'small', onclick: fillMore }, `${entries.length - filled} more …`)));
        };
        if (open)
            fillMore();
        details.ontoggle = () => { if (details.open && filled === 0) fillMore(); };
        return h('li', null, details);
    }
    return h('li', null, label, leaf(value));
}

// What JSON cannot say, in the library's form.
function known(value) {
    if (value === null || typeof value !== 'object' || Array.isArray(value))
        return null;
    const keys = Object.keys(value);
    if (typeof value.$agent === 'string' && keys.length <= 2)
        return h('span', null, 'agent ', h('a', { href: to('agents', value.$agent) }, foreign(value.$agent)), value.class ? [' (', foreign(value.class), ')'] : null);
    if (keys.length !== 1 && keys[0] !== '$future')
        return null;
    if (typeof value.$future === 'string')
        return h('span', null, 'result of ', h('a', { href: to('calls', value.$future) }, foreign(value.$future)));
    if (typeof value.$bytes === 'string')
        return h('span', { class: 'odd' }, `${Math.floor(value.$bytes.replace(/=+$/, '').length * 3 / 4)} bytes: `, foreign(value.$bytes.length > 96 ? `${value.$bytes.slice(0, 96)}…` : value.$bytes));
    if (value.$double !== undefined)
        return h('span', { class: 'lit' }, foreign(value.$double));
    return null;
}

function leaf(value) {
    if (typeof value === 'string')
        return h('span', { class: 'str' }, '"', foreign(value), '"');
    return h('span', { class: 'lit' }, String(value));
}
