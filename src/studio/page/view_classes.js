// view_classes.js: the classes that workers have, with their methods and docs; calls one of them, makes an agent,
// pauses and resumes.
import { post } from './api.js';
import { foreign, h, keepOf, plain, toast } from './dom.js';
import { count, duration, plural, short } from './format.js';
import { live } from './live.js';
import { ask, callMethod, createAgent } from './dialogs.js';
import { empty, head, tag } from './parts.js';
import { to } from './router.js';

function flags(list) {
    return (list || []).map(f => tag(f, ''));
}

export function signature(m) {
    return h('span', { class: 'mono' }, h('b', null, foreign(m.name)), '(', (m.params || ['…']).map((p, i) => [i ? ', ' : '', foreign(p)]), ')');
}

const PHASES = [['queue', 'in the queue'], ['run', 'running'], ['parked', 'parked'], ['commit', 'until the commit']];

function timesOf(cls, method) {
    const m = live.overview?.stats?.methods?.find(x => x.class === cls && x.method === method);
    return m ? h('span', { class: 'quiet' }, `${short(m.rate)}/s${m.failed ? `, ${plural(m.failed, 'failure')}` : ''}; at the 99th percentile ${PHASES.filter(([phase]) => m[phase]).map(([phase, text]) => `${text} ${duration(m[phase].p99_ms)}`).join(', ')}`) : null;
}

export function methodRow(ctx, cls, m, agent = null) {
    return h('div', { class: 'method', 'data-method': plain(m.name) },
        h('div', { class: 'line' }, signature(m), flags(m.flags), timesOf(cls, m.name),
            ctx.writes ? h('span', { class: 'end' }, h('button', { type: 'button', class: 'small', 'aria-label': plain(`Call ${m.name}`), onclick: () => callMethod({ agent, method: m, onDone: ctx.changed }) }, 'Call …')) : null),
        m.doc ? h('span', { class: 'quiet' }, foreign(m.doc)) : null);
}

// The whole namespace has class null.
const isPaused = (paused, cls) => (paused || []).some(p => (p.class ?? '') === cls);

function pauseButton(ctx, cls, draw) {
    const on = isPaused(live.overview?.paused, cls);
    const name = cls === '' ? 'all classes' : cls;
    const send = async () => {
        const answer = await post(`/api/${on ? 'resume' : 'pause'}`, cls === '' ? {} : { class: cls });
        if (live.overview && answer.paused)
            live.overview.paused = answer.paused;
        toast(on ? `${name}: calls run again.` : `${name}: calls wait.`);
        draw();
    };
    return h('button', {
        type: 'button', class: 'small', onclick: () => ask({
            title: [on ? 'Resume ' : 'Pause ', foreign(name), '?'], button: on ? 'Resume' : 'Pause', danger: !on, f: send,
            text: on ? 'What waits runs, in its order.' : 'Calls wait in Redis and nothing is lost; those that run now end. Callers with a deadline may see it pass.',
        }),
    }, (on ? 'Resume' : 'Pause') + (cls === '' ? ' all' : ''));
}

function card(ctx, c, wanted, draw) {
    return h('section', { class: 'card', 'data-key': c.name, 'data-class': plain(c.name), 'aria-labelledby': `class-${plain(c.name)}` },
        h('div', { class: 'title' }, h('h2', { id: `class-${plain(c.name)}`, class: 'mono' }, foreign(c.name)), isPaused(live.overview?.paused, c.name) ? tag('paused', 'warn') : null,
            h('span', { class: 'quiet' }, c.workers !== undefined ? `in ${plural(c.workers, 'worker')}` : ''),
            h('span', { class: 'end actions' }, h('a', { class: 'button small', href: to('agents', null, { class: c.name }) }, 'Agents'),
                h('a', { class: 'button small', href: to('failures', null, { class: c.name }) }, 'Failures'),
                ctx.writes ? [pauseButton(ctx, c.name, draw), h('button', { type: 'button', class: 'small', onclick: () => createAgent({ cls: c.name, onDone: id => { location.hash = to('agents', id); } }) }, 'New agent …')] : null)),
        c.doc ? h('p', null, foreign(c.doc)) : null,
        c.methods?.length ? c.methods.map(m => methodRow(ctx, c.name, m)) : h('p', { class: 'quiet' }, 'It has no methods.'),
        c.attributes?.length ? h('div', { class: 'method' }, h('h3', null, 'Attributes'), c.attributes.map(a =>
            h('div', { class: 'line' }, h('span', { class: 'mono' }, foreign(a.name)), flags(a.flags), a.doc ? h('span', { class: 'quiet' }, foreign(a.doc)) : null))) : null);
}

export default {
    title: 'Classes',
    mount(ctx) {
        let classes = null, wanted = ctx.id;
        const draw = () => {
            if (classes === null) {
                ctx.show(head('Classes'), h('p', { class: 'quiet' }, 'Loading …'));
                return;
            }
            ctx.show(head('Classes', { more: h('span', { class: 'quiet' }, count(classes.length)), end: ctx.writes ? [pauseButton(ctx, '', draw)] : [] }),
                classes.length === 0 ? h('div', { class: 'card' }, empty('No class is known', 'Classes come with the plugins of workers, and are shown as soon as a worker is alive.', h('code', null, 'as-worker --agent-dir DIR'))) : null,
                h('div', { class: 'stack' }, classes.map(c => card(ctx, c, wanted, draw))));
            if (wanted) {
                document.querySelector(`[data-class="${CSS.escape(plain(wanted))}"]`)?.scrollIntoView({ block: 'start' });
                wanted = null;
            }
        };
        let paused = '';
        ctx.on(kind => {
            const now = keepOf(live.overview?.paused); // others pause and resume, too
            if (kind === 'overview' && now !== paused) {
                paused = now;
                draw();
            }
        });
        ctx.poll(5000, async () => {
            classes = await ctx.get('/api/classes');
            classes.sort((a, b) => a.name < b.name ? -1 : 1);
            draw();
        });
        draw();
    },
};
