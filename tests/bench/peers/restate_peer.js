/*
 * Restate: a virtual object with a state, called by way of the ingress, 1,024 in flight over 1,024 keys, or
 * one at a time. The service is of Restate's SDK; each call reads a counter and sets it.
 *
 * ADDRESS is the directory with the server's sockets; services are reached over TCP.
 */
'use strict';

const http = require('node:http');
const http2 = require('node:http2');
const net = require('node:net');

const WINDOW = 1024;
const KEYS = 1024;
const CONNECTIONS = 4;
const WARM_US = 2e6; // what is compiled just in time is then compiled
const [mode, dir, seconds, bytes] = process.argv.slice(2);
const now = () => Number(process.hrtime.bigint()) / 1e3; // µs
const pause = (us) => new Promise((resolve) => setTimeout(resolve, us / 1e3));

/* The SDK uses it, and Node has it from version 22 on. */
Promise.withResolvers ??= function () {
    let resolve, reject;
    const promise = new this((a, b) => {
        resolve = a;
        reject = b;
    });
    return { promise, resolve, reject };
};

function ask(path, body) {
    return new Promise((resolve, reject) => {
        const headers = { 'content-type': 'application/json' };
        const request = http.request({ socketPath: `${dir}/admin.sock`, method: 'POST', path, headers }, (answer) => {
            answer.resume();
            answer.on('end', () => (answer.statusCode < 300 ? resolve() : reject(new Error(`${answer.statusCode}`))));
        });
        request.on('error', reject);
        request.end(JSON.stringify(body));
    });
}

/* Serves the object, and tells the server where, when that listens. */
async function work() {
    process.env.RESTATE_LOGGING = 'ERROR'; // by default each call is two lines
    const restate = require('@restatedev/restate-sdk');
    const count = async (ctx) => ctx.set('n', ((await ctx.get('n')) ?? 0) + 1);
    const bench = restate.object({ name: 'Bench', handlers: { noop: count } });
    const server = http2.createServer(restate.createEndpointHandler({ services: [bench] }));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const deployment = { uri: `http://127.0.0.1:${server.address().port}`, force: true };
    for (let tries = 0; ; tries++) {
        try {
            return await ask('/deployments', deployment);
        } catch (error) {
            if (tries === 100) throw error;
            await pause(1e5);
        }
    }
}

async function client() {
    const payload = JSON.stringify('x'.repeat(Number(bytes)));
    const open = () => http2.connect('http://restate', { createConnection: () => net.connect(`${dir}/ingress.sock`) });
    const sessions = Array.from({ length: CONNECTIONS }, open);
    let sent = 0;
    let done = 0;

    const call = () =>
        new Promise((resolve, reject) => {
            const key = Math.floor(Math.random() * KEYS);
            const stream = sessions[sent++ % CONNECTIONS].request({
                ':method': 'POST',
                ':path': `/Bench/${key}/noop`,
                'content-type': 'application/json',
            });
            let status = 0;
            stream.on('response', (headers) => (status = headers[':status']));
            stream.on('error', reject);
            stream.on('end', () => {
                done++;
                if (status >= 200 && status < 300) resolve();
                else reject(new Error(`status ${status}`));
            });
            stream.resume();
            stream.end(payload);
        });

    /* The object may be known to the ingress a moment later than to the administration. */
    for (let tries = 0; ; tries++) {
        try {
            await call();
            break;
        } catch (error) {
            if (tries === 50) throw error;
            await pause(1e5);
        }
    }

    async function many(us) {
        let stop = false;
        const one = async () => {
            while (!stop) await call();
        };
        const all = Promise.all(Array.from({ length: WINDOW }, one));
        await pause(WARM_US);
        const begin = now();
        const before = done;
        await pause(us);
        const rate = ((done - before) / (now() - begin)) * 1e6;
        stop = true;
        await all; // the server would go on with them
        return rate;
    }

    async function oneByOne(us) {
        const times = [];
        for (let at = now(), end = at + us; at < end; at = now()) {
            await call();
            times.push(now() - at);
        }
        times.sort((a, b) => a - b);
        const n = times.length;
        return `${times[n >> 1]} ${times[n - 1 - Math.floor(n / 100)]}`;
    }

    const us = Number(seconds) * 1e6;
    if (mode !== 'async') await oneByOne(WARM_US);
    console.log(`${await (mode === 'async' ? many(us) : oneByOne(us))}`);
    process.exit(0);
}

function fail(error) {
    console.error(error);
    process.exit(1);
}

(mode.startsWith('worker') ? work() : client()).catch(fail);
