// format.js: numbers, times and sizes as people read them.

export const none = '–';

// 12 µs, 3.4 ms, 1.2 s, 5 min 3 s, 2 h 4 min, 3 d 5 h
export function duration(ms) {
    if (ms === null || ms === undefined || Number.isNaN(Number(ms)))
        return none;
    const n = Number(ms);
    if (n < 0)
        return `−${duration(-n)}`;
    if (n === 0)
        return '0 ms';
    if (n < 1)
        return `${Math.round(n * 1000)} µs`;
    if (n < 10)
        return `${n.toFixed(1).replace(/\.0$/, '')} ms`;
    if (n < 1000)
        return `${Math.round(n)} ms`;
    if (n < 10000)
        return `${(Math.floor(n / 100) / 10).toFixed(1)} s`;
    const secs = Math.floor(n / 1000);
    if (secs < 60)
        return `${secs} s`;
    if (secs < 3600)
        return `${Math.floor(secs / 60)} min ${secs % 60} s`;
    if (secs < 86400)
        return `${Math.floor(secs / 3600)} h ${Math.floor(secs % 3600 / 60)} min`;
    return `${Math.floor(secs / 86400)} d ${Math.floor(secs % 86400 / 3600)} h`;
}

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function count(n) {
    if (n === null || n === undefined)
        return none;
    return typeof n === 'bigint' ? grouped.format(n) : grouped.format(Number(n));
}

// A rate or a figure on an axis: 0.25, 3.4, 120, 12.3 k, 4.5 M
export function short(n) {
    if (n === null || n === undefined)
        return none;
    const size = Math.abs(n);
    if (size === 0)
        return '0';
    if (size < 1)
        return n.toFixed(2).replace(/0+$/, '').replace(/\.$/, '');
    if (size < 100)
        return n.toFixed(1).replace(/\.0$/, '');
    if (size < 10000)
        return grouped.format(n);
    if (size < 1e6)
        return `${(n / 1e3).toFixed(1).replace(/\.0$/, '')} k`;
    if (size < 1e9)
        return `${(n / 1e6).toFixed(1).replace(/\.0$/, '')} M`;
    return `${(n / 1e9).toFixed(1).replace(/\.0$/, '')} G`;
}

export function bytes(n) {
    if (n === null || n === undefined)
        return none;
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let size = Number(n), unit = 0;
    while (size >= 1024 && unit < units.length - 1) {
        size /= 1024;
        unit++;
    }
    return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1).replace(/\.0$/, '')} ${units[unit]}`;
}

const two = n => String(n).padStart(2, '0');

// 14:03:59
export function clock(ms) {
    const d = new Date(Number(ms));
    return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

// 2026-11-23 14:03:59, or without the date if that is today's
export function time(ms, now = Date.now()) {
    const d = new Date(Number(ms));
    const date = x => `${x.getFullYear()}-${two(x.getMonth() + 1)}-${two(x.getDate())}`;
    return date(d) === date(new Date(now)) ? clock(ms) : `${date(d)} ${clock(ms)}`;
}

export function ago(ms, now) {
    const passed = Math.max(0, now - Number(ms));
    return passed < 1000 ? 'just now' : `${duration(passed)} ago`;
}

// 0–31, 40, 64–127
export function ranges(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    const out = [];
    for (let i = 0; i < sorted.length;) {
        let j = i;
        while (j + 1 < sorted.length && sorted[j + 1] === sorted[j] + 1)
            j++;
        out.push(j === i ? `${sorted[i]}` : `${sorted[i]}–${sorted[j]}`);
        i = j + 1;
    }
    return out.join(', ');
}

export function plural(n, one, more = `${one}s`) {
    return `${count(n)} ${Number(n) === 1 ? one : more}`;
}
