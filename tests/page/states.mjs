// states.mjs: the page with a false server: names that mean harm everywhere, places without anything, a server that
// goes away, no permission, all widths and both themes.
import { axe, check, equal, fits, run, test, until } from './harness.mjs';
import { HOSTILE, mock } from './mock.mjs';

const top = new URL('../../', import.meta.url).pathname;
const files = { page: `${top}src/studio/page`, vendor: process.env.STUDIO_VENDOR };
const VIEWS = ['overview', 'workers', 'classes', 'agents', 'calls', 'timers', 'waits', 'failures', 'dead', 'traces',
    'agents/tally', 'calls/c0a1-2.0', 'calls/d1-1.0', 'dead/5-1764000000000-0', 'traces/ab12', `agents/${encodeURIComponent(HOSTILE)}`];

async function serve(options, f) {
    const made = mock({ ...files, ...options });
    await new Promise(r => made.server.listen(0, '127.0.0.1', r));
    const { port } = made.server.address();
    const stop = () => { made.server.closeAllConnections(); return new Promise(r => made.server.close(r)); };
    try {
        await f(`http://127.0.0.1:${port}`, { ...made, port, stop });
    } finally {
        await stop().catch(() => {});
    }
}

// A view is there when its heading is, and nothing says that it is being loaded.
async function show(page, base, view) {
    await page.goto(`${base}/#/${view}`);
    await page.reload();
    await until(`view ${view}`, () => page.evaluate(() => document.querySelector('#view h1') && !/Loading …|Waiting for the first|Asking the workers|Searching …/.test(document.querySelector('#view').textContent)));
}

const noHarm = page => page.evaluate(() => window.hacked === undefined && !document.querySelector('main img, main script, nav img, dialog img'));

for (const theme of ['light', 'dark']) {
    test(`axe-core finds nothing serious in any view, ${theme}`, { theme, withAxe: true }, page => serve({ session: { allow_writes: true } }, async base => {
        for (const view of VIEWS) {
            await show(page, base, view);
            await axe(page, view);
        }
        await show(page, base, 'agents/tally');
        await page.locator('[data-method=add] button').click();
        await axe(page, 'the form of a method');
        await page.goto(`${base}/login.html`);
        await axe(page, 'login');
    }));
}

test('every view fits into 380, 800 and 3840 pixels', page => serve({ session: { allow_writes: true } }, async base => {
    for (const [width, height] of [[380, 800], [800, 900], [3840, 2160]]) {
        await page.setViewportSize({ width, height });
        for (const view of VIEWS) {
            await show(page, base, view);
            await fits(page, `${view} at ${width}`);
        }
    }
}));

test('names that mean harm are text, isolated, with what is unseen written out', page => serve({ session: { allow_writes: true } }, async base => {
    for (const view of VIEWS) {
        await show(page, base, view);
        check(await noHarm(page), `${view}: a name became more than text`);
        const text = await page.locator('body').innerText();
        check(!/[\u202e\u001b]/.test(text), `${view} shows a control character or a mark of direction`);
        const titles = await page.evaluate(() => [...document.querySelectorAll('[title],[aria-label]')].map(e => `${e.title}${e.getAttribute('aria-label')}`).join());
        check(!/[\u202e\u001b]/.test(titles), `${view} has one in a title`);
    }
    await show(page, base, 'failures');
    await until('the escapes are shown', async () => (await page.locator('.esc').allInnerTexts()).includes('\\u{202e}'));
    equal(await page.locator('bdi.foreign').first().evaluate(e => getComputedStyle(e).unicodeBidi), 'isolate', 'unicode-bidi');
    await page.locator('summary', { hasText: 'window.hacked' }).click();
    check(await noHarm(page), 'an opened failure became more than text');
}));

test('an agent with a harmful id is found and shown by its link', page => serve({}, async base => {
    await show(page, base, 'agents');
    await page.locator('a', { hasText: 'window.hacked' }).first().click();
    await until('its view', () => page.evaluate(() => document.querySelector('h2#state')));
    check(await noHarm(page), 'harm was done');
}));

test('empty places say what would be there, and how it comes', { expected: /501/ }, page => serve({ empty: true }, async base => {
    const expected = { overview: 'No worker is alive', workers: 'as-worker --agent-dir', classes: 'No class is known', agents: 'as-ctl create', calls: 'Nothing runs', timers: 'as-ctl schedule AGENT', waits: 'No call waits', failures: 'Nothing has failed', dead: 'There is no dead letter' };
    for (const [view, text] of Object.entries(expected)) {
        await show(page, base, view);
        await until(`${view} says: ${text}`, async () => (await page.locator('#view').innerText()).includes(text));
    }
}));

test('a server that goes away is told, and is found again', { expected: /Failed to load resource|ERR_CONNECTION|ERR_INCOMPLETE|net::/ }, page => serve({}, async (base, made) => {
    await show(page, base, 'overview');
    await until('live', async () => (await page.locator('#link').innerText()) === 'live');
    await made.stop();
    await page.locator('[data-banner=lost]').waitFor();
    equal(await page.locator('#link').innerText(), 'connection lost', 'the state');
    const again = mock(files);
    await new Promise(r => again.server.listen(made.port, '127.0.0.1', r));
    await until('live again', async () => (await page.locator('#link').innerText()) === 'live');
    await page.locator('[data-banner=lost]').waitFor({ state: 'detached' });
    again.server.closeAllConnections();
    again.server.close();
}));

test('Redis that is away is told, with why, and that it is back', page => serve({}, async (base, made) => {
    await show(page, base, 'overview');
    made.state.up = false;
    for (const put of made.state.streams)
        put('redis', { up: false, why: 'connection refused' });
    await page.locator('[data-banner=redis]', { hasText: 'connection refused' }).waitFor();
    made.state.up = true;
    for (const put of made.state.streams)
        put('redis', { up: true, why: '' });
    await page.locator('[data-banner=redis]').waitFor({ state: 'detached' });
}));

test('the overview gives no all-clear while something is not known', { expected: /503/ }, page => serve({}, async base => {
    let release, fails = true;
    const held = new Promise(r => { release = r; });
    const overview = { time_ms: Date.now(), redis: { up: true, ping_ms: 1 }, workers: { alive: 1, dead: 0 }, partitions: { total: 1, owned: 1 }, stats: null };
    const put = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
    await page.route('**/api/events', route => route.fulfill({ contentType: 'text/event-stream', body: put('overview', overview) + put('workers', [{ id: 'web-1.0', alive: true, owns: [0], classes: [] }]) }));
    const later = (pattern, body) => page.route(pattern, async route => {
        await held;
        route.fulfill({ contentType: 'application/json', body: JSON.stringify(body) });
    });
    await later('**/api/waits', { nodes: [], edges: [], cycles: [], roots: [] });
    await later('**/api/calls?*', { calls: [], more: false });
    await page.route('**/api/failures/summary*', route => fails ? route.fulfill({ status: 503, contentType: 'application/json', body: '{"error": {"code": "ASQ_ETIMEOUT", "message": "Redis is slow"}}' })
        : route.fulfill({ contentType: 'application/json', body: '{"kinds": [], "counted": 0, "more": false}' }));
    await page.route('**/api/takeovers', route => route.fulfill({ contentType: 'application/json', body: '[]' }));
    await page.route('**/api/dead*', route => route.fulfill({ contentType: 'application/json', body: '{"letters": []}' }));
    await show(page, base, 'overview');
    const card = page.locator('section[aria-labelledby=attention]');
    await until('what is still looked for', async () => /Still looking: Waits, Running calls\./.test(await card.innerText()));
    await until('what has failed', async () => /Failures could not be read: Redis is slow/.test(await card.innerText()));
    check(!/Nothing needs you|nothing fails/.test(await card.innerText()), 'an all-clear');
    release();
    await until('what was read counts', async () => !/Still looking/.test(await card.innerText()));
    check(!/Nothing needs you|nothing fails/.test(await card.innerText()), 'an all-clear after a failure');
    fails = false;
    await until('the all-clear', async () => /Nothing needs you/.test(await card.innerText()));
}));

test('failures that were not all counted are said to be more', page => serve({}, async base => {
    await show(page, base, 'failures');
    await page.getByText('Of the newest 5,000; more than 5,000 are kept.').waitFor();
    await show(page, base, 'overview');
    await page.locator('[data-trouble=failing]', { hasText: /Mailer\.send has failed 212 times in the last minute with ASQ_EUSER\(1\)[^]*212 failures of the newest 5,000, and there are more than that in the last 15 minutes\./ }).waitFor();
    await page.locator('[data-trouble=failing]', { hasText: /Counter\.add has failed with ASQ_EARGS[^]*3 failures of the newest 5,000, and there are more than that in the last 15 minutes\./ }).waitFor();
}));

const answer = (page, pattern, body) => page.route(pattern, route => route.fulfill({ contentType: 'application/json', body: JSON.stringify(body) }));
const put = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const figures = methods => ({ time_ms: Date.now(), redis: { up: true }, workers: { alive: 1 }, partitions: { total: 1, owned: 1 }, stats: { now: {}, methods } });
const times = (p50_ms, p99_ms) => ({ count: 100, p50_ms, p99_ms });
const noTimes = { count: 0, p50_ms: null, p99_ms: null };
const measured = (cls, method, over) => ({ class: cls, method, rate: 1, calls: 60, failed: 0, failures: {}, queue: noTimes, run: noTimes, parked: noTimes, commit: noTimes, ...over });

test('what a method fails with moves with the failures of the last minute', page => serve({}, async base => {
    let n = 30;
    await page.route('**/api/events', route => route.fulfill({ contentType: 'text/event-stream', body: `retry: 200\n\n${put('overview', figures([measured('Mailer', 'send', { failed: ++n, failures: { 'ASQ_EUSER(1)': n } })]))}` }));
    await show(page, base, 'overview');
    const card = page.locator('[data-trouble=failing]', { hasText: 'Mailer.send has failed' });
    const first = Number(/failed (\d+) times in the last minute/.exec(await card.innerText())[1]);
    await until('the number moves', async () => Number(/failed (\d+) times/.exec(await card.innerText())[1]) > first);
}));

test('a method is slow by its running, and that its calls wait is told apart', page => serve({}, async base => {
    await page.route('**/api/events', route => route.fulfill({ contentType: 'text/event-stream', body: put('overview', figures([
        measured('Import', 'parse', { run: times(10, 20), queue: times(9000, 30000) }), measured('Planner', 'plan', { run: times(100, 700), queue: times(1, 2), parked: times(800, 900) }), measured('Import', 'late', {})])) }));
    await show(page, base, 'overview');
    await page.locator('[data-trouble=slowest]', { hasText: /Planner\.plan is the slowest method: it runs 700 ms at the 99th percentile[^]*Besides, its calls take 2 ms waiting in the queue, 900 ms parked for other calls or for time\./ }).waitFor();
    await page.locator('[data-trouble=queue]', { hasText: 'Calls of Import.parse began late: 99 of 100 within 30 s' }).waitFor();
    equal(await page.locator('[data-trouble=slowest]').count(), 1, 'slow methods');
}));

test('a call that is stuck is told with its time, also behind shorter ones that more wait for', page => serve({}, async base => {
    const call = (id, method, run_ms, over = {}) => ({ id, state: 'running', why: 'runs', age_ms: run_ms + 60000, run_ms, agent: `${method}-1`, class: 'Fetcher', method, partition: 1, ...over });
    const busy = [call('a-1.0', 'get', 20), call('b-1.0', 'get', 30)], stuck = call('c-1.0', 'stall', 1080000), alone = call('d-1.0', 'get', 400000);
    const waiters = Array.from({ length: 7 }, (_, i) => call(`c-${i + 2}.0`, 'wait', 9000000, { state: 'parked', why: 'waits for call c-1.0', waits_for: 'c-1.0' }));
    await answer(page, '**/api/waits', { nodes: [...busy, stuck, ...waiters], edges: waiters.map(w => ({ from: w.id, to: 'c-1.0', kind: 'waits' })), cycles: [], roots: [{ id: 'a-1.0', waiting: 50 }, { id: 'b-1.0', waiting: 40 }, { id: 'c-1.0', waiting: 7 }] });
    await answer(page, '**/api/calls?*', { calls: [...busy, stuck, ...waiters, alone], more: false });
    await page.route('**/api/stats?*', route => new URL(route.request().url()).searchParams.get('method') !== 'stall' ? route.fallback()
        : route.fulfill({ contentType: 'application/json', body: JSON.stringify({ step_ms: 60000, points: [], now: {}, methods: [measured('Fetcher', 'stall', { run: times(21, 40) })] }) }));
    await page.route('**/api/events', route => route.fulfill({ contentType: 'text/event-stream', body: put('overview', figures([measured('Fetcher', 'get', { run: times(15, 30) })])) }));
    await show(page, base, 'overview');
    const cards = page.locator('[data-trouble=stuck]');
    await cards.filter({ hasText: /7 calls hang on Fetcher\.stall of stall-1[^]*It has been running for 18 min 0 s, median 21 ms\./ }).waitFor();
    await cards.filter({ hasText: 'Fetcher.get of get-1 has been running for 6 min 40 s, median 15 ms' }).waitFor();
    equal(await cards.count(), 2, 'calls that are stuck');
}));

test('a letter leads to what is kept of its call, and a call that has ended to its letter', { expected: /404/ }, page => serve({}, async base => {
    await show(page, base, 'dead/5-1764000000000-0');
    await until('why, the cause first', async () => (await page.locator('.note.bad').innerText()).startsWith('Why: process 812 (web-2.0) was ended by SIGSEGV; '));
    const links = await page.locator('#view dl').first().locator('a').evaluateAll(all => all.map(a => `${a.textContent} ${a.getAttribute('href')}`));
    equal(links, ['its trace #/traces/ab12', 'failures of its agent #/failures?agent=parser-3'], 'where it leads');
    check((await page.locator('#view dl').first().innerText()).includes('Given up by'), 'whose worker that is');
    await show(page, base, 'calls/p-1.0');
    await page.locator('.note.bad', { hasText: 'It was given up: process 812' }).waitFor();
    equal(await page.locator('.note.bad a').getAttribute('href'), '#/dead/5-1764000000000-0', 'the letter');
    await show(page, base, 'calls/x-0.0');
    await page.locator('[data-failure="mailer-0"]').waitFor();
    await show(page, base, 'calls/none-1.0');
    await page.getByText('Neither a failure nor a dead letter of it is kept.').waitFor();
}));

test('a call shows its worker, its arguments, and the state of its agent', page => serve({}, async base => {
    await show(page, base, 'calls/c0a1-3.0');
    check((await page.locator('#view dl').first().innerText()).includes('web-1.0'), 'no worker');
    check(/it has been running for 3 min 2 s/.test(await page.locator('#view dl').first().innerText()), 'no time in its method');
    await page.locator('[data-state="fetch-12"]', { hasText: '42' }).waitFor();
    await page.locator('[data-arguments="c0a1-3.0"]', { hasText: '["<script>window.hacked=1</script>\\u{202e}gnp' }).waitFor();
    await show(page, base, 'calls/w-1.0');
    await page.getByText('Its worker tells them once it has begun.').waitFor();
    check(await noHarm(page), 'a state became more than text');
}));

test('a call whose method has returned says what it waits for', page => serve({}, async base => {
    const call = { id: 'q-1.0', state: 'running', why: 'has returned, and waits for Redis to take its calls', age_ms: 9000, run_ms: 8000, agent: 'tally', class: 'Counter', method: 'add', partition: 3, worker: 'web-1.0' };
    await answer(page, '**/api/calls/q-1.0', { id: call.id, found: true, call, root: call.id, calls: [call], edges: [], cycle: [] });
    await show(page, base, 'calls/q-1.0');
    check(/it has been running for 8\.0 s[^]*: has returned, and waits for Redis to take its calls/.test(await page.locator('#view dl').first().innerText()), 'why it has not ended');
}));

test('a call is shown though its agent and its trace cannot be read', { expected: /503/ }, page => serve({}, async base => {
    const fails = pattern => page.route(pattern, route => route.fulfill({ status: 503, contentType: 'application/json', body: '{"error": {"code": "ASQ_EREDIS", "message": "it is away"}}' }));
    await fails('**/api/agents/*');
    await fails('**/api/traces/*');
    await show(page, base, 'calls/c0a1-3.0');
    await page.locator('section[aria-labelledby=state]', { hasText: 'It could not be read: it is away.' }).waitFor();
    await page.locator('section[aria-labelledby=falls]', { hasText: 'Its trace could not be read: it is away.' }).waitFor();
    await page.locator('.calltree .here[data-call="c0a1-3.0"]').waitFor();
}));

test('what is kept of a call that has ended is looked for again', { expected: /404/ }, page => serve({}, async (base, made) => {
    await page.clock.install();
    await show(page, base, 'calls/none-1.0');
    await page.getByText('Neither a failure nor a dead letter of it is kept.').waitFor();
    made.world.failures.unshift({ ...made.world.failures[0], id: 'late', call_id: 'none-1.0', agent: 'late-1' });
    await page.clock.fastForward(20000);
    await page.locator('[data-failure="late-1"]').waitFor();
}));

test('a search for agents that fails is not taken for its answer', { expected: /503/ }, page => serve({}, async base => {
    await show(page, base, 'agents');
    await page.locator('[data-row=tally]').waitFor();
    let fails = true;
    await page.route('**/api/agents?*', route => fails ? route.fulfill({ status: 503, contentType: 'application/json', body: '{"error": {"code": "ASQ_ETIMEOUT", "message": "Redis is slow"}}' }) : route.fallback());
    await page.getByRole('searchbox', { name: 'Id' }).fill('mailer-5');
    await page.locator('[role=alert]', { hasText: 'The search has failed: Redis is slow.' }).waitFor();
    equal(await page.locator('tbody tr').count(), 0, 'rows of the search before');
    fails = false;
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('11 shown, no more.').waitFor();
    equal(await page.locator('[role=alert]').count(), 0, 'failures');
}));

test('pages ask for the same at the same instants', page => serve({}, async base => {
    const asked = page.waitForRequest(/failures\/summary/);
    await show(page, base, 'overview');
    equal(Number(new URL((await asked).url()).searchParams.get('since_ms')) % 60000, 0, 'what is beyond a minute');
    const waits = await page.evaluate(async () => {
        const { untilNext } = await import('/live.js');
        return [[5000, 10000], [5000, 10400], [5000, 12500], [5000, 12501], [1000, 1999]].map(([ms, at]) => untilNext(ms, at));
    });
    equal(waits, [5000, 4600, 2500, 7499, 1001], 'the waits');
}));

test('what has happened to workers is told, as far as it is known', page => serve({}, async base => {
    await show(page, base, 'overview');
    await page.locator('[data-trouble=worker]', { hasText: /Worker web-3\.0 has died[^]*2 partitions went to web-2\.0\. 1 partition went to web-1\.0\./ }).waitFor();
    await page.locator('[data-trouble=death]', { hasText: /Worker web-4\.0 died 2 min .*ago: SIGSEGV[^]*Process 4711 on web-4\. Taken over: 4 partitions to web-2\.0, 1 partition to web-1\.0\./ }).waitFor();
    await page.locator('[data-trouble=deaths]', { hasText: '2 more worker processes have died in the last 24 hours' }).waitFor();
    await page.locator('[data-trouble=missed]', { hasText: /Worker web-1\.0 was missed 5 min .*ago: no heartbeat for 10\.2 s[^]*It was heard of again/ }).waitFor();
    equal(await page.locator('[data-trouble=death]').count(), 1, 'deaths of the last minutes');
    await page.locator('[data-trouble=restarted]', { hasText: 'Worker web-2.0 has claimed 1 partition again' }).waitFor();
    await page.locator('[data-trouble=workers]', { hasText: /9 worker processes lived at .*, and 2 now/ }).waitFor();
    await page.locator('[data-trouble=workers]', { hasText: 'partitions without an owner' }).waitFor();
    await page.route('**/api/events', route => route.fulfill({ contentType: 'text/event-stream', body:
        `event: workers\ndata: ${JSON.stringify([['old.0', 7e6], ['young.0', 5000], ['young.1', 9000]].map(([id, uptime_ms]) => ({ id, uptime_ms, alive: true, owns: [], classes: [] })))}\n\n` +
        `event: overview\ndata: ${JSON.stringify({ time_ms: Date.now(), redis: { up: true }, workers: { alive: 3, most: 3, most_ms: 1 }, stats: null })}\n\n` }));
    await show(page, base, 'overview');
    await page.locator('[data-trouble=new]', { hasText: /young\.0 has begun 5\.0 s ago[^]*1 other one within/ }).waitFor();
    equal(await page.locator('[data-trouble=workers]').count(), 0, 'workers that are missing');
    await page.locator('[data-trouble=new] a').click();
    await page.locator('[data-takeover="9"]', { hasText: 'web-2.0 has claimed it again' }).waitFor();
}));

test('deaths of a day are listed with how, where and who took over', page => serve({}, async base => {
    await show(page, base, 'workers');
    const rows = page.locator('section[aria-labelledby=deaths] tbody tr');
    await until('four deaths', async () => (await rows.count()) === 4);
    check(/web-4\.0[^]*SIGSEGV[^]*web-4, pid 4711[^]*4 partitions to web-2\.0, 1 partition to web-1\.0/.test(await rows.nth(0).innerText()), 'the first row');
    check(/web-1\.0[^]*no heartbeat for 10\.2 s, then heard again/.test(await rows.nth(1).innerText()), 'the second row');
    check(await page.evaluate(() => window.hacked === undefined && !document.querySelector('main img')), 'a name became more than text');
}));

test('a worker has a rate of calls at once', page => serve({}, async base => {
    await show(page, base, 'workers');
    const figure = () => page.locator('[data-worker="web-1.0"] .figures').innerText();
    await until('its rate', async () => /calls\/s\s+[0-9.]+ /.test(await figure()));
}));

test('each place that the overview leads to says why', page => serve({}, async base => {
    await show(page, base, 'workers');
    const stuck = page.locator('[data-worker="web-1.0"] .stuck li');
    equal(await stuck.allInnerTexts(), ['c0a1-9-0 odd', '3-c0a1b2-0 3 min 4 s planner-1.plan waits for call 9-ab-0'], 'lines of calls that take long');
    equal(await stuck.locator('a').getAttribute('href'), '#/calls/3-c0a1b2-0', 'the call');
    await show(page, base, 'calls?state=waiting');
    await until('why a call waits, though what it waits for is not chosen', async () => /behind c0a1-3\.0 of its agent/.test(await page.locator('[data-row="w-1.0"]').innerText()));
    equal(await page.locator('[data-row="c0a1-3.0"]').count(), 0, 'calls that are not chosen');
    await show(page, base, 'classes/Mailer');
    check(/at the 99th percentile in the queue 12 ms, running 1\.0 s, parked 0 ms, until the commit 1 ms/.test(await page.locator('[data-method=send]').innerText()), 'where the time goes');
    await show(page, base, 'dead/5-1764000000000-0');
    equal(await page.locator('h2', { hasText: 'orphan' }).innerText(), 'orphan', 'a method whose class is not known');
}));

test('what changes something is offered only where that is permitted', page => serve({}, async base => {
    for (const view of VIEWS) {
        await show(page, base, view);
        const labels = await page.locator('#view button').allInnerTexts();
        const writes = labels.filter(x => /^(Call …|Cancel|Delete|Remove|Retry|Drop|Pause|Resume|Stop|New agent)/.test(x));
        equal(writes, [], `buttons of ${view}`);
    }
    equal(await page.locator('#tools .tag').innerText(), 'read-only', 'the mark');
}));

test('timers say when they are due, and what becomes of times that are missed', page => serve({}, async base => {
    await show(page, base, 'timers');
    const row = key => page.locator(`[data-row="${key}"]`);
    const rows = await page.locator('tbody tr').evaluateAll(all => all.slice(0, 3).map(x => x.dataset.row));
    equal(rows, ['mailer-1 late', 'tally often', 'tally nightly'], 'those that are due first');
    check(/late by \d+ min .*once[^]*not yet[^]*cancels it[^]*left out/.test((await row('mailer-1 late').innerText()).replace(/\n/g, ' ')), 'a time that is over');
    check(/in \d+ min .* s[^]*30 4 \* \* \* Europe\/Berlin[^]*left out[^]*each/.test((await row('tally nightly').innerText()).replace(/\n/g, ' ')), 'a cron expression');
    check(/add \[1\][^]*every 2 s[^]*its call/.test((await row('tally often').innerText()).replace(/\n/g, ' ')), 'an interval');
    equal(await row('tally often').locator('a').nth(1).getAttribute('href'), '#/calls/3-c0a1b2-0', 'the last call');
    const next = async () => /\d\d:\d\d:\d\d/.exec(await row('tally often').locator('td').first().innerText())[0];
    const first = await next();
    await until('the next time moves', async () => (await next()) !== first);
    check(/^100 shown\./.test(await page.locator('[role=status]', { hasText: 'shown' }).innerText()), 'a page');
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.getByText('124 shown, no more.').waitFor();
}));

test('timers are searched by agent and name, and a search that fails is not taken for its answer', { expected: /503/ }, page => serve({}, async base => {
    await show(page, base, 'timers');
    await page.getByRole('searchbox', { name: 'Agent' }).fill('mailer-11');
    await page.getByText('11 shown, no more.').waitFor();
    const name = page.getByRole('searchbox', { name: 'Timer' });
    await name.fill('l');
    await page.getByText('No timer is like this').waitFor();
    await page.getByRole('searchbox', { name: 'Agent' }).fill('mailer-1');
    await page.locator('[data-row="mailer-1 late"]').waitFor();
    check(page.url().endsWith('#/timers?prefix=mailer-1&name=l'), `the address: ${page.url()}`);
    let fails = true;
    await page.route('**/api/timers?*', route => fails ? route.fulfill({ status: 503, contentType: 'application/json', body: '{"error": {"code": "ASQ_ETIMEOUT", "message": "Redis is slow"}}' }) : route.fallback());
    await name.fill('');
    await page.getByText('The search has failed.').waitFor();
    await page.locator('[role=alert]', { hasText: 'Redis is slow' }).waitFor();
    equal(await page.locator('tbody tr').count(), 0, 'rows of the search before');
    fails = false;
    await page.locator('[data-row="mailer-1 weekly"]').waitFor();
}));

test('a search for timers that takes several readings is one, and not made again by itself', page => serve({}, async base => {
    let begun = 0;
    await page.route('**/api/timers?*', route => {
        const from = new URL(route.request().url()).searchParams.get('from');
        begun += from === null;
        route.fulfill({ contentType: 'application/json', body: JSON.stringify({ timers: from === '2' ? [{ agent: 'a', name: 't', method: 'm', every_ms: 1000, next_ms: Date.now() + 9000, overlap: 'queue', missed: 'one', fired: 0 }] : [], next: from === '2' ? null : String(Number(from || 0) + 1) }) });
    });
    await show(page, base, 'timers?name=t');
    await page.getByText('this search takes long').waitFor();
    const before = begun;
    await page.clock.install();
    await page.clock.runFor(60000);
    equal(begun, before, 'searches');
    await page.getByRole('button', { name: 'Search again' }).click();
    await until('it is made again', () => begun === before + 1);
}));

test('a timer is removed after a question, from its list and from its agent', page => serve({ session: { allow_writes: true } }, async (base, made) => {
    await show(page, base, 'timers');
    await page.locator('[data-row="tally nightly"]').getByRole('button', { name: 'Remove' }).click();
    await page.locator('dialog', { hasText: 'Remove timer nightly?' }).getByRole('button', { name: 'Close' }).click();
    equal(made.state.posts.length, 0, 'requests before the answer');
    await page.locator('[data-row="tally nightly"]').getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('button', { name: 'Remove it' }).click();
    await page.locator('[data-row="tally nightly"]').waitFor({ state: 'detached' });
    const { path, csrf, body } = made.state.posts.at(-1);
    equal([path, csrf, body], ['/api/agents/tally/unschedule', 'c5f', '{"name":"nightly"}'], 'what was sent');
    await show(page, base, 'agents/tally');
    const card = page.locator('section[aria-labelledby=timers]');
    await card.locator('[data-row="tally often"]', { hasText: 'Counter.add' }).getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('button', { name: 'Remove it' }).click();
    await card.getByText('It has none.').waitFor();
}));

test('an agent is shown though its timers cannot be read', { expected: /503/ }, page => serve({}, async base => {
    await page.route('**/api/timers?*', route => route.fulfill({ status: 503, contentType: 'application/json', body: '{"error": {"code": "ASQ_EREDIS", "message": "no rights"}}' }));
    await show(page, base, 'agents/tally');
    await page.locator('section[aria-labelledby=timers]', { hasText: 'They could not be read: no rights.' }).waitFor();
    await page.locator('h2#state').waitFor();
}));

test('a method is called by the keyboard, with its declared parameters and the csrf token', page => serve({ session: { allow_writes: true } }, async (base, made) => {
    await show(page, base, 'agents/tally');
    await page.locator('[data-method=add] button').focus();
    await page.keyboard.press('Enter');
    await page.getByLabel('n', { exact: true }).fill('9007199254740993');
    await page.locator('dialog button[type=submit]').focus();
    await page.keyboard.press('Enter');
    await page.locator('dialog', { hasText: 'It succeeded' }).waitFor();
    const call = made.state.posts.at(-1);
    equal([call.path, call.csrf, call.body], ['/api/agents/tally/call', 'c5f', '{"method": "add", "args": {"n": 9007199254740993}}'], 'what was sent');
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
    equal(await page.evaluate(() => document.activeElement.textContent), 'Call …', 'the focus comes back');
}));

test('a field with broken JSON is marked and nothing is sent', page => serve({ session: { allow_writes: true } }, async (base, made) => {
    await show(page, base, 'agents/tally');
    await page.locator('[data-method=add] button').click();
    await page.getByLabel('n', { exact: true }).fill('{"a": ');
    await page.locator('dialog button[type=submit]').click();
    await page.locator('dialog [aria-invalid=true]').waitFor();
    equal(made.state.posts.length, 0, 'requests');
}));

test('a refused write says why, and the question stays', { expected: /403/ }, page => serve({ session: { allow_writes: true } }, async base => {
    await page.route('**/drop', route => route.fulfill({ status: 403, contentType: 'application/json', body: '{"error": {"code": "READ_ONLY", "message": "as-studio was started without --allow-writes"}}' }));
    await show(page, base, 'dead');
    await page.getByRole('button', { name: 'Drop' }).first().click();
    await page.getByRole('button', { name: 'Drop it' }).click();
    await page.locator('dialog [role=alert]', { hasText: 'without --allow-writes' }).waitFor();
}));

test('a creation that takes long tells the id, which leads to the agent', { expected: /404/ }, page => serve({ session: { allow_writes: true } }, async base => {
    await show(page, base, 'classes');
    await page.route('**/api/agents', route => route.fulfill({ status: 202, contentType: 'application/json', body: '{"id": "drawn-7", "ready": null}' }));
    await page.getByRole('button', { name: 'New agent' }).first().click();
    await page.locator('dialog button[type=submit]').click();
    await page.getByText('Not there yet: drawn-7.').waitFor();
    await page.waitForURL('**/#/agents/drawn-7');
}));

test('whoever is not logged in is led to the token, and a wrong one is told', { expected: /401/ }, page => serve({ session: { login_needed: true } }, async base => {
    await page.goto(`${base}/`);
    await page.waitForURL('**/login.html');
    await page.getByLabel('Token').fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('This is not the token.').waitFor();
    await page.getByLabel('Token').fill('right');
    await page.keyboard.press('Enter');
    await page.locator('h1', { hasText: 'Overview' }).waitFor();
}));

test('figures move, and what has the focus or is open stays so', page => serve({}, async base => {
    await show(page, base, 'overview');
    const value = () => page.locator('[data-tile=calls] .value').innerText();
    const first = await value();
    await page.getByRole('button', { name: 'Calls/s' }).focus();
    await until('the rate moves', async () => (await value()) !== first);
    equal(await page.evaluate(() => document.activeElement.textContent.trim()), 'Calls/s', 'the focus');
    await until('charts are drawn', () => page.evaluate(() => document.querySelectorAll('.chart canvas').length >= 4 || !window.uPlot));
    await show(page, base, 'agents/tally');
    await page.locator('summary', { hasText: 'list' }).click();
    await until('it is asked again', async () => page.evaluate(() => performance.getEntriesByName(`${location.origin}/api/agents/tally`).length > 2));
    check(await page.locator('.tree', { hasText: '199' }).first().isVisible(), 'the open part of the state was closed');
}));

test('a click is not lost when what it began on goes away before it ends', page => serve({ session: { allow_writes: true } }, async (base, { state }) => {
    await page.clock.install(); // it stands still between press and release, however slow this machine is
    await show(page, base, 'workers');
    const heard = () => page.evaluate(async () => (await import('/live.js')).live.workers.length === 2);
    await page.locator('[data-worker="web-1.0"]').getByRole('button', { name: 'Stop' }).hover();
    await page.clock.pauseAt(new Date(Date.now() + 1000));
    await page.mouse.down();
    state.left.add('web-1.0');
    await until('the page has heard of it', heard);
    await page.mouse.up();
    await page.locator('dialog', { hasText: 'Stop worker web-1.0?' }).waitFor();
    await page.clock.resume();
    await page.keyboard.press('Escape');
    await page.locator('[data-worker="web-1.0"]').waitFor({ state: 'detached' });
}));

test('the click of a finger is not lost, which comes behind its release', page => serve({ session: { allow_writes: true } }, async (base, { state }) => {
    await page.clock.install();
    await show(page, base, 'workers');
    const button = page.locator('[data-worker="web-1.0"]').getByRole('button', { name: 'Stop' });
    await page.clock.pauseAt(new Date(Date.now() + 1000));
    const finger = (type, x) => button.evaluate((el, given) => el.dispatchEvent(new PointerEvent(given.type, { bubbles: true, pointerType: 'touch', button: 0, buttons: given.x })), { type, x });
    await finger('pointerdown', 1);
    await finger('pointerup', 0);
    state.left.add('web-1.0');
    await until('the page has heard of it', () => page.evaluate(async () => (await import('/live.js')).live.workers.length === 2));
    await page.clock.runFor(100);
    equal(await button.count(), 1, 'what it began on');
    await button.evaluate(el => el.click());
    await page.locator('dialog', { hasText: 'Stop worker web-1.0?' }).waitFor();
    await page.clock.resume();
    await page.keyboard.press('Escape');
    await page.locator('[data-worker="web-1.0"]').waitFor({ state: 'detached' });
}));

test('the theme is chosen, and kept', page => serve({}, async base => {
    await show(page, base, 'overview');
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByLabel('Theme').selectOption('dark');
    check((await ground()) !== light, 'the colours are the same');
    const dark = await ground();
    await show(page, base, 'workers');
    equal(await ground(), dark, 'after a reload');
}));

test('all views are reached by the keyboard alone', page => serve({}, async base => {
    await show(page, base, 'overview');
    await page.keyboard.press('Tab');
    equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content', 'the first stop');
    for (const name of ['Workers', 'Waits', 'Dead letters']) {
        await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name }).focus();
        await page.keyboard.press('Enter');
        await page.locator('#view h1', { hasText: name }).waitFor();
        equal(await page.evaluate(() => document.activeElement.id), 'main', 'the focus');
        equal(await page.locator('#views [aria-current=page]').count(), 1, 'links that are marked');
    }
}));

test('the graph of waits marks the ring and what all hangs on', page => serve({}, async base => {
    await show(page, base, 'waits');
    equal(await page.locator('.graph a.cycle').count(), 3, 'calls in the ring');
    equal(await page.locator('.graph path.cycle[marker-end]').count(), 3, 'arrows of the ring');
    equal(await page.locator('.graph a.root').getAttribute('data-node'), 'c0a1-3.0', 'what all hangs on');
    check((await page.locator('[data-row="c0a1-3.0"]').innerText()).includes('3+'), 'a count that was cut');
    await page.locator('[data-cut]', { hasText: 'it has read 150,000' }).waitFor();
    await page.locator('.graph a.root').focus();
    await page.keyboard.press('Enter');
    await page.locator('.calltree .here[data-call="c0a1-3.0"]').waitFor();
}));

test('a waterfall tells queue, run, park and commit apart, and opens a span', page => serve({}, async base => {
    await show(page, base, 'traces/ab12');
    equal(await page.locator('.fall').count(), 5, 'rows');
    check(await page.locator('.fall .lane i.park').count() >= 2, 'no parked part');
    await page.locator('.fall', { hasText: 'Fetcher.get' }).click();
    await page.locator('.span-detail', { hasText: 'connection refused' }).waitFor();
}));

run();
