// falls.js: the spans of a trace as a waterfall: when each began, how long it took, and where its time went.
import { foreign, foreignBlock, h, plain, show } from './dom.js';
import { duration } from './format.js';
import { facts } from './parts.js';
import { to } from './router.js';

const MAX_ROWS = 1000;

const PHASES = { queue: 'queue', run: 'run', parked: 'park', commit: 'commit' };
const phaseName = { queue: 'in queue', run: 'running', park: 'parked', commit: 'commit' };

const isPhase = span => (span.kind === 'internal' || span.kind === 1) && PHASES[span.name] !== undefined;

// Where the time of a call went is told by spans below its own: they become pieces of its row.
function folded(spans) {
    const ids = new Set(spans.map(x => x.span_id));
    const phases = new Map();
    const rest = [];
    for (const span of spans) {
        if (isPhase(span) && ids.has(span.parent_id))
            phases.set(span.parent_id, [...(phases.get(span.parent_id) || []), span]);
        else
            rest.push(span);
    }
    return { rest, phases };
}

function ordered(spans) {
    const below = new Map(), ids = new Set(spans.map(x => x.span_id));
    for (const span of spans) {
        const parent = ids.has(span.parent_id) && span.parent_id !== span.span_id ? span.parent_id : '';
        below.set(parent, [...(below.get(parent) || []), span]);
    }
    const out = [], seen = new Set();
    const stack = (below.get('') || []).map(x => [x, 0]).reverse();
    while (stack.length) {
        const [span, depth] = stack.pop();
        if (seen.has(span.span_id))
            continue;
        seen.add(span.span_id);
        out.push([span, depth]);
        for (const child of [...(below.get(span.span_id) || [])].reverse())
            stack.push([child, depth + 1]);
    }
    for (const span of spans) // parents that are each other's children
        if (!seen.has(span.span_id))
            out.push([span, 0]);
    return out;
}

function detail(span, phases) {
    const attributes = Object.entries(span.attributes || {});
    return h('div', { class: 'span-detail stack' },
        span.message ? h('p', { class: 'note bad' }, foreign(span.message)) : null,
        facts([
            ['began', `${duration(span.start_ms)} after the first span`], ['took', duration(span.duration_ms)],
            ...Object.entries(sums(phases)).map(([phase, ms]) => [phaseName[phase], duration(ms)]),
            ['service', foreign(span.service || '')], ['kind', foreign(span.kind ?? '')],
            ...attributes.map(([k, v]) => [foreign(k), typeof v === 'object' ? foreignBlock(JSON.stringify(v)) : attributeValue(k, v)]),
        ]),
        (span.events || []).length ? [h('h3', null, 'Events'), facts(span.events.map(e => [duration(e.offset_ms), foreign(e.name)]))] : null);
}

function sums(phases) {
    const out = {};
    for (const span of phases)
        out[PHASES[span.name]] = (out[PHASES[span.name]] || 0) + span.duration_ms;
    return out;
}

function attributeValue(key, value) {
    if (/call[._]?id$/.test(key))
        return h('a', { href: to('calls', value) }, foreign(value));
    if (/agent([._]id)?$/.test(key))
        return h('a', { href: to('agents', value) }, foreign(value));
    return foreign(value);
}

// The place of a row's text: behind the bar, or before it, or, where neither has room, on it.
function beside(left, width) {
    if (left + width <= 85)
        return { css: { left: `${left + width}%` } };
    return left >= 15 ? { css: { right: `${100 - left}%` } } : { class: 'in', css: { right: `${Math.max(1, 101 - left - width)}%` } };
}

export function waterfall(spans) {
    const total = Math.max(1e-6, ...spans.map(x => x.start_ms + x.duration_ms));
    const { rest, phases } = folded(spans);
    const rows = ordered(rest).slice(0, MAX_ROWS);
    const box = h('div', { class: 'falls' });
    let open = null;
    const draw = () => show(box,
        h('div', { class: 'keys' }, [['queue', 'in queue'], ['run', 'running'], ['park', 'parked'], ['commit', 'commit'], ['client', 'not told apart'], ['fails', 'failed']]
            .map(([c, text]) => h('span', { class: 'key' }, h('i', { class: c }), text))),
        h('div', { class: 'ruler', 'aria-hidden': 'true' }, h('span', null, h('b', null, 'Span')),
            h('div', null, [0, .25, .5, .75, 1].map(x => h('span', null, duration(total * x))))),
        rows.map(([span, depth]) => [row(span, depth), open === span.span_id ? detail(span, phases.get(span.span_id) || []) : null]),
        rest.length > MAX_ROWS ? h('p', { class: 'quiet' }, `The first ${MAX_ROWS} of ${rest.length} spans.`) : null);
    const row = (span, depth) => {
        const failed = span.status === 'error', left = span.start_ms / total * 100, width = span.duration_ms / total * 100;
        return h('button', { type: 'button', class: 'fall', 'aria-expanded': String(open === span.span_id), 'data-span': plain(span.span_id),
            title: plain(span.name),
            onclick: () => { open = open === span.span_id ? null : span.span_id; draw(); } },
        h('span', { class: 'label', css: { 'padding-left': `${Math.min(depth, 24) * .8}rem` } }, foreign(span.name), h('span', { class: 'sr' }, `${failed ? ', failed' : ''}, began after ${duration(span.start_ms)}, took `)),
        h('span', { class: 'lane' },
            h('i', { class: failed ? 'failed' : 'client', css: { left: `${left}%`, width: `${width}%` } }),
            (phases.get(span.span_id) || []).map(x => h('i', { class: PHASES[x.name], title: `${phaseName[PHASES[x.name]]}: ${duration(x.duration_ms)}`,
                css: { left: `${x.start_ms / total * 100}%`, width: `${x.duration_ms / total * 100}%` } })),
            h('span', beside(left, width), duration(span.duration_ms))));
    };
    draw();
    return box;
}
