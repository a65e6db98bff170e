// graph.js: lays out who waits for whom in layers, from those that wait to what they wait for, and draws it as SVG.
// Edges of a ring may go against the layers.
import { plain, s } from './dom.js';

const WIDTH = 210, HEIGHT = 56, GAP_X = 70, GAP_Y = 16, PAD = 24;

// Layers by the longest way from a node that nobody waits for; edges that close a ring are left out.
function layers(nodes, edges) {
    const next = new Map(nodes.map(n => [n.id, []]));
    const waited = new Map(nodes.map(n => [n.id, 0]));
    for (const { from, to } of edges) {
        if (!next.has(from) || !next.has(to) || from === to)
            continue;
        next.get(from).push(to);
        waited.set(to, waited.get(to) + 1);
    }
    const state = new Map(), order = [], back = new Set();
    for (const start of [...nodes].sort((a, b) => waited.get(a.id) - waited.get(b.id))) {
        const stack = [[start.id, 0]];
        while (stack.length) {
            const top = stack.at(-1);
            const [id, i] = top;
            if (i === 0) {
                if (state.has(id)) {
                    stack.pop();
                    continue;
                }
                state.set(id, 'open');
            }
            if (i < next.get(id).length) {
                top[1]++;
                const to = next.get(id)[i];
                if (state.get(to) === 'open')
                    back.add(`${id} ${to}`);
                else if (!state.has(to))
                    stack.push([to, 0]);
            } else {
                state.set(id, 'done');
                order.push(id);
                stack.pop();
            }
        }
    }
    const depth = new Map(nodes.map(n => [n.id, 0]));
    for (const id of order.reverse())
        for (const to of next.get(id))
            if (!back.has(`${id} ${to}`))
                depth.set(to, Math.max(depth.get(to), depth.get(id) + 1));
    // What waits stands right before what it waits for.
    for (const id of [...order].reverse()) {
        const targets = next.get(id).filter(to => !back.has(`${id} ${to}`));
        if (targets.length)
            depth.set(id, Math.max(depth.get(id), Math.min(...targets.map(to => depth.get(to))) - 1));
    }
    return depth;
}

// Nodes that are connected, each with all of its group: the groups are drawn below each other.
function groups(nodes, edges) {
    const near = new Map(nodes.map(n => [n.id, []]));
    for (const { from, to } of edges) {
        near.get(from)?.push(to);
        near.get(to)?.push(from);
    }
    const byId = new Map(nodes.map(n => [n.id, n])), seen = new Set(), out = [];
    for (const n of nodes) {
        if (seen.has(n.id))
            continue;
        const group = [], queue = [n.id];
        seen.add(n.id);
        while (queue.length) {
            const id = queue.pop();
            group.push(byId.get(id));
            for (const other of near.get(id))
                if (byId.has(other) && !seen.has(other)) {
                    seen.add(other);
                    queue.push(other);
                }
        }
        out.push(group);
    }
    return out;
}

// Gives the nodes of a group their places below y, and tells how much room they take.
function arrange(nodes, edges, place, y0) {
    const ids = new Set(nodes.map(n => n.id)), own = edges.filter(e => ids.has(e.from) && ids.has(e.to));
    const depth = layers(nodes, own);
    const rows = [];
    for (const n of nodes)
        (rows[depth.get(n.id)] ??= []).push(n);
    // Each layer in the order of the middle of what waits for its nodes, so that fewer lines cross.
    rows.forEach((row, x) => {
        const rank = new Map(row.map(n => {
            const above = own.filter(e => e.to === n.id && place.has(e.from)).map(e => place.get(e.from).y);
            return [n.id, above.length ? above.reduce((a, b) => a + b, 0) / above.length : Infinity];
        }));
        row.sort((a, b) => rank.get(a.id) - rank.get(b.id) || (a.id < b.id ? -1 : 1));
        row.forEach((n, y) => place.set(n.id, { x: PAD + x * (WIDTH + GAP_X), y: y0 + y * (HEIGHT + GAP_Y) }));
    });
    const ring = nodes.some(n => n.cycle);
    return { width: PAD * 2 + rows.length * (WIDTH + GAP_X) - GAP_X, height: Math.max(...rows.filter(Boolean).map(r => r.length)) * (HEIGHT + GAP_Y) + (ring ? 60 : 14) };
}

// drawing({nodes, edges, hrefOf, linesOf, classOf}): nodes with id; linesOf gives two texts for a node.
export function drawing({ nodes, edges, hrefOf, linesOf, classOf, label }) {
    const place = new Map();
    let width = 0, height = PAD;
    for (const group of groups(nodes, edges)) {
        const size = arrange(group, edges, place, height);
        width = Math.max(width, size.width);
        height += size.height;
    }
    const inRing = new Map(nodes.map(n => [n.id, n.cycle || 0]));
    return s('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'group', 'aria-label': label },
        s('defs', null, ['', 'cycle'].map(kind => s('marker', { id: `tip${kind}`, viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 10, markerHeight: 10, markerUnits: 'userSpaceOnUse', orient: 'auto-start-reverse' },
            s('path', { d: 'M0 0L8 4L0 8z', class: `tip ${kind}` })))),
        edges.filter(e => place.has(e.from) && place.has(e.to)).map(e => {
            const ring = inRing.get(e.from) && inRing.get(e.from) === inRing.get(e.to);
            return s('path', { d: way(place.get(e.from), place.get(e.to)), class: ring ? 'cycle' : null, 'marker-end': ring ? 'url(#tipcycle)' : 'url(#tip)' });
        }),
        nodes.map(n => {
            const { x, y } = place.get(n.id), [first, second] = linesOf(n);
            return s('a', { href: hrefOf(n), class: classOf(n), 'data-node': plain(n.id) },
                s('rect', { x, y, width: WIDTH, height: HEIGHT, rx: 8 }, s('title', null, plain(`${first} ${second}`))),
                s('text', { x: x + 12, y: y + 23 }, cut(first, 28)),
                s('text', { x: x + 12, y: y + 42, class: 'small' }, cut(second, 33)));
        }));
}

function cut(text, most) {
    const letters = [...plain(text)];
    return letters.length > most ? `${letters.slice(0, most - 1).join('')}…` : letters.join('');
}

function way(from, to) {
    const mid = HEIGHT / 2;
    if (to.x > from.x) {
        const x1 = from.x + WIDTH, y1 = from.y + mid, x2 = to.x, y2 = to.y + mid, bend = Math.max(30, (x2 - x1) / 2);
        return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 2} ${y2}`;
    }
    // back, below: a ring is seen as one
    const x1 = from.x + WIDTH / 2, y1 = from.y + HEIGHT, x2 = to.x + WIDTH / 2, y2 = to.y + HEIGHT;
    const drop = 18 + Math.min(60, Math.abs(x1 - x2) / 12);
    const low = Math.max(y1, y2) + drop;
    return `M${x1} ${y1}C${x1} ${low} ${x2} ${low} ${x2} ${y2 + 3}`;
}
