// SPDX-License-Identifier: Apache-2.0
/*
 * draw.js - sparklines (SVG), charts over time (canvas), and the picture of who publishes and subscribes what (SVG).
 *
 * Colours come from the style sheet: SVG elements have classes, and canvases read custom properties. Names go into text
 * nodes only.
 */
import {count, duration, rate, text} from "./format.js";
import {isStopped, OCTAVES, SPAN, TREND} from "./model.js";

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes))
        element.setAttribute(name, value);
    element.append(...children);
    return element;
}

// ---- sparklines ----

const SPARK_WIDTH = TREND, SPARK_HEIGHT = 24;

export function sparkline() {
    return svg("svg", {
        class: "spark", viewBox: `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`, preserveAspectRatio: "none",
        "aria-hidden": "true",
    }, svg("path", {class: "area"}), svg("path", {class: "line"}));
}

/* Draws a history up to `slot`. The highest value touches the top; a history without values is empty. */
export function drawSpark(element, history, slot) {
    let top = 0;
    for (let back = 0; back < TREND; back++) {
        const value = history.at(slot, back);
        if (value > top)
            top = value;
    }
    let line = "", area = "", open = null;
    for (let back = TREND - 1; back >= -1; back--) {
        const value = back < 0 ? NaN : history.at(slot, back);
        const x = SPARK_WIDTH - back - 1;
        if (Number.isNaN(value)) {
            if (open !== null)
                area += `L${open.last} ${SPARK_HEIGHT}L${open.first} ${SPARK_HEIGHT}Z`;
            open = null;
            continue;
        }
        const y = (SPARK_HEIGHT - 1.5 - (top > 0 ? value / top : 0) * (SPARK_HEIGHT - 3)).toFixed(1);
        line += `${open === null ? "M" : "L"}${x} ${y}`;
        area += `${open === null ? "M" : "L"}${x} ${y}`;
        open = open === null ? {first: x, last: x} : {first: open.first, last: x};
    }
    element.lastChild.setAttribute("d", line);
    element.firstChild.setAttribute("d", area);
}

// ---- charts over time ----

// Room around a chart; labels that are wider than the room on the left are drawn narrower.
const LEFT = 64, BOTTOM = 20, TOP = 8, RIGHT = 8;

/* A canvas at the screen's resolution: {c, width, height, ink}. */
function prepare(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
    if (canvas.width !== w || canvas.height !== h) {
        canvas.width = w;
        canvas.height = h;
    }
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    c.font = `11px ${style.fontFamily}`;
    return {c, width, height, ink: (name) => style.getPropertyValue(`--${name}`).trim()};
}

const inner = (width) => width - LEFT - RIGHT;

/* The slot's number of seconds back at a point of a chart; null: outside. */
export function backAt(canvas, x, span) {
    const share = (x - LEFT) / inner(canvas.clientWidth);
    return share < 0 || share > 1 ? null : Math.min(span - 1, Math.max(0, Math.floor((1 - share) * span)));
}

function ago(seconds) {
    return seconds === 0 ? "now" : seconds < 60 ? `${seconds} s ago` : `${seconds / 60} min ago`;
}

function timeAxis(plot, span) {
    const {c, width, height, ink} = plot;
    // The first label begins at its line; the second has its middle there.
    const wide = (back) => c.measureText(ago(back)).width;
    const fits = (n) => inner(width) / n >= wide(span) + wide(span - span / n) / 2 + 4;
    const step = span / ([span === 60 ? 4 : 5, 2].find(fits) ?? 1);
    c.fillStyle = ink("muted");
    c.strokeStyle = ink("rule");
    c.lineWidth = 1;
    c.textBaseline = "alphabetic";
    for (let back = 0; back <= span; back += step) {
        const x = Math.round(LEFT + inner(width) * (1 - back / span)) + 0.5;
        c.textAlign = back === 0 ? "right" : back === span ? "left" : "center";
        c.fillText(ago(back), back === 0 ? x + RIGHT - 1 : x, height - 5);
        c.beginPath();
        c.moveTo(x, TOP);
        c.lineTo(x, height - BOTTOM);
        c.stroke();
    }
}

function cursorLine(plot, span, back) {
    const {c, width, height, ink} = plot;
    if (back === null)
        return;
    const x = LEFT + inner(width) * (1 - (back + 0.5) / span);
    c.strokeStyle = ink("text");
    c.lineWidth = 1;
    c.setLineDash([]);
    c.beginPath();
    c.moveTo(Math.round(x) + 0.5, TOP);
    c.lineTo(Math.round(x) + 0.5, height - BOTTOM);
    c.stroke();
}

/* Next power of ten times 1, 2 or 5. */
function niceTop(value) {
    if (!(value > 0))
        return 1;
    const ten = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map((m) => m * ten).find((top) => top >= value * 0.9999);
}

function valueAxis(plot, top, form) {
    const {c, width, height, ink} = plot;
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const share of [0, 0.5, 1]) {
        const y = Math.round(TOP + (height - BOTTOM - TOP) * (1 - share)) + 0.5;
        c.fillStyle = ink("muted");
        c.fillText(text(form(top * share)), LEFT - 8, y + (share === 1 ? 3 : 0), LEFT - 10);
        c.strokeStyle = ink("rule");
        c.lineWidth = 1;
        c.beginPath();
        c.moveTo(LEFT, y);
        c.lineTo(width - RIGHT, y);
        c.stroke();
    }
}

/* Calls draw(x, width, back) for each slot of the span, from the left. */
function eachSlot(plot, span, draw) {
    const step = inner(plot.width) / span;
    for (let back = span - 1; back >= 0; back--)
        draw(LEFT + inner(plot.width) - (back + 1) * step, step, back);
}

/* "#rrggbb" stops as a function of 0 .. 1. */
function ramp(stops) {
    const rgb = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
    return (share) => {
        const at = Math.min(rgb.length - 1.001, Math.max(0, share) * (rgb.length - 1));
        const i = Math.floor(at), part = at - i;
        return `rgb(${rgb[i].map((v, k) => Math.round(v + (rgb[i + 1][k] - v) * part)).join(" ")})`;
    };
}

/* The rows that have messages in the span, and the fullest cell. */
function heatExtent(open, slot, span) {
    let low = OCTAVES, high = -1, most = 0;
    open.heat.forEach((row, i) => {
        for (let back = 0; back < span; back++) {
            const value = row.at(slot, back);
            if (value > 0) {
                low = Math.min(low, i);
                high = Math.max(high, i);
                most = Math.max(most, value);
            }
        }
    });
    while (high >= 0 && high - low < 7) {
        if (high < OCTAVES - 1)
            high++;
        if (high - low < 7 && low > 0)
            low--;
    }
    return {low, high, most};
}

/* Time from left to right, latency upwards in powers of two; the darker, the more messages a second. */
export function drawHeat(canvas, open, span, back) {
    const plot = prepare(canvas);
    const {c, width, height, ink} = plot;
    const slot = open.slots.slot;
    const {low, high, most} = heatExtent(open, slot, span);
    timeAxis(plot, span);
    if (high < 0) {
        emptyNote(plot, "no stamped message was received in this time");
        return false;
    }
    const rows = high - low + 1, row = (height - BOTTOM - TOP) / rows;
    const colour = ramp(ink("heat").split(/[\s,]+/));
    const scale = Math.log1p(most);
    eachSlot(plot, span, (x, w, at) => {
        const left = Math.floor(x), right = Math.ceil(x + w);
        for (let i = low; i <= high; i++) {
            const value = open.heat[i].at(slot, at);
            if (value > 0) {
                const bottom = Math.round(height - BOTTOM - (i - low) * row);
                const top = Math.round(height - BOTTOM - (i - low + 1) * row);
                c.fillStyle = colour(0.12 + 0.88 * Math.log1p(value) / scale);
                c.fillRect(left, top, right - left, bottom - top);
            }
        }
    });
    c.textAlign = "right";
    c.textBaseline = "middle";
    c.fillStyle = ink("muted");
    const every = Math.max(1, Math.ceil(14 / row));
    for (let i = low; i <= high + 1; i += every)
        c.fillText(text(duration(2 ** i)), LEFT - 8,
                   Math.max(TOP + 3, Math.min(height - BOTTOM - 3, height - BOTTOM - (i - low) * row)), LEFT - 10);
    const y = (ns) => height - BOTTOM - Math.min(rows, Math.max(0, Math.log2(Math.max(1, ns)) - low)) * row;
    for (const key of ["p50", "p99"]) {
        stepLine(plot, open.lines[key], slot, span, y, ink("halo"), ink(key), []);
        lineLabel(plot, key, y(open.lines[key].at(slot, 0)), ink("halo"), ink(key));
    }
    cursorLine(plot, span, back);
    return true;
}

/* A line of one history, broken where it has no value. */
function stepLine(plot, history, slot, span, y, halo, colour, dash) {
    const {c} = plot;
    c.beginPath();
    let pen = false;
    eachSlot(plot, span, (x, w, at) => {
        const value = history.at(slot, at);
        if (Number.isNaN(value)) {
            pen = false;
            return;
        }
        if (pen)
            c.lineTo(x + w / 2, y(value));
        else
            c.moveTo(x + w / 2 - 0.5, y(value)), c.lineTo(x + w / 2 + 0.5, y(value));
        pen = true;
    });
    c.lineJoin = "round";
    if (halo) {
        c.setLineDash([]);
        c.strokeStyle = halo;
        c.lineWidth = 3.5;
        c.stroke();
    }
    c.setLineDash(dash);
    c.strokeStyle = colour;
    c.lineWidth = 1.5;
    c.stroke();
    c.setLineDash([]);
}

/* The name of a line, above its end. */
function lineLabel({c, width}, words, y, halo, colour) {
    if (Number.isNaN(y))
        return;
    c.textAlign = "right";
    c.textBaseline = "bottom";
    c.lineWidth = 3.5;
    c.strokeStyle = halo;
    c.strokeText(words, width - RIGHT - 3, y - 3);
    c.fillStyle = colour;
    c.fillText(words, width - RIGHT - 3, y - 3);
}

/* Says in the middle of a chart why it is empty. */
function emptyNote({c, width, height, ink}, words) {
    c.fillStyle = ink("muted");
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.fillText(words, LEFT + inner(width) / 2, (height - BOTTOM + TOP) / 2);
}

export const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3], [10, 4]];

/* lines: [{history, ...}], drawn with the colours line0 .. line5. limit: a value to mark, or null. */
export function drawLines(canvas, slot, span, lines, limit, back) {
    const plot = prepare(canvas);
    const {c, width, height, ink} = plot;
    let most = lines.length > 0 ? 0 : NaN;
    for (const {history} of lines)
        for (let at = 0; at < span; at++)
            if (history.at(slot, at) > most)
                most = history.at(slot, at);
    if (limit !== null && most > limit / 4)
        most = Math.max(most, limit);
    const top = niceTop(most);
    const y = (value) => height - BOTTOM - value / top * (height - BOTTOM - TOP);
    timeAxis(plot, span);
    valueAxis(plot, top, count);
    if (lines.length === 0)
        emptyNote(plot, "there was no subscriber in this time");
    lines.forEach(({history}, i) => stepLine(plot, history, slot, span, y, null, ink(`line${i}`), DASHES[i]));
    if (limit !== null && limit <= top) {
        c.strokeStyle = ink("bad");
        c.setLineDash([3, 3]);
        c.beginPath();
        c.moveTo(LEFT, Math.round(y(limit)) + 0.5);
        c.lineTo(width - RIGHT, Math.round(y(limit)) + 0.5);
        c.stroke();
        c.setLineDash([]);
        c.fillStyle = ink("bad");
        c.textAlign = "left";
        c.textBaseline = y(limit) < TOP + 14 ? "top" : "bottom";
        c.fillText("the whole ring", LEFT + 6, y(limit) + (y(limit) < TOP + 14 ? 3 : -2));
    }
    cursorLine(plot, span, back);
}

/* Stacked bars: bars: [{history, ink}]. */
export function drawBars(canvas, slot, span, bars, back) {
    const plot = prepare(canvas);
    const {c, height, ink} = plot;
    let most = 0;
    for (let at = 0; at < span; at++)
        most = Math.max(most, bars.reduce((sum, {history}) => sum + (history.at(slot, at) || 0), 0));
    const top = niceTop(most);
    timeAxis(plot, span);
    valueAxis(plot, top, rate);
    if (most === 0)
        emptyNote(plot, "nothing was lost in this time");
    eachSlot(plot, span, (x, w, at) => {
        let from = height - BOTTOM;
        for (const bar of bars) {
            const value = bar.history.at(slot, at);
            if (value > 0) {
                const to = from - Math.max(1, value / top * (height - BOTTOM - TOP));
                c.fillStyle = ink(bar.ink);
                c.fillRect(Math.floor(x), to, Math.max(1, Math.ceil(x + w) - Math.floor(x)), from - to);
                from = to;
            }
        }
    });
    cursorLine(plot, span, back);
}

export const spans = [60, 300, SPAN];

// ---- who publishes and subscribes what ----

const ROW = 17, GAP = 10, PAD = 8, LABEL = 58, MOST_CLIENTS = 16;

const SEVERITY = ["idle", "flow", "slow", "loses", "stuck", "waits"];

function publisherEdge(p) {
    return p.waits !== null && p.waited_ns >= 100e6 ? 5 : p.throttled > 0.2 ? 2 : p.rate > 0 ? 1 : 0;
}

function subscriberEdge(s) {
    if (s.state === "stuck" || isStopped(s))
        return 4;
    return s.lostRecent.gained > 0 ? 3 : s.state === "evicted" ? 2 : s.rate > 0 ? 1 : 0;
}

/* The clients of one side with their edges; those beyond MOST_CLIENTS as one node. */
function side(topics, peersOf, gradeOf, topicNodes) {
    const nodes = new Map();
    for (const topic of topics)
        for (const peer of peersOf(topic)) {
            const node = nodes.get(peer.clientKey) ?? {peer, edges: new Map(), rate: null, grade: 0};
            const edge = node.edges.get(topic) ?? {topic: topicNodes.get(topic), rate: null, grade: 0, n: 0};
            edge.n++;
            edge.grade = Math.max(edge.grade, gradeOf(peer));
            node.grade = Math.max(node.grade, edge.grade);
            if (peer.rate !== null) {
                edge.rate = (edge.rate ?? 0) + peer.rate;
                node.rate = (node.rate ?? 0) + peer.rate;
            }
            node.edges.set(topic, edge);
            nodes.set(peer.clientKey, node);
        }
    let list = [...nodes.values()];
    if (list.length > MOST_CLIENTS) {
        list.sort((a, b) => b.grade - a.grade || (b.rate ?? 0) - (a.rate ?? 0));
        const rest = list.splice(MOST_CLIENTS - 1);
        const more = {peer: null, more: rest.length, edges: new Map(), rate: null, grade: 0};
        for (const node of rest)
            for (const [topic, edge] of node.edges) {
                const sum = more.edges.get(topic) ?? {topic: edge.topic, rate: null, grade: 0, n: 0};
                sum.n += edge.n;
                sum.grade = Math.max(sum.grade, edge.grade);
                if (edge.rate !== null)
                    sum.rate = (sum.rate ?? 0) + edge.rate;
                more.edges.set(topic, sum);
                more.rate = (more.rate ?? 0) + (edge.rate ?? 0);
            }
        list.push(more);
    }
    const middle = (node) => [...node.edges.values()].reduce((sum, e) => sum + e.topic.index, 0) / node.edges.size;
    const order = new Map(list.map((node) => [node, node.more ? Infinity : middle(node)]));
    return list.sort((a, b) => order.get(a) - order.get(b));
}

const ruler = document.createElement("canvas").getContext("2d");

/* The text, cut to a width in pixels; of a topic's name the end is kept, which says more. */
function cut(full, width, keepEnd = false) {
    if (ruler.measureText(full).width <= width)
        return full;
    const characters = Array.from(full).slice(...keepEnd ? [-300] : [0, 300]);
    const part = (n) => keepEnd ? "…" + characters.slice(characters.length - n).join("")
        : characters.slice(0, n).join("") + "…";
    let low = 0, high = characters.length;
    while (low < high) {
        const mid = (low + high + 1) >> 1;
        if (ruler.measureText(part(mid)).width <= width)
            low = mid;
        else
            high = mid - 1;
    }
    return part(low);
}

function place(nodes, height) {
    const total = nodes.reduce((sum, n) => sum + n.height, 0) + GAP * Math.max(0, nodes.length - 1);
    let y = Math.max(0, (height - total) / 2);
    for (const node of nodes) {
        node.y = y;
        y += node.height + GAP;
    }
}

const columnHeight = (nodes) => nodes.reduce((sum, n) => sum + n.height + GAP, 0) - (nodes.length > 0 ? GAP : 0);

const whoLabel = (node) => node.more ? `${node.more} more clients` : node.peer.name.shown || "(no name)";

/* Ports: each edge has a row of its own at both of its nodes, so that labels don't meet. */
function ports(nodes, sideName) {
    for (const node of nodes) {
        node.list = [...node.edges.values()].sort((a, b) => a.topic.index - b.topic.index);
        node.height = Math.max(2, node.list.length) * ROW + 2 * PAD;
        for (const edge of node.list)
            edge.topic[sideName].push(edge);
    }
}

function portY(node, list, i) {
    const step = Math.min(ROW, (node.height - 2 * PAD) / list.length);
    return node.y + node.height / 2 + (i - (list.length - 1) / 2) * step;
}

/*
 * Three columns: clients that publish, topics, clients that subscribe. topics: those to show. Returns the new element.
 * A topic is a link to it; the open one is marked.
 */
export function graph(topics, open, width, font) {
    ruler.font = `12px ${font}`;
    const box = Math.floor(width < 500 ? width * 0.255 : Math.min(230, width * 0.27));
    const nodes = topics.map((topic, index) => ({topic, index, left: [], right: []}));
    const byTopic = new Map(nodes.map((node) => [node.topic, node]));
    const left = side(topics, (t) => t.publishers, publisherEdge, byTopic);
    const right = side(topics, (t) => t.subscribers, subscriberEdge, byTopic);
    ports(left, "left");
    ports(right, "right");
    for (const node of nodes)
        node.height = Math.max(2, node.left.length, node.right.length) * Math.min(ROW, 12) + 2 * PAD;
    const height = Math.max(columnHeight(left), columnHeight(nodes), columnHeight(right), 60);
    [left, nodes, right].forEach((column) => place(column, height));

    const xs = [1, (width - box) / 2, width - box - 1];
    const root = svg("svg", {
        class: "net", width, height: height + 2, viewBox: `0 -1 ${width} ${height + 2}`, role: "group",
        "aria-label": `${left.length} publishing and ${right.length} subscribing clients of ${topics.length} topics`,
    });
    const room = xs[1] - xs[0] - box;
    for (const node of left)
        node.list.forEach((edge, i) => {
            const from = [xs[0] + box, portY(node, node.list, i)];
            const to = [xs[1], portY(edge.topic, edge.topic.left, edge.topic.left.indexOf(edge))];
            root.append(...edgeOf(edge, from, to, room, "start", `${whoLabel(node)} publishes `));
        });
    for (const node of right)
        node.list.forEach((edge, i) => {
            const from = [xs[1] + box, portY(edge.topic, edge.topic.right, edge.topic.right.indexOf(edge))];
            const to = [xs[2], portY(node, node.list, i)];
            root.append(...edgeOf(edge, from, to, room, "end", `${whoLabel(node)} receives `));
        });
    for (const node of left)
        root.append(clientNode(node, xs[0], box));
    for (const node of right)
        root.append(clientNode(node, xs[2], box));
    for (const node of nodes)
        root.append(topicNode(node, xs[1], box, open));
    return root;
}

function edgeOf(edge, from, to, room, end, what) {
    const labelled = room >= 150;
    const at = end === "start" ? [from[0] + 5, from[1]] : [to[0] - 5, to[1]];
    if (labelled && end === "start")
        from[0] += LABEL;
    else if (labelled)
        to[0] -= LABEL;
    const mid = (from[0] + to[0]) / 2, [y0, y1] = [from[1].toFixed(1), to[1].toFixed(1)];
    const least = edge.grade > 2 ? 2 : 1;
    const thick = edge.rate > 0 ? Math.min(7, Math.max(least, 1 + Math.log10(1 + edge.rate) * 0.8)) : least;
    const shown = edge.rate === null ? "–" : text(rate(edge.rate));
    const path = svg("path", {
        class: `edge ${SEVERITY[edge.grade]}`, "stroke-width": thick.toFixed(1),
        d: `M${from[0]} ${y0}C${mid} ${y0} ${mid} ${y1} ${to[0]} ${y1}`,
    }, svg("title", {}, `${what}${edge.topic.topic.name.shown}: ${shown}`));
    return !labelled ? [path]
        : [path, svg("text", {class: "edge-rate", x: at[0], y: (at[1] + 3.5).toFixed(1), "text-anchor": end}, shown)];
}

function boxOf(x, node, box, kind) {
    const y = node.y.toFixed(1), height = node.height.toFixed(1);
    return svg("rect", {class: `node ${kind}`, x, y, width: box, height, rx: 5});
}

function lines(node, x, box, first, second, keepEnd = false) {
    const y = node.y + node.height / 2;
    return [
        svg("text", {class: "node-name", x: x + PAD, y: (y - 3).toFixed(1)}, cut(first, box - 2 * PAD, keepEnd)),
        svg("text", {class: "node-more", x: x + PAD, y: (y + 12).toFixed(1)}, cut(second, box - 2 * PAD)),
    ];
}

function clientNode(node, x, box) {
    const pid = node.peer?.pid ? `pid ${node.peer.pid}` : "";
    const flow = node.rate === null ? "" : text(rate(node.rate));
    const stopped = node.peer?.process === "stopped" ? "stopped" : "";
    const second = (box < 130 ? [stopped || flow] : [stopped, flow, pid]).filter((part) => part !== "").join(" · ");
    return svg("g", {}, boxOf(x, node, box, `client ${node.grade > 1 ? SEVERITY[node.grade] : ""}`),
               ...lines(node, x, box, whoLabel(node), second), svg("title", {}, `${whoLabel(node)} ${pid}`));
}

function topicNode(node, x, box, open) {
    const topic = node.topic;
    const second = topic.rate === null ? topic.state[1] : text(rate(topic.rate));
    return svg("a", {
        href: `#topic=${topic.name.query}`, class: topic === open ? "open" : "", "data-key": topic.key,
        "aria-label": `topic ${topic.name.shown}, ${second}`,
    }, boxOf(x, node, box, `topic ${SEVERITY[Math.max(0, topic.state[0])]}`),
    ...lines(node, x, box, topic.name.shown, second, true), svg("title", {}, topic.name.shown));
}
