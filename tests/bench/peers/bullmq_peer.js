/*
 * BullMQ: jobs added in bulk, 1,024 in flight; one worker that runs many at a time, as its documentation
 * advises for jobs that do not keep a processor busy; ends are told by the queue's events.
 */
'use strict';

const { Queue, QueueEvents, Worker } = require('bullmq');
const { Redis } = require('ioredis');

const WINDOW = 1024;
const BULK = 256;
const CONCURRENCY = 256;
const WARM_US = 2e6; // what is compiled just in time is then compiled
const [mode, path, seconds, bytes] = process.argv.slice(2);
const now = () => Number(process.hrtime.bigint()) / 1e3; // µs

function work(concurrency) {
    const connection = { path, maxRetriesPerRequest: null };
    const worker = new Worker('calls', async () => null, { connection, concurrency });
    worker.on('error', () => {});
}

async function client() {
    const connection = { path, maxRetriesPerRequest: null };
    const queue = new Queue('calls', { connection });
    /* From what is last now: by default it is what is last when the first read arrives, and a job that has
     * ended before would never be heard of. */
    const redis = new Redis(connection);
    const [last] = await redis.xrevrange(queue.toKey('events'), '+', '-', 'COUNT', 1);
    redis.disconnect();
    const events = new QueueEvents('calls', { connection, lastEventId: last ? last[0] : '0-0' });
    await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
    const job = { name: 'noop', data: 'x'.repeat(Number(bytes)), opts: { removeOnComplete: true } };
    const bulk = Array(BULK).fill(job);
    let sent = 0;
    let done = 0;
    let wake = null;
    events.on('completed', () => {
        done++;
        if (wake) wake();
        wake = null;
    });
    const someDone = () => new Promise((resolve) => (wake = resolve));

    async function many(us) {
        const begin = now();
        const before = done;
        while (now() < begin + us) {
            if (sent - done <= WINDOW - BULK) {
                sent += BULK;
                await queue.addBulk(bulk);
            } else {
                await someDone();
            }
        }
        return ((done - before) / (now() - begin)) * 1e6;
    }

    async function oneByOne(us) {
        const times = [];
        for (let at = now(), end = at + us; at < end; ) {
            sent++;
            await queue.add(job.name, job.data, job.opts);
            while (done < sent) await someDone();
            times.push(now() - at);
            at = now();
        }
        times.sort((a, b) => a - b);
        const n = times.length;
        return `${times[n >> 1]} ${times[n - 1 - Math.floor(n / 100)]}`;
    }

    const run = mode === 'async' ? many : oneByOne;
    await run(WARM_US);
    console.log(`${await run(Number(seconds) * 1e6)}`);
    while (done < sent) await someDone();
    process.exit(0);
}

if (mode.startsWith('worker')) work(mode === 'worker' ? CONCURRENCY : 1);
else client();
