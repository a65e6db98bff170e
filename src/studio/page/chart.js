// chart.js: a chart of figures over time, drawn by uPlot, with a key of our own (uPlot's would take labels as HTML) and
// the newest figures as text. Where as-studio was built without uPlot, the figures alone.
import { h, s } from './dom.js';
import { clock } from './format.js';

const colours = name => getComputedStyle(document.documentElement).getPropertyValue(name) && resolved(`var(${name})`);

// What a colour is in the theme of the moment: the canvas knows no variables.
function resolved(colour) {
    const probe = h('i', { hidden: true });
    probe.style.color = colour;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
}

const charts = new Set();

// The theme has changed.
export function redraw() {
    for (const chart of charts)
        chart.make();
}

export class Chart {
    // series: [{label, colour: '--run', format, fill}]
    constructor({ title, series, signal }) {
        this.series = series;
        this.data = [[], ...series.map(() => [])];
        this.values = series.map(() => h('b', null, '–'));
        this.at = h('span', { class: 'quiet' });
        this.plot = h('div', { class: 'plot', 'aria-hidden': 'true' }, h('span', { class: 'wait quiet' }, 'Waiting for figures …'));
        this.el = h('figure', { class: 'card chart', 'data-keep': title, 'data-chart': title },
            h('figcaption', null, h('h2', null, title), this.at,
                h('span', { class: 'keys' }, series.map((x, i) => h('span', { class: 'key' },
                    h('i', { css: { background: `var(${x.colour})` } }), x.label, this.values[i])))),
            this.plot);
        this.resize = new ResizeObserver(() => this.fit());
        this.resize.observe(this.plot);
        charts.add(this);
        signal.addEventListener('abort', () => this.end());
    }

    end() {
        charts.delete(this);
        this.resize.disconnect();
        this.chart?.destroy();
        this.chart = null;
    }

    // data: [times in s, values of each series]; null where there is none.
    set(data) {
        this.data = data;
        this.say(data[0].length - 1, false);
        if (data[0].length > 1 && !this.chart)
            this.make();
        else
            this.chart?.setData(data);
    }

    say(index, pointed) {
        this.at.textContent = pointed && this.data[0][index] ? `at ${clock(this.data[0][index] * 1000)}` : '';
        this.series.forEach((x, i) => { this.values[i].textContent = x.format(this.data[i + 1][index] ?? null); });
    }

    fit() {
        const { clientWidth: width, clientHeight: height } = this.plot;
        if (this.chart && width > 0)
            this.chart.setSize({ width, height });
        else if (width > 0 && this.data[0].length > 1)
            this.make();
    }

    make() {
        if (!window.uPlot) {
            this.plot.replaceChildren(h('span', { class: 'wait quiet' }, 'This as-studio was built without its charts.'));
            return;
        }
        const { clientWidth: width, clientHeight: height } = this.plot;
        if (width <= 0 || this.data[0].length < 2)
            return;
        this.chart?.destroy();
        this.plot.replaceChildren();
        const letters = Math.round(parseFloat(getComputedStyle(document.documentElement).fontSize) * .72);
        const axis = { stroke: colours('--soft'), grid: { stroke: colours('--line'), width: 1 }, ticks: { show: false }, font: `${letters}px system-ui, sans-serif` };
        this.chart = new window.uPlot({
            width, height, padding: [8, 8, 0, 0],
            legend: { show: false },
            cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
            scales: { x: { time: true }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.12 : 1] } },
            axes: [
                { ...axis, size: letters * 2.3, space: letters * 6.5, values: (u, marks) => marks.map(x => clock(x * 1000).slice(0, marks.length > 1 && marks[1] - marks[0] >= 60 ? 5 : 8)) },
                { ...axis, size: letters * 5.3, values: (u, marks) => marks.map(this.series[0].format) },
            ],
            series: [{}, ...this.series.map(x => ({
                stroke: colours(x.colour), width: 1.8, spanGaps: false, points: { show: false },
                fill: x.fill ? colours(x.colour).replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)') : undefined,
            }))],
            hooks: { setCursor: [u => this.say(u.cursor.idx ?? this.data[0].length - 1, u.cursor.idx !== null && u.cursor.idx !== undefined && u.cursor.left >= 0)] },
        }, this.data, this.plot);
    }
}

// A line without axes for a table.
export function spark(values, label) {
    const known = values.filter(v => v !== null);
    const most = Math.max(1e-9, ...known);
    const step = values.length > 1 ? 80 / (values.length - 1) : 0;
    const points = values.map((v, i) => `${(i * step).toFixed(1)},${(19 - (v ?? 0) / most * 18).toFixed(1)}`).join(' ');
    return s('svg', { viewBox: '0 0 80 20', width: 80, height: 20, role: 'img', 'aria-label': label },
        s('polyline', { points, fill: 'none', stroke: 'var(--run)', 'stroke-width': 1.5 }));
}
