// harness.mjs: what the tests of the page share: Chromium, waits for conditions, checks that name what they found, and
// a list of tests. A test is named for what it shows, has a page of its own, and fails on any error in the page's console.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const modules = process.env.PAGE_MODULES || new URL('.', import.meta.url).pathname;
const require = createRequire(join(modules, 'x.cjs'));
const { chromium } = require('playwright-core');
const axeSource = require.resolve('axe-core/axe.min.js');

export const LIMIT_MS = 120000 * Number(process.env.ASQ_TEST_SLOW || 1);
const SCREENSHOTS = process.env.PAGE_SCREENSHOTS;

export function check(condition, what) {
    if (!condition)
        throw new Error(what);
}

export function equal(got, expected, what) {
    const a = JSON.stringify(got), b = JSON.stringify(expected);
    check(a === b, `${what}: ${a}, not ${b}`);
}

// Waits until f gives something that is true, and gives it.
export async function until(what, f) {
    const end = Date.now() + LIMIT_MS;
    let last;
    for (;;) {
        try {
            const got = await f();
            if (got)
                return got;
            last = undefined;
        } catch (error) {
            last = error;
        }
        if (Date.now() > end)
            throw new Error(`not within ${LIMIT_MS / 1000} s: ${what}${last ? `: ${last.message}` : ''}`);
        await new Promise(r => setTimeout(r, 50));
    }
}

const tests = [];
export function test(name, options, f) {
    tests.push(f ? { name, options, f } : { name, options: {}, f: options });
}

// What axe-core calls serious or critical.
export async function axe(page, where) {
    // The page's own policy forbids scripts of others, so it is asked in a world of its own.
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    const bad = violations.filter(v => v.impact === 'serious' || v.impact === 'critical')
        .map(v => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | ')}`);
    check(bad.length === 0, `axe-core in ${where}:\n    ${bad.join('\n    ')}`);
}

export async function open(browser, { width = 1280, height = 900, theme = 'light', withAxe = false, expected = /$^/ } = {}) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    page.faults = [];
    page.on('pageerror', error => page.faults.push(`error in the page: ${error.stack}`));
    page.on('console', message => {
        if (message.type() === 'error' && !expected.test(message.text()))
            page.faults.push(`on the console: ${message.text()}`);
    });
    if (withAxe)
        await page.addInitScript({ path: axeSource });
    return page;
}

// The page is as wide as its window: nothing has to be scrolled sideways.
export async function fits(page, where) {
    const [all, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    check(all <= seen, `${where} is ${all} pixels wide in a window of ${seen}`);
}

export async function run() {
    const executablePath = process.env.CHROMIUM;
    check(executablePath && existsSync(executablePath), `CHROMIUM=${executablePath}: no such file`);
    const browser = await chromium.launch({ executablePath, timeout: LIMIT_MS, args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
    const wanted = process.env.PAGE_TEST;
    let failed = 0, done = 0;
    for (const { name, options, f } of tests) {
        if (wanted && !name.includes(wanted))
            continue;
        const page = await open(browser, options), began = Date.now();
        const seconds = () => `${((Date.now() - began) / 1000).toFixed(1)} s`;
        try {
            await f(page, browser);
            check(page.faults.length === 0, page.faults.join('\n    '));
            console.log(`ok - ${name} (${seconds()})`);
        } catch (error) {
            failed++;
            console.log(`not ok - ${name} (${seconds()})\n    ${error.stack}\n    at ${page.url()}\n    console: ${page.faults.join('; ')}`);
            const text = await page.locator('body').innerText({ timeout: 5000 }).catch(() => '(no text)');
            console.log(`    the page: ${text.slice(0, 1500).replace(/\n+/g, ' / ')}`);
            if (SCREENSHOTS)
                await page.screenshot({ path: join(SCREENSHOTS, `${name.replace(/\W+/g, '_')}.png`), fullPage: true }).catch(() => {});
        }
        await page.context().close();
        done++;
    }
    await browser.close();
    console.log(`${done - failed} of ${done} tests of the page passed`);
    process.exit(failed || (!done && !wanted) ? 1 : 0);
}
