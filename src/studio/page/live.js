// live.js: the stream of events, as long as the page is seen. `live` has the newest reading of each kind; listeners
// are told of each event. The browser connects again by itself when the stream breaks off; where it gives up (an
// answer that is no stream), this does.
import { parse } from './api.js';

const AGAIN_MS = 2000;
const UNSEEN_MS = 30000; // a page that nobody sees asks nothing of Redis
const KEEP = 200;

export const live = {
    state: 'connecting', // 'connecting', 'on', 'lost', 'resting'
    overview: null,
    workers: null,
    takeovers: [], // newest first
    redis: null, // {up, why}
    lost_at: 0,
};

const listeners = new Set();
let source = null;
let again = null;
let rest = null;

// on(f, signal): f(kind) is called for 'state', 'overview', 'redis', 'workers' and 'takeover'.
export function on(f, signal) {
    listeners.add(f);
    signal?.addEventListener('abort', () => listeners.delete(f));
}

function tell(kind) {
    for (const f of [...listeners])
        f(kind);
}

function become(state) {
    if (live.state === state)
        return;
    if (state === 'lost' && !live.lost_at)
        live.lost_at = Date.now();
    if (state === 'on')
        live.lost_at = 0;
    live.state = state;
    tell('state');
}

function receive(kind, take) {
    source.addEventListener(kind, event => {
        become('on');
        take(parse(event.data));
        tell(kind);
    });
}

function open() {
    clearTimeout(again);
    source?.close();
    source = new EventSource('/api/events');
    source.onopen = () => become('on');
    source.onerror = () => {
        become('lost');
        if (source.readyState === EventSource.CLOSED)
            again = setTimeout(open, AGAIN_MS);
    };
    receive('overview', data => { live.overview = data; });
    receive('redis', data => { live.redis = data; });
    receive('workers', data => { live.workers = data; });
    receive('takeover', data => {
        if (!live.takeovers.some(t => t.seq === data.seq))
            live.takeovers = [data, ...live.takeovers].slice(0, KEEP);
    });
    source.addEventListener('logout', () => location.assign('/login.html'));
}

function close() {
    clearTimeout(again);
    source?.close();
    source = null;
    become('resting');
}

export function start(takeovers) {
    live.takeovers = takeovers;
    open();
    document.addEventListener('visibilitychange', () => {
        clearTimeout(rest);
        if (document.hidden)
            rest = setTimeout(close, UNSEEN_MS);
        else if (!source)
            open();
    });
}

// The time by the clock of Redis, or of this machine until that is known.
let ahead = 0;
on(kind => {
    if (kind === 'overview' && live.overview.time_ms)
        ahead = live.overview.time_ms - Date.now();
});
export const now = () => Date.now() + ahead;

// How long it is until the next reading that is due every ms. All pages ask at the same instants by that clock, so that
// one reading of Redis serves them all.
export function untilNext(ms, at) {
    const left = ms - at % ms;
    return left < ms / 2 ? left + ms : left;
}
