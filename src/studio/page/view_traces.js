// view_traces.js: the traces that as-studio has received, and one of them as a waterfall.
import { pathOf } from './api.js';
import { foreign, h, keepOf } from './dom.js';
import { count, duration, plural, time } from './format.js';
import { now } from './live.js';
import { waterfall } from './falls.js';
import { empty, head, tag, table } from './parts.js';
import { to } from './router.js';

export function tracesTable(traces, { sort = null, onSort = null } = {}) {
    return table({
        caption: 'Traces', rows: traces, key: t => t.trace_id, sort, onSort,
        columns: [
            { label: 'When', tight: true, of: t => time(t.start_ms, now()), sort: t => t.start_ms }, { label: 'Name', of: t => h('a', { href: to('traces', t.trace_id) }, foreign(t.name, 'mono')), sort: t => t.name },
            { label: 'Took', num: true, of: t => duration(t.duration_ms), sort: t => t.duration_ms }, { label: 'Spans', num: true, of: t => count(t.spans), sort: t => t.spans },
            { label: 'Failed', of: t => t.errors ? tag(plural(t.errors, 'span'), 'bad') : '', sort: t => t.errors },
        ],
    });
}

function mountList(ctx) {
    if (!ctx.session.traces) {
        ctx.show(head('Traces'), h('div', { class: 'card' }, empty('as-studio receives no traces', 'It is a collector itself, for OTLP over HTTP, when it is told to be:', h('code', null, 'as-studio --collect-traces'),
            'and workers and programs send to it:', h('code', null, `as-worker --traces ${location.origin}/v1/traces`))));
        return;
    }
    let answer = null, sort = null;
    const draw = () => ctx.show(head('Traces', { more: h('span', { class: 'quiet' }, answer ? `${count(answer.kept)} kept, ${count(answer.dropped)} dropped` : '') }),
        h('section', { class: 'card', 'aria-label': 'Traces' }, answer === null ? h('p', { class: 'quiet' }, 'Loading …')
            : answer.traces.length ? tracesTable(answer.traces, { sort, onSort: x => { sort = x; draw(); } }) : empty('No trace has come yet', 'Workers and programs send them:', h('code', null, `as-worker --traces ${location.origin}/v1/traces`))));
    ctx.poll(3000, async () => {
        answer = await ctx.get('/api/traces', { limit: 200 });
        draw();
    });
    draw();
}

function mountTrace(ctx) {
    ctx.show(head('Trace'), h('p', { class: 'quiet' }, 'Loading …'));
    ctx.poll(5000, async () => {
        try {
            const trace = await ctx.get(pathOf('traces', ctx.id));
            const ids = new Set(trace.spans.map(span => span.span_id));
            const root = trace.spans.find(span => !ids.has(span.parent_id)) || trace.spans[0];
            ctx.show(head(['Trace: ', foreign(root?.name || '', 'mono')], { more: h('span', { class: 'quiet' }, plural(trace.spans.length, 'span')) }),
                h('section', { class: 'card', 'aria-label': 'Spans' }, h('div', { 'data-keep': keepOf(trace) }, waterfall(trace.spans))));
        } catch (error) {
            if (error.status !== 404)
                throw error;
            ctx.show(head('Trace'), h('div', { class: 'card' }, empty('The trace is not kept any more', 'Newer ones have taken its place.', h('a', { href: to('traces') }, 'All traces'))));
        }
    });
}

export default { title: 'Traces', mount: ctx => ctx.id === null ? mountList(ctx) : mountTrace(ctx) };
