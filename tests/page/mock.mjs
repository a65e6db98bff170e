// mock.mjs: answers as as-studio does, from data made here, to see the page in states that a real deployment is
// seldom in. By hand: node mock.mjs [PORT]; then the page is at http://127.0.0.1:PORT.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export const HOSTILE = '<script>window.hacked=1</script>\u202egnp.\u001b[31m<img src=x onerror=window.hacked=1>';
export const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', svg: 'image/svg+xml' };

const percentiles = (p50, p99) => ({ count: 100, mean_ms: p50, p50_ms: p50, p90_ms: (p50 + p99) / 2, p99_ms: p99, max_ms: p99 * 1.3 });
const method = (cls, name, rate, failed, q, r, p, c) => ({ class: cls, method: name, rate, calls: Math.round(rate * 60), failed, failures: failed ? { 'ASQ_EUSER(1)': failed } : {},
    queue: percentiles(q, q * 4), run: percentiles(r, r * 6), parked: percentiles(p, p * 3), commit: percentiles(c, c * 2) });

export function world() {
    const t = Date.now();
    const calls = [
        { id: 'c0a1-1.0', state: 'parked', age_ms: 184000, agent: 'planner-1', class: 'Planner', method: 'plan', partition: 3, why: 'waits for a result', waits_for: 'c0a1-2.0', awaited: 3 },
        { id: 'c0a1-2.0', state: 'parked', age_ms: 183500, agent: 'search-7', class: 'Searcher', method: 'search', partition: 9, why: 'waits for a result', waits_for: 'c0a1-3.0', caller: 'c0a1-1.0' },
        { id: 'c0a1-3.0', state: 'running', age_ms: 183000, run_ms: 182000, worker: 'web-1.0', args: `["${HOSTILE}"]`, agent: 'fetch-12', class: 'Fetcher', method: 'get', partition: 40, why: 'runs', caller: 'c0a1-2.0' },
        { id: 'c0a1-4.0', state: 'waiting', age_ms: 120000, agent: 'fetch-12', class: 'Fetcher', method: 'get', partition: 40, why: 'another call of the agent runs', waits_for: 'c0a1-3.0', caller: 'c0a1-1.0' },
        { id: 'd1-1.0', state: 'parked', age_ms: 45000, agent: 'left', class: 'Ring', method: 'ask', partition: 1, why: 'waits for a result', waits_for: 'd1-2.0' },
        { id: 'd1-2.0', state: 'parked', age_ms: 44000, agent: 'right', class: 'Ring', method: 'ask', partition: 2, why: 'waits for a result', waits_for: 'd1-3.0', caller: 'd1-1.0' },
        { id: 'd1-3.0', state: 'waiting', age_ms: 43000, agent: 'left', class: 'Ring', method: 'ask', partition: 1, why: 'its agent waits', waits_for: 'd1-1.0', caller: 'd1-2.0' },
        { id: 'e-1.0', state: 'delayed', age_ms: 5000, agent: 'cron', class: 'Timer', method: 'tick', partition: 5, due_ms: 55000 },
        { id: 'f-1.0', state: 'retrying', age_ms: 9000, agent: 'mailer', class: 'Mailer', method: 'send', partition: 6, due_ms: 800, failed_runs: 3 },
        { id: 'w-1.0', state: 'waiting', age_ms: 7200, agent: 'fetch-12', class: 'Fetcher', method: 'get', partition: 40 },
        { id: 'h-1.0', state: 'running', age_ms: 10, agent: HOSTILE, class: HOSTILE, method: HOSTILE, partition: 7 },
    ];
    const node = (id, cycle = 0) => ({ ...calls.find(c => c.id === id), cycle });
    const edges = calls.filter(c => c.waits_for).map(c => ({ from: c.id, to: c.waits_for, kind: 'waits' }));
    const failure = (i, over) => ({ id: `f${i}`, time_ms: t - i * 7000, partition: i, class: 'Mailer', method: 'send', agent: `mailer-${i}`, code: 'ASQ_EUSER(1)', number: -1001,
        message: 'SMTP server answers 421 4.7.0: too many connections', attempt: 1 + i % 3, again: i % 2 === 0, worker: 'web-2.0', call_id: `x-${i}.0`, args: '["grace@example.org",{"subject":"Hello"}]', ...over });
    return {
        t, calls, HOSTILE,
        waits: { nodes: [...['c0a1-1.0', 'c0a1-2.0', 'c0a1-3.0', 'c0a1-4.0'].map(id => node(id)), ...['d1-1.0', 'd1-2.0', 'd1-3.0'].map(id => node(id, 1))], edges, cycles: [['d1-1.0', 'd1-2.0', 'd1-3.0']], roots: [{ id: 'c0a1-3.0', waiting: 3, more: true }], more: false, calls_read: 150000, cut: true },
        failures: [failure(0), failure(1), failure(2), failure(3, { class: HOSTILE, method: HOSTILE, agent: HOSTILE, message: HOSTILE + '\nsecond line', args: HOSTILE, worker: HOSTILE }), failure(4, { class: 'Counter', method: 'add', code: 'ASQ_EARGS', agent: 'tally', message: 'argument n is a string, not an integer', args: null })],
        summary: { counted: 5000, more: true, kinds: [{ class: 'Mailer', method: 'send', code: 'ASQ_EUSER(1)', count: 212, last_ms: t - 1500 }, { class: 'Counter', method: 'add', code: 'ASQ_EARGS', count: 3, last_ms: t - 400000 }, { class: HOSTILE, method: HOSTILE, code: HOSTILE, count: 1, last_ms: t - 500000 }] },
        dead: [{ id: '5-1764000000000-0', time_ms: t - 60000, call: 'parser-3.parse', call_id: 'p-1.0', reason: 'process 812 (web-2.0) was ended by SIGSEGV; 3 worker processes died while they ran Parser.parse of agent parser-3', attempts: 3, worker: 'web-1.0', batch_bytes: 412 },
            { id: '6-1764000000001-0', time_ms: t - 90000, call: HOSTILE, call_id: 'p-2.0', reason: HOSTILE, attempts: 3, worker: HOSTILE, batch_bytes: 100 }],
        classes: [
            { name: 'Counter', doc: 'Counts, and keeps the count through whatever dies.', workers: 2, methods: [{ name: 'add', params: ['n'], flags: ['nonblocking'], doc: 'Adds n; gives the new value.' }, { name: 'reset', params: [], flags: ['nonblocking'], doc: 'Sets the value to 0.' }], attributes: [{ name: 'value', flags: [], doc: 'The count.' }] },
            { name: 'Mailer', doc: 'Sends letters.', workers: 2, methods: [{ name: 'send', params: ['to', 'letter'], flags: [], doc: 'Sends a letter.' }, { name: 'any', params: null, flags: ['concurrent'], doc: '' }], attributes: [] },
            { name: HOSTILE, doc: HOSTILE, workers: 1, methods: [{ name: HOSTILE, params: [HOSTILE], flags: [], doc: HOSTILE }], attributes: [] }],
        timers: [
            { agent: 'tally', name: 'often', method: 'add', args: '[1]', args_cut: false, every_ms: 2000, overlap: 'queue', missed: 'one', fired: 7, last_call: '3-c0a1b2-0' },
            { agent: 'tally', name: 'nightly', method: 'reset', cron: '30 4 * * *', zone: 'Europe/Berlin', overlap: 'skip', missed: 'all', next_ms: t + 3600000, fired: 0 },
            { agent: 'mailer-1', name: 'late', method: 'send', at_ms: t - 90000, overlap: 'cancel', missed: 'skip', next_ms: t - 90000, fired: 0 },
            { agent: HOSTILE, name: HOSTILE, method: HOSTILE, args: HOSTILE, args_cut: true, cron: HOSTILE, zone: HOSTILE, overlap: HOSTILE, missed: HOSTILE, next_ms: t + 7200000, fired: 12, last_ms: t - 5000, last_call: HOSTILE },
            ...Array.from({ length: 120 }, (_, i) => ({ agent: `mailer-${i}`, name: 'weekly', method: 'send', cron: '0 8 * * 1', overlap: 'queue', missed: 'one', next_ms: t + 86400000 + i * 1000, fired: i, last_ms: t - 3600000, last_call: `x-${i}.0` }))],
        agents: [{ id: 'tally', class: 'Counter', partition: 3 }, { id: HOSTILE, class: HOSTILE, partition: 7 }, ...Array.from({ length: 60 }, (_, i) => ({ id: `mailer-${i}`, class: 'Mailer', partition: i }))],
        takeovers: [5, 6, 7].map((p, i) => ({ seq: 10 - i, time_ms: t - i * 300 - 2000, partition: p, from: 'web-3.0', to: i % 2 ? 'web-1.0' : 'web-2.0' })).concat({ seq: 7, time_ms: t - 9000, partition: 9, from: 'web-2.0', to: 'web-2.0' }, { seq: 3, time_ms: t - 300000, partition: 5, from: 'web-3.0', to: 'web-2.0' }),
        deaths: [
            { id: 'web-4.0', time_ms: t - 120000, how: 'SIGSEGV', signal: 'SIGSEGV', host: 'web-4', pid: 4711, found_by: 'web-4', heirs: { 'web-1.0': 1, 'web-2.0': 4 } },
            { id: 'web-1.0', time_ms: t - 300000, how: 'no heartbeat for 10.2 s', silent_ms: 10200, heard_ms: t - 290000, host: 'web-1', pid: 812, found_by: 'web-2.0', heirs: {} },
            { id: HOSTILE, time_ms: t - 7200000, how: HOSTILE, signal: HOSTILE, host: HOSTILE, found_by: HOSTILE, heirs: { [HOSTILE]: 1 } },
            { id: 'web-5.0', time_ms: t - 9000000, how: 'unknown', found_by: 'web-2.0', heirs: {} }],
    };
}

export function mock({ page, vendor, session = {}, empty = false, stats = true }) {
    const w = world();
    const state = { up: true, streams: new Set(), posts: [], login: !session.login_needed, left: new Set() };
    const workers = () => empty ? [] : [
        { id: 'web-1.0', alive: true, host: 'web-1', pid: 812, version: '0.1.0', capacity: 32, partitions: 64, calls: 50000 + Date.now() % 100000, failures: 4, agents: 400, agent_bytes: 9e6, stopping: false, seen_ms: 200, uptime_ms: 3.6e6, running: 31, parked: 4, waiting: 9, stuck: 'c0a1-9-0 odd\n3-c0a1b2-0 184 s planner-1.plan waits for call 9-ab-0\n', classes: ['Counter', 'Mailer'], owns: Array.from({ length: 64 }, (_, i) => i) },
        { id: 'web-2.0', alive: true, host: 'web-2', pid: 813, version: '0.1.0', capacity: 32, partitions: 62, calls: 40000 + Date.now() % 100000, failures: 9, agents: 500, agent_bytes: 1.1e7, stopping: true, seen_ms: 100, uptime_ms: 7.2e6, running: 12, parked: 40, waiting: 0, classes: ['Counter', HOSTILE], owns: Array.from({ length: 62 }, (_, i) => i + 64) },
        { id: 'web-3.0', alive: false, host: 'web-3', pid: 99, version: '0.1.0', capacity: 32, partitions: 0, calls: 700, failures: 0, agents: 0, agent_bytes: 0, stopping: false, seen_ms: 21000, uptime_ms: 100000, owns: [] }].filter(x => !state.left.has(x.id));
    const methods = [method('Counter', 'add', 812, 0, .2, .05, 0, .4), method('Mailer', 'send', 24, 212, 3, 180, 0, .5), method('Planner', 'plan', 1.2, 0, 1, 20, 900, .7), method(HOSTILE, HOSTILE, .1, 1, 1, 1, 1, 1)];
    const overview = () => empty ? { time_ms: Date.now(), namespace: 'default', redis: { up: state.up, ping_ms: .2, error: '' }, workers: { alive: 0, stopping: 0, dead: 0 }, partitions: { total: 0, owned: 0 }, capacity: 0, running: 0, parked: 0, waiting: 0, agents: 0, agents_in_memory: 0, agent_bytes: 0, calls: 0, failures: 0, dead_letters: 0, calls_per_s: 0, failures_per_s: 0, stats: null }
        : { time_ms: Date.now(), namespace: 'default', redis: { up: state.up, ping_ms: .21, error: state.up ? '' : 'connection refused' }, workers: { alive: 2, stopping: 1, dead: 1, most: 9, most_ms: w.t - 1800000 }, partitions: { total: 128, owned: 126 }, capacity: 64, running: 43, parked: 44, waiting: 9, agents: 1003, agents_in_memory: 900, agent_bytes: 2e7,
            calls: 90000, failures: 13, deaths: w.deaths, dead_letters: w.dead.length, calls_per_s: 830 + Math.random() * 60, failures_per_s: 3.5, stats: stats ? { now: { oldest_waiting_ms: 7200 }, total: {}, methods, step_ms: 1000 } : null };
    const points = () => Array.from({ length: 60 }, (_, i) => {
        const wave = Math.sin((i + Date.now() / 1000) / 9);
        return { time_ms: Date.now() - (60 - i) * 1000, rate: 800 + wave * 120 + i % 5 * 9, failed: i > 40 ? 4 + i % 3 : 0, queue_p99_ms: 9 + wave * 4, run_p99_ms: 400 + wave * 80, parked_p99_ms: i < 20 ? null : 900, commit_p99_ms: 1.2, running: 40 + wave * 5, waiting: 9, parked: 44, oldest_waiting_ms: i * 120 };
    });
    const spans = () => {
        const out = [];
        const span = (id, parent, name, kind, start, took, over = {}) => out.push({ span_id: id, parent_id: parent, name, kind, start_ms: start, duration_ms: took, status: 'unset', message: '', service: 'as-worker', attributes: {}, events: [], ...over });
        const run = (id, parent, name, start, phases, over) => {
            const took = phases.reduce((n, [, ms]) => n + ms, 0);
            span(id, parent, name, 'server', start, took, { attributes: { 'asqueue.agent': name, 'asqueue.call_id': `${id}.0` }, ...over });
            let at = start;
            phases.forEach(([p, ms], i) => { span(`${id}.${i}`, id, p, 'internal', at, ms); at += ms; });
        };
        span('0', '', 'Planner.plan', 'client', 0, 1210);
        run('1', '0', 'Planner.plan', 5, [['queue', 30], ['run', 60], ['parked', 900], ['run', 180], ['commit', 20]]);
        run('2', '1', 'Searcher.search', 110, [['queue', 40], ['run', 300], ['parked', 300], ['run', 120], ['commit', 12]]);
        run('3', '2', 'Fetcher.get', 460, [['queue', 200], ['run', 60], ['commit', 5]], { status: 'error', message: 'connection refused' });
        run('4', '1', HOSTILE, 120, [['queue', 10], ['run', 500], ['commit', 30]]);
        return out;
    };
    const timers = q => {
        const at = Date.now(), often = { last_ms: at - at % 2000, next_ms: at - at % 2000 + 2000 };
        const chosen = w.timers.map(x => x.every_ms ? { ...x, ...often } : x).filter(x => (!q.get('agent') || x.agent === q.get('agent')) && x.agent.startsWith(q.get('prefix') || '') && x.name.startsWith(q.get('name') || '')).sort((a, b) => a.next_ms - b.next_ms);
        const from = Number(q.get('from') || 0), end = from + Number(q.get('limit') || 100);
        return empty ? { timers: [], next: null } : { timers: chosen.slice(from, end), next: end < chosen.length ? String(end) : null };
    };
    const lists = {
        '/api/timers': timers,
        '/api/waits': () => empty ? { nodes: [], edges: [], cycles: [], roots: [], more: false } : w.waits,
        '/api/calls': q => ({ calls: empty ? [] : w.calls.filter(c => (!q.get('state') || q.get('state').split(',').includes(c.state)) && (!q.get('agent') || c.agent === q.get('agent')) && (!q.get('class') || c.class === q.get('class'))), more: false }),
        '/api/failures': q => ({ more: false, failures: empty ? [] : w.failures.filter(f => ['class', 'method', 'agent', 'code'].every(k => !q.get(k) || f[k] === q.get(k))) }),
        '/api/failures/summary': () => empty ? { kinds: [], counted: 0, more: false } : w.summary,
        '/api/dead': () => ({ more: false, letters: empty ? [] : w.dead }),
        '/api/classes': () => empty ? [] : w.classes,
        '/api/agents': q => ({ agents: empty ? [] : w.agents.filter(a => a.id.startsWith(q.get('prefix') || '') && (!q.get('class') || a.class === q.get('class'))), next: null }),
        '/api/workers': workers,
        '/api/overview': overview,
        '/api/deaths': () => empty ? [] : w.deaths,
        '/api/takeovers': () => empty ? [] : w.takeovers,
        '/api/traces': () => ({ traces: [{ trace_id: 'ab12', name: 'Planner.plan', start_ms: w.t - 5000, duration_ms: 1210, spans: 20, errors: 1 }, { trace_id: 'ab13', name: HOSTILE, start_ms: w.t - 9000, duration_ms: 3, spans: 1, errors: 0 }], kept: 2, dropped: 0 }),
        '/api/session': () => ({ version: '0.1.0', login_needed: !!session.login_needed, logged_in: state.login, namespace: 'default', redis: 'redis://127.0.0.1:6379', allow_writes: false, traces: true, csrf: 'c5f', ...session }),
    };
    const one = path => {
        const [, , kind, id, more] = path.split('/').map(decodeURIComponent);
        if (kind === 'agents' && more === 'calls')
            return { calls: w.calls.filter(c => c.agent === id), failures: w.failures.filter(f => f.agent === id), spans: [] };
        if (kind === 'agents')
            return w.agents.some(a => a.id === id) || w.calls.some(c => c.agent === id) ? { ...w.agents.find(a => a.id === id), version: 1, owner: 'web-1.0', args: { start: 40 }, state: { value: 42, [HOSTILE]: HOSTILE, big: '9007199254740993 stands here', friend: { $agent: 'mailer-1', class: 'Mailer' }, raw: { $bytes: 'AAEC' }, nan: { $double: 'nan' }, list: Array.from({ length: 300 }, (_, i) => i), deep: { a: { b: { c: [true, null] } } } }, state_bytes: 4100, cut: false } : null;
        if (kind === 'calls' && w.calls.some(c => c.id === id)) {
            const ring = w.waits.cycles[0].includes(id), family = w.calls.filter(c => c.id.split('-')[0] === id.split('-')[0]);
            return { id, found: true, call: w.calls.find(c => c.id === id), root: family[0].id, calls: family, cycle: ring ? w.waits.cycles[0] : [], trace: 'ab12', edges: family.flatMap(c => [c.caller && { from: c.caller, to: c.id, kind: 'calls' }, c.waits_for && { from: c.id, to: c.waits_for, kind: 'waits' }].filter(Boolean)) };
        }
        if (kind === 'dead' && w.dead.some(d => d.id === id))
            return { ...w.dead.find(d => d.id === id), jobs: [{ kind: 'call', agent: 'parser-3', method: 'orphan', args: [] }, { kind: 'call', class: 'Parser', agent: 'parser-3', method: 'parse', args: ['<xml>', 12] }] };
        return kind === 'traces' && id === 'ab12' ? { trace_id: 'ab12', spans: spans() } : null;
    };
    const server = createServer((request, response) => {
        const url = new URL(request.url, 'http://x');
        const send = (status, body, type = 'application/json') => response.writeHead(status, { 'Content-Type': type, 'Content-Security-Policy': CSP, 'Cache-Control': 'no-store' }).end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
        const missing = () => send(404, { error: { code: 'NOT_FOUND', message: 'there is no such thing' } });
        if (request.method === 'POST') {
            let text = '';
            request.on('data', d => { text += d; });
            request.on('end', () => {
                state.posts.push({ path: url.pathname, body: text, csrf: request.headers['x-csrf-token'] });
                if (url.pathname === '/api/login') {
                    state.login = JSON.parse(text).token === 'right';
                    return state.login ? send(200, {}) : send(401, { error: { code: 'UNAUTHORIZED', message: 'wrong' } });
                }
                if (!session.allow_writes)
                    return send(403, { error: { code: 'READ_ONLY', message: 'as-studio was started without --allow-writes' } });
                if (url.pathname.endsWith('/call'))
                    return send(200, { ok: true, value: { echo: JSON.parse(text).args ?? null }, call_id: 'n-1.0', ms: 3.2 });
                if (url.pathname.endsWith('/unschedule'))
                    w.timers = w.timers.filter(x => x.agent !== decodeURIComponent(url.pathname.split('/')[3]) || x.name !== JSON.parse(text).name);
                if (url.pathname.endsWith('/drop'))
                    w.dead.shift();
                return send(200, { end: 'canceled', id: 'new', paused: [], call_ids: ['r-1.0'] });
            });
            return undefined;
        }
        if (url.pathname === '/api/events') {
            response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Content-Security-Policy': CSP });
            const put = (event, data) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
            const all = () => { put('overview', overview()); put('workers', workers()); };
            response.write('retry: 200\n\n');
            put('redis', { up: state.up, why: state.up ? '' : 'connection refused' });
            all();
            const timer = setInterval(all, 300);
            state.streams.add(put);
            response.on('close', () => { clearInterval(timer); state.streams.delete(put); });
            return undefined;
        }
        if (url.pathname === '/api/stats')
            return stats && !empty ? send(200, { step_ms: 1000, points: points(), methods, now: {}, total: {} }) : send(501, { error: { code: 'NOT_SUPPORTED', message: 'not there' } });
        if (lists[url.pathname])
            return send(200, lists[url.pathname](url.searchParams));
        if (url.pathname.startsWith('/api/')) {
            const found = one(url.pathname);
            return found ? send(200, found) : missing();
        }
        const name = url.pathname === '/' ? 'index.html' : basename(url.pathname);
        for (const dir of [page, vendor]) {
            try {
                return send(200, readFileSync(join(dir, name)), TYPES[name.split('.').pop()] || 'text/plain');
            } catch { /* in the other one, or nowhere */ }
        }
        return missing();
    });
    return { server, state, world: w };
}

if (process.argv[1]?.endsWith('mock.mjs')) {
    const top = new URL('../../', import.meta.url).pathname;
    const { server } = mock({ page: join(top, 'src/studio/page'), vendor: process.env.STUDIO_VENDOR || join(top, 'build/src/studio/vendor'), session: { allow_writes: true }, empty: process.argv[3] === 'empty' });
    server.listen(Number(process.argv[2] || 9471), '127.0.0.1', () => console.log('listening'));
}
