// app.js: the frame: navigation, the state of the connection, the theme, and which view is shown.
import { get, useCsrf } from './api.js';
import { redraw } from './chart.js';
import { foreign, h, show, toast } from './dom.js';
import { duration } from './format.js';
import { live, now, on, start, untilNext } from './live.js';
import { route } from './router.js';
import agents from './view_agents.js';
import calls from './view_calls.js';
import classes from './view_classes.js';
import dead from './view_dead.js';
import failures from './view_failures.js';
import overview from './view_overview.js';
import timers from './view_timers.js';
import traces from './view_traces.js';
import waits from './view_waits.js';
import workers from './view_workers.js';

const views = { overview, workers, classes, agents, calls, timers, waits, failures, dead, traces };
const at = id => document.getElementById(id);

let session = null;
let leave = null;
const missing = new Set(); // paths that the server does not have

function navigation() {
    const { view } = route();
    const letters = live.overview?.dead_letters || 0;
    const gone = live.overview?.workers?.dead || 0;
    const badges = { dead: letters ? h('span', { class: 'badge', 'aria-label': `${letters} dead letters` }, letters) : null,
        workers: gone ? h('span', { class: 'badge warn', 'aria-label': `${gone} workers are gone` }, gone) : null };
    show(at('views'), Object.entries(views).map(([name, v]) =>
        h('a', { href: `#/${name}`, 'aria-current': name === view ? 'page' : null }, v.title, badges[name])));
}

function connection() {
    // The overview is told each second; the event 'redis' only when its state changes.
    const link = at('link'), up = live.overview?.redis?.up ?? live.redis?.up;
    const text = live.state === 'on' ? (up === false ? 'Redis is away' : live.overview ? 'live' : 'connected')
        : live.state === 'lost' ? 'connection lost' : live.state === 'resting' ? 'resting' : 'connecting …';
    link.className = `link ${live.state === 'on' && up !== false ? 'on' : live.state === 'lost' || up === false ? 'lost' : ''}`;
    if (link.textContent !== text)
        link.textContent = text;
    show(at('banner'), live.state === 'lost'
        ? h('p', { class: 'note bad', 'data-banner': 'lost' }, h('strong', null, 'as-studio does not answer. '), 'What is shown is old. It is asked again every few seconds; nothing has to be done here.')
        : live.state === 'on' && up === false
            ? h('div', { class: 'note bad', 'data-banner': 'redis' }, h('strong', null, 'Redis is away. '), 'Calls wait in their callers until it is back. as-studio tries to connect: ', foreign(live.overview?.redis?.error || live.redis?.why || ''))
            : []);
}

function tools() {
    const themes = h('select', {
        'aria-label': 'Theme', onchange: event => {
            document.documentElement.dataset.theme = event.target.value;
            try {
                localStorage.setItem('as-studio-theme', event.target.value);
            } catch { /* for this page alone, then */ }
            redraw();
        },
    }, [['system', 'System theme'], ['light', 'Light'], ['dark', 'Dark']].map(([value, text]) =>
        h('option', { value, selected: document.documentElement.dataset.theme === value }, text)));
    show(at('tools'),
        h('span', { class: session.allow_writes ? 'tag warn' : 'tag', title: session.allow_writes ? 'as-studio was started with --allow-writes' : 'as-studio was started without --allow-writes' }, session.allow_writes ? 'can write' : 'read-only'),
        themes,
        session.login_needed ? h('button', { type: 'button', class: 'small', onclick: logout }, 'Log out') : null);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
}

async function logout() {
    await fetch('/api/logout', { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': session.csrf }, body: '{}' });
    location.assign('/login.html');
}

// What a view is given: its element, its parameters, and readings that end with it.
function context(root, { id, params }, signal) {
    const problem = h('div', { 'data-keep': 'problem' });
    const body = h('div', { class: 'stack', 'data-keep': 'body' });
    root.replaceChildren(problem, body);
    const failed = error => show(problem, error
        ? h('div', { class: 'note bad', role: 'alert' }, foreign(error.message), '. It is asked again.') : []);
    return {
        id, params, session, signal, body, failed,
        writes: session.allow_writes,
        show: (...children) => { if (!signal.aborted) show(body, ...children); },
        // Reads again and again, about every ms; tells what fails. again(): at once.
        poll(ms, read) {
            let timer, running = false, missed = false;
            const round = async () => {
                clearTimeout(timer);
                if (running) {
                    missed = true;
                    return;
                }
                running = true;
                try {
                    if (!document.hidden) {
                        await read(signal);
                        failed(null);
                    }
                } catch (error) {
                    if (signal.aborted)
                        return;
                    if (error.status !== undefined)
                        failed(error.code === 'GONE' ? null : error);
                    else
                        throw error;
                } finally {
                    running = false;
                    if (!signal.aborted)
                        timer = setTimeout(round, missed ? 0 : untilNext(ms, now()));
                    missed = false;
                }
            };
            signal.addEventListener('abort', () => clearTimeout(timer));
            document.addEventListener('visibilitychange', () => { if (!document.hidden) round(); }, { signal });
            round();
            return round;
        },
        on: f => on(f, signal),
        get: (path, p) => get(path, p, signal),
        // For what an older server, or one that keeps no history, does not have.
        maybe: async (path, p, otherwise) => {
            try {
                return missing.has(path) ? otherwise : await get(path, p, signal);
            } catch (error) {
                if (error.status !== 404 && error.status !== 501)
                    throw error;
                missing.add(path);
                return otherwise;
            }
        },
    };
}

function showView() {
    leave?.abort();
    leave = new AbortController();
    const where = route(), view = views[where.view];
    navigation();
    at('views').querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    const root = at('view');
    if (!view) {
        root.replaceChildren(h('h1', { tabindex: -1 }, 'There is no such view'));
        return;
    }
    root.dataset.view = where.view;
    document.title = `${view.title} · as-studio`;
    view.mount(context(root, where, leave.signal));
}

async function begin() {
    let wait = 500;
    for (;;) {
        try {
            session = await get('/api/session');
            break;
        } catch (error) {
            show(at('view'), h('p', { class: 'note bad' }, foreign(error.message), `; it is asked again in ${duration(wait)}.`));
            await new Promise(r => setTimeout(r, wait));
            wait = Math.min(wait * 2, 8000);
        }
    }
    if (session.login_needed && !session.logged_in) {
        location.assign('/login.html');
        return;
    }
    useCsrf(session.csrf || '');
    show(at('where'), 'namespace ', h('b', null, foreign(session.namespace)), ' on ', foreign(session.redis));
    tools();
    on(kind => {
        if (kind === 'state' || kind === 'overview' || kind === 'redis') {
            connection();
            navigation();
        }
    });
    const takeovers = await get('/api/takeovers').catch(() => []);
    start(takeovers);
    connection();
    showView();
    addEventListener('hashchange', () => {
        showView();
        scrollTo(0, 0);
        at('main').focus({ preventScroll: true });
    });
}

addEventListener('unhandledrejection', event => {
    if (event.reason?.name !== 'AbortError')
        toast(`A fault of this page: ${event.reason?.message || event.reason}`, 'bad');
});
begin();
