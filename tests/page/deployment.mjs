// deployment.mjs: the page of a running as-studio (STUDIO: without writes; STUDIO_WRITES: with them) before the
// deployment that tests/integration/page.sh has made. CTL is a program that runs as-ctl there.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { axe, check, equal, fits, run, test, until } from './harness.mjs';

const { STUDIO, STUDIO_WRITES, CTL, AGENTS, HANGING, HOSTILE_AGENT } = process.env;
const ctl = (...args) => execFileSync(CTL, args, { encoding: 'utf8' }).trim();
const VIEWS = ['overview', 'workers', 'classes', 'agents', 'calls', 'timers', 'waits', 'failures', 'dead', 'agents/t-1'];

// Shows a view, and waits until it has read what it shows.
async function show(page, view, base = STUDIO) {
    await page.goto(`${base}/#/${view}`);
    await page.reload();
    await until(`view ${view}`, () => page.evaluate(() => document.querySelector('#view h1') &&
        !/Loading …|Waiting for the first|Asking the workers|Searching …/.test(document.querySelector('#view').textContent)));
}

const text = page => page.locator('#view').innerText();
const says = (page, what) => until(`the view says: ${what}`, async () => (await text(page)).includes(what));

test('the overview says what failed, what was given up and why, and what hangs', page => show(page, 'overview').then(async () => {
    await page.locator('[data-trouble=failing]', { hasText: 'Trouble.fail' }).waitFor();
    await page.locator('[data-trouble="dead letter"]', { hasText: /t-(crash|drop)\.crash/ }).waitFor();
    await until('the cause is told', async () => (await page.locator('[data-trouble="dead letter"]').innerText()).includes('SIG'));
    await page.locator('[data-trouble=stuck]').first().waitFor();
    await until('agents are counted', async () => (await page.locator('[data-tile=agents] .value').innerText()) === Number(AGENTS).toLocaleString('en'));
}));

test('live values move, and charts are drawn', page => show(page, 'overview').then(async () => {
    const calls = () => page.locator('[data-tile=calls]').innerText();
    const first = await calls();
    await until('the number of calls moves', async () => (await calls()) !== first);
    await until('there is a chart', () => page.evaluate(() => !window.uPlot || document.querySelector('.chart canvas')));
}));

test('methods are shown with their rates and times, and the slowest is named', page => show(page, 'overview').then(async () => {
    await page.locator('[data-row="Counter.add"]').waitFor();
    await page.locator('[data-trouble=slowest]').waitFor();
    await until('four charts', async () => (await page.locator('.chart').count()) === 4);
    await page.getByRole('button', { name: 'Last day' }).click();
    equal(await page.getByRole('button', { name: 'Last day' }).getAttribute('aria-pressed'), 'true', 'the span');
    await page.getByRole('button', { name: 'Failed' }).click();
    await until('failing methods come first', async () => (await page.locator('[data-row]').first().getAttribute('data-row')).startsWith('Trouble.'));
}));

test('a worker that dies is told, with who took its partitions', page => show(page, 'workers').then(async () => {
    await page.locator('[data-worker^="victim"]', { hasText: 'alive' }).waitFor();
    await until('it has partitions', async () => /partitions: /.test(await page.locator('[data-worker^="victim"]').innerText()));
    // The supervisor does not get the chance to start another process, or to say that this one has died.
    const supervisor = Number(process.env.VICTIM);
    process.kill(supervisor, 'SIGSTOP');
    for (const child of readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, 'utf8').trim().split(' ').filter(Boolean))
        process.kill(Number(child), 'SIGKILL');
    process.kill(supervisor, 'SIGKILL');
    await page.locator('[data-worker^="victim"]', { hasText: 'gone' }).or(page.locator('[data-takeover]', { hasText: 'victim' })).first().waitFor();
    await page.locator('[data-takeover]', { hasText: /victim\S* → one/ }).first().waitFor();
    await page.locator('section[aria-labelledby=deaths] tbody tr', { hasText: /victim\.0[^]*no heartbeat for [0-9.]+ s[^]* to one\.0/ }).waitFor();
    await show(page, 'overview'); // somebody who comes later
    await page.locator('[data-trouble=death]', { hasText: /Worker victim\.0 died[^]*Taken over: [0-9]+ partitions? to one\.0/ }).waitFor();
}));

test('classes have methods, parameters and docs', page => show(page, 'classes').then(async () => {
    const card = page.locator('[data-class=Trouble]');
    await card.locator('[data-method=ask]', { hasText: 'ask(ms, agent, method, args)' }).waitFor();
    check((await card.innerText()).includes('Fails with <b>message</b>.'), 'the doc is not shown as text');
}));

test('agents are searched by the beginning of the id and by class, among many', page => show(page, 'agents').then(async () => {
    await page.getByLabel('Id').fill('c-');
    await until('the counters', async () => (await page.locator('[data-row]').count()) === 3 && (await page.locator('[data-row=c-1]').count()) === 1);
    await page.getByLabel('Id').fill('');
    await page.getByLabel('Class').selectOption('Trouble');
    await page.locator('[data-row=t-1]').waitFor();
    await page.locator('[data-row=t-1] a').click();
    await page.locator('h1', { hasText: 't-1' }).waitFor();
}));

test('agents whose ids are dots are opened and called', page => show(page, 'agents', STUDIO_WRITES).then(async () => {
    for (const id of ['.', '..']) {
        await show(page, 'agents?prefix=.&class=Counter', STUDIO_WRITES);
        await page.locator(`[data-row="${id}"] a`).click();
        await page.locator('h2#state').waitFor();
        await page.locator('[data-method=add] button').click();
        await page.getByLabel('n', { exact: true }).fill('2');
        await page.locator('dialog button[type=submit]').click();
        await page.locator('dialog', { hasText: 'It succeeded' }).waitFor();
        equal(ctl('get', id, 'value'), '2', 'its value');
        await page.keyboard.press('Escape');
    }
}));

test('an agent shows its state as a tree, exactly, and its calls', page => show(page, `agents/${encodeURIComponent(HOSTILE_AGENT)}`).then(async () => {
    await says(page, '9007199254740993');
    await says(page, '\\u{202e}');
    await until('its failure', async () => (await page.locator('[data-failure]').count()) >= 1);
    check(await page.evaluate(() => window.hacked === undefined && !document.querySelector('main img')), 'a name became more than text');
    check(!/[\u202e\u001b]/.test(await text(page)), 'a control character is shown');
}));

test('calls are chosen by state, and tell why they wait', page => show(page, 'calls').then(async () => {
    await page.getByLabel('parked').check();
    await page.locator(`[data-row="${HANGING}"]`, { hasText: 'sleeps' }).waitFor();
    await page.locator('[data-row]', { hasText: 'waits for call' }).first().waitFor();
    await page.getByLabel('parked').uncheck();
    await page.getByLabel('waiting').check();
    await page.locator('[data-row]', { hasText: 'Trouble.touch' }).waitFor();
}));

test('waits are a graph, with what all hangs on, and lead to the tree of a call', page => show(page, 'waits').then(async () => {
    await until('the chain', async () => (await page.locator('.graph a').count()) >= 3);
    await page.locator(`.graph a.root[data-node="${HANGING}"]`, { hasText: 'Trouble.hang' }).waitFor();
    await page.locator(`.graph a.root[data-node="${HANGING}"]`).click();
    await page.locator(`.calltree .here[data-call="${HANGING}"]`).waitFor();
    equal(await page.locator('.calltree > li > ul > li > ul > li > .here').count(), 1, 'the innermost of three');
    await until('its worker and its time', async () => /Worker\s+(one|victim)\S*[^]*it is parked, .* after it began: sleeps/.test(await page.locator('#view dl').first().innerText()));
    await page.locator('[data-state="t-3"]').waitFor();
    await page.locator(`[data-arguments="${HANGING}"]`, { hasText: '[]' }).waitFor();
    await page.locator('.calltree a', { hasText: 'Trouble.ask' }).first().click();
    await page.locator('.note', { hasText: 'What it comes down to: Trouble.hang' }).waitFor();
}));

test('a ring of waits that has ended is told among the failures, with its calls', page => show(page, 'failures').then(async () => {
    await page.getByRole('searchbox', { name: 'Code' }).fill('ASQ_EDEADLK');
    await page.locator('[data-failure]', { hasText: 'Trouble.touch' }).first().waitFor();
    await page.locator('[data-failure] summary', { hasText: 'Trouble.touch' }).first().click();
    await says(page, 'a deadlock: this call waits for agent');
}));

test('failures are summed up, chosen, and open to their messages and arguments', page => show(page, 'failures').then(async () => {
    await page.locator('[data-summary="Trouble.fail"]').first().waitFor();
    await page.getByLabel('Agent').fill(HOSTILE_AGENT);
    await until('only its failure', async () => (await page.locator('[data-failure]').count()) === 1);
    await page.locator('[data-failure] summary').click();
    await says(page, '\\e[31m');
    await says(page, 'Arguments');
    check(await page.evaluate(() => window.hacked === undefined && !document.querySelector('main img')), 'a message became more than text');
}));

test('a dead letter shows its cause and its call', page => show(page, 'dead').then(async () => {
    await page.locator('[data-letter]', { hasText: 't-crash.crash' }).first().click();
    await says(page, 'worker processes died');
    await says(page, 'Trouble.crash');
}));

test('nothing can be changed where as-studio only reads, also not by hand', { expected: /403/ }, page => show(page, 'dead').then(async () => {
    for (const view of VIEWS) {
        await show(page, view);
        const writes = (await page.locator('#view button').allInnerTexts()).filter(x => /^(Call …|Cancel|Delete|Remove|Retry|Drop|Pause|Resume|Stop|New agent)/.test(x));
        equal(writes, [], `buttons of ${view}`);
    }
    const status = await page.evaluate(async () => {
        const { csrf } = await (await fetch('/api/session')).json();
        const response = await fetch('/api/agents/t-1/delete', { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf }, body: '{}' });
        return [response.status, (await response.json()).error.code];
    });
    equal(status, [403, 'READ_ONLY'], 'a write');
}));

test('a write without the token of the page is refused', { expected: /403/ }, page => show(page, 'agents', STUDIO_WRITES).then(async () => {
    const status = await page.evaluate(async () => (await fetch('/api/agents/t-1/delete', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' })).status);
    equal(status, 403, 'the status');
    check(ctl('show', 't-1').includes('Trouble'), 'the agent is gone');
}));

test('timers are listed as they are, fire, and are found by their names', page => show(page, 'timers').then(async () => {
    const row = key => page.locator(`[data-row="${key}"]`);
    await row('c-1 often').waitFor();
    check(/add \[1\][^]*every 1 s/.test(await row('c-1 often').innerText()), 'an interval');
    check(/in .* d [^]*30 4 29 2 \* Europe\/Berlin[^]*not yet[^]*left out[^]*each/.test((await row('c-2 leap-day').innerText()).replace(/\n/g, ' ')), 'a cron expression');
    const fired = async () => Number((await row('c-1 often').locator('td.num').innerText()).replace(/\D/g, ''));
    const before = await fired();
    await until('it fires, and the page tells', async () => (await fired()) > before);
    check(await page.evaluate(() => window.hacked === undefined && !document.querySelector('main script, main img')), 'a name became more than text');
    const agent = page.getByRole('searchbox', { name: 'Agent' });
    await agent.fill('many-');
    await row('c-1 often').waitFor({ state: 'detached' }); // the search has begun
    await page.getByText('100 shown.').waitFor();
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.getByText('200 shown.').waitFor();
    const name = page.getByRole('searchbox', { name: 'Timer' });
    await name.fill('t-2999');
    await page.getByText('11 shown, no more.').waitFor(); // 2999, 29990 to 29999
    await agent.fill('');
    await name.fill('leap');
    await until('only that one', async () => (await page.locator('tbody tr').count()) === 1);
    await row('c-2 leap-day').locator('a', { hasText: 'c-2' }).click();
    await page.locator('section[aria-labelledby=timers]', { hasText: 'leap-day' }).waitFor();
}));

test('a timer is removed, and only where that is permitted', { expected: /403/ }, page => show(page, 'timers', STUDIO_WRITES).then(async () => {
    const refused = async (base, headers) => {
        await show(page, 'timers', base);
        return page.evaluate(async given => {
            const { csrf } = await (await fetch('/api/session')).json();
            const response = await fetch('/api/agents/c-3/unschedule', { method: 'POST', headers: { 'Content-Type': 'application/json', ...(given ? { 'X-CSRF-Token': csrf } : {}) }, body: '{"name": "removed"}' });
            return [response.status, (await response.json()).error.code];
        }, headers);
    };
    equal(await refused(STUDIO, true), [403, 'READ_ONLY'], 'a removal without --allow-writes');
    equal(await refused(STUDIO_WRITES, false), [403, 'FORBIDDEN'], 'one without the token of the page');
    check(ctl('schedules', 'c-3').includes('removed'), 'the timer is gone');
    await show(page, 'timers?name=removed', STUDIO_WRITES);
    await page.locator('[data-row="c-3 removed"]').getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('button', { name: 'Remove it' }).click();
    await page.getByText('No timer is like this').waitFor();
    check(!ctl('schedules', 'c-3', '--json').includes('removed'), 'the timer is still there');
}));

test('a method is called from its form', page => show(page, 'agents/c-2', STUDIO_WRITES).then(async () => {
    const before = Number(ctl('get', 'c-2', 'value'));
    await page.locator('[data-method=add] button').click();
    await page.getByLabel('n', { exact: true }).fill('1000000');
    await page.locator('dialog button[type=submit]').click();
    await page.locator('dialog', { hasText: 'It succeeded' }).waitFor();
    check(Number(ctl('get', 'c-2', 'value')) >= before + 1000000, 'the call has had no effect');
}));

test('an agent is made from its class, and deleted', page => show(page, 'classes', STUDIO_WRITES).then(async () => {
    await page.locator('[data-class=Counter]').getByRole('button', { name: /New agent/ }).click();
    await page.locator('dialog').getByLabel('Id').fill('made-here');
    await page.locator('dialog').getByLabel('Arguments').fill('{"start": 7}');
    await page.locator('dialog button[type=submit]').click();
    await page.locator('h1', { hasText: 'made-here' }).waitFor();
    equal(ctl('get', 'made-here', 'value'), '7', 'its value');
    await page.getByRole('button', { name: 'Delete …' }).click();
    await page.getByRole('button', { name: 'Delete it' }).click();
    await until('it is gone', () => { try { ctl('show', 'made-here'); return false; } catch { return true; } });
}));

test('a call is cancelled', page => show(page, 'calls?agent=t-cancel', STUDIO_WRITES).then(async () => {
    await page.locator('[data-row]', { hasText: 'Trouble.hang' }).getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Cancel the call' }).click();
    await until('it has ended', () => ctl('calls', '--agent', 't-cancel', '--count') === '0');
    await says(page, 'No such call');
}));

test('dead letters are sent again and dropped', page => show(page, 'dead', STUDIO_WRITES).then(async () => {
    await page.locator('[data-row]', { hasText: 't-drop.crash' }).getByRole('button', { name: 'Drop' }).click();
    await page.getByRole('button', { name: 'Drop it' }).click();
    await page.locator('[data-row]', { hasText: 't-drop.crash' }).waitFor({ state: 'detached' });
    check(!ctl('dead', 'list').includes('t-drop'), 'the letter is still there');
    await page.locator('[data-row]', { hasText: 't-crash.crash' }).getByRole('button', { name: 'Retry' }).click();
    await page.getByRole('button', { name: 'Send again' }).click();
    await page.locator('.toast', { hasText: 'sent again' }).waitFor();
}));

test('a class is paused, which the overview tells, and resumed', page => show(page, 'classes', STUDIO_WRITES).then(async () => {
    const card = page.locator('[data-class=Counter]');
    await card.getByRole('button', { name: 'Pause' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Pause' }).click();
    await card.locator('.tag', { hasText: 'paused' }).waitFor();
    await show(page, 'overview', STUDIO_WRITES);
    await page.locator('[data-trouble=paused]', { hasText: 'Counter' }).waitFor();
    await show(page, 'classes', STUDIO_WRITES);
    await card.getByRole('button', { name: 'Resume' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Resume' }).click();
    await card.locator('.tag', { hasText: 'paused' }).waitFor({ state: 'detached' });
    ctl('call', 'c-1', 'add', '[1]');
}));

// Sends spans as a program does: one call with its phases, below the call of a client.
function send(base, spans) {
    const value = x => typeof x === 'number' ? { intValue: String(x) } : { stringValue: x };
    const attributes = x => Object.entries(x).map(([key, v]) => ({ key, value: value(v) }));
    const body = JSON.stringify({ resourceSpans: [{ resource: { attributes: attributes({ 'service.name': 'a-program' }) }, scopeSpans: [{ scope: { name: 'asqueue' }, spans: spans.map(x => ({ traceId: 'ab'.repeat(16), ...x, attributes: attributes(x.attributes || {}) })) }] }] });
    return new Promise((resolve, reject) => {
        const sent = request(`${base}/v1/traces`, { method: 'POST', headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) } }, response => { response.resume(); resolve(response.statusCode); });
        sent.on('error', reject);
        sent.end(body);
    });
}

test('a call that has ended is shown with the trace that its workers have sent', { expected: /404/ }, async page => {
    const call = ctl('call', 'r-1', 'ask', '[0, "r-2", "touch", []]', '--async');
    equal(ctl('result', call), 'null', 'the result');
    await show(page, `calls/${call}`, STUDIO_WRITES);
    for (const name of ['Trouble.ask', 'Trouble.touch'])
        await page.locator('.fall', { hasText: name }).first().waitFor();
    for (const phase of ['queue', 'run', 'park', 'commit'])
        await page.locator(`.fall .lane i.${phase}`).first().waitFor();
    await page.locator('.fall', { hasText: 'Trouble.ask' }).first().click();
    await says(page, call);
    await show(page, 'traces', STUDIO_WRITES);
    await page.locator('a', { hasText: 'Counter.add' }).first().waitFor();
    await show(page, 'agents/r-2', STUDIO_WRITES);
    await page.locator('a', { hasText: 'Trouble.' }).first().waitFor();
});

test('a trace that a program sends is shown as a waterfall', async page => {
    const begun = BigInt(Date.now()) * 1000000n;
    const span = (spanId, parentSpanId, name, kind, from, to, more) => ({ spanId, parentSpanId, name, kind, startTimeUnixNano: String(begun + BigInt(from) * 1000000n), endTimeUnixNano: String(begun + BigInt(to) * 1000000n), ...more });
    const id = n => String(n).repeat(16);
    equal(await send(STUDIO_WRITES, [
        span(id(1), '', 'Planner.plan', 3, 0, 500, { attributes: { 'asqueue.agent': 't-1' } }),
        span(id(2), id(1), 'Planner.plan', 2, 10, 490, { status: { code: 2, message: 'it broke \u202e<img src=x onerror=window.hacked=1>' } }),
        span(id(3), id(2), 'queue', 1, 10, 100), span(id(4), id(2), 'run', 1, 100, 300), span(id(5), id(2), 'parked', 1, 300, 450), span(id(6), id(2), 'commit', 1, 450, 490),
    ]), 200, 'the answer to the spans');
    await show(page, 'agents/t-1', STUDIO_WRITES); // the list of all traces is full of those of workers
    await page.locator('a', { hasText: 'Planner.plan' }).first().click();
    await until('two rows', async () => (await page.locator('.fall').count()) === 2);
    for (const phase of ['queue', 'run', 'park', 'commit'])
        equal(await page.locator(`.fall .lane i.${phase}`).count(), 1, phase);
    await page.locator('.fall').nth(1).click();
    await says(page, 'it broke \\u{202e}<img');
    await says(page, 'a-program');
    check(await page.evaluate(() => window.hacked === undefined && !document.querySelector('main img')), 'a message became more than text');
});

test('axe-core finds nothing serious, and all fits into 380 pixels', { withAxe: true }, page => show(page, 'overview', STUDIO_WRITES).then(async () => {
    for (const view of VIEWS) {
        await show(page, view, STUDIO_WRITES);
        await axe(page, view);
    }
    await page.setViewportSize({ width: 380, height: 800 });
    for (const view of VIEWS) {
        await show(page, view, STUDIO_WRITES);
        await fits(page, view);
    }
}));

test('Redis that goes away is told, and found again', { expected: /50\d|Failed to load/ }, page => show(page, 'overview').then(async () => {
    process.kill(Number(process.env.REDIS), 'SIGSTOP');
    try {
        await page.locator('[data-banner=redis]').waitFor();
    } finally {
        process.kill(Number(process.env.REDIS), 'SIGCONT');
    }
    await page.locator('[data-banner=redis]').waitFor({ state: 'detached' });
    await until('live again', async () => (await page.locator('#link').innerText()) === 'live');
}));

test('an as-studio that ends is told', { expected: /net::|Failed to load/ }, page => show(page, 'overview').then(async () => {
    process.kill(Number(process.env.STUDIO_PID), 'SIGTERM');
    await page.locator('[data-banner=lost]').waitFor();
}));

run();
