// SPDX-License-Identifier: Apache-2.0
/* columns.js - the columns of all tables, and figures as their cells show them. */
import {byteRate, bytes, count, duration, exact, percentage, plural, rate, text} from "./format.js";
import {drawSpark, sparkline} from "./draw.js";
import {LOST, WHY} from "./model.js";
import {el, nameNode, setChildren, setFigure, setText, setTitle} from "./table.js";

// ---- figures ----

export function figure(value, form, why, more = {}) {
    return value === null || value === undefined ? {unknown: why} : {figure: form(value), ...more};
}

export const messages = (value, why = WHY.none, more = {}) =>
    figure(value, count, why, {title: value === null ? null : plural(value, "message"), ...more});
export const perSecond = (value, more = {}) =>
    figure(value, rate, WHY.rate, {title: value === null ? null : `${exact(value)} messages/s`, ...more});
export const time = (value, why, more = {}) =>
    figure(value, duration, why, {title: value === null ? null : `${exact(value)} ns`, ...more});
const size = (value, more = {}) =>
    figure(value, bytes, WHY.none, {title: value === null ? null : `${exact(value)} bytes`, ...more});

function lostTitle(by) {
    const parts = LOST.filter((reason) => by[reason] > 0).map((reason) => `${reason} ${exact(by[reason])}`);
    return parts.length > 0 ? `messages lost: ${parts.join(", ")}` : "no message lost";
}

function ageOf(item) {
    return item.age_ns === 0 ? {figure: ["0", "s"], title: "no message is unread"} : time(item.age_ns, WHY.age);
}

export function badge(severity, words) {
    return words === "" ? [] : [el("span", {class: `badge s${severity}`}, words)];
}

const STATE_SEVERITY = {idle: 0, behind: 1, stuck: 4, evicted: 2};

function setName(cell, name, href) {
    setChildren(cell, name.shown + name.query, () => {
        const node = nameNode(name);
        return [href === null ? node : el("a", {href}, node)];
    });
    setTitle(cell, name.shown);
}

// ---- topics ----

const latencyColumn = (id, label, what) => ({
    id, label, kind: "figure", unit: "time", sort: (t) => t.latency[id],
    title: `Latency since the topic was created: ${what}`,
    set: (cell, t) => setFigure(cell, time(t.latency[id], WHY.latency)),
});

export const topicColumns = [
    {
        id: "name", label: "Topic", kind: "name", sort: (t) => t.name.shown,
        set: (cell, t) => setName(cell, t.name, `#topic=${t.name.query}`),
    },
    {
        id: "state", label: "State", kind: "text", sort: (t) => t.state[0],
        title: "waits: a publisher waits for room. stuck, loses: subscribers. throttled: publishers often have no room",
        set: (cell, t) => setChildren(cell, t.state.join(), () => badge(...t.state)),
    },
    {
        id: "rate", label: "Published", short: "Rate", kind: "figure", unit: "rate", sort: (t) => t.rate,
        title: "Messages a second",
        set: (cell, t) => setFigure(cell, perSecond(t.rate)),
    },
    {
        id: "trend", label: "2 min", kind: "trend", title: "Messages published a second, in the last two minutes",
        set: (cell, t) => {
            if (cell.firstChild === null)
                cell.append(sparkline());
            drawSpark(cell.firstChild, t.trend.rate, t.slot);
        },
    },
    {
        id: "bytes", label: "Payload", kind: "figure", unit: "flow", sort: (t) => t.byteRate,
        title: "Bytes of payload a second",
        set: (cell, t) => setFigure(cell, figure(t.byteRate, byteRate, WHY.rate)),
    },
    {
        id: "publishers", label: "Pub", kind: "figure", sort: (t) => t.publishers.length, title: "Open publishers",
        set: (cell, t) => setFigure(cell, {figure: count(t.publishers.length)}),
    },
    {
        id: "subscribers", label: "Sub", kind: "figure", sort: (t) => t.subscribers.length, title: "Open subscribers",
        set: (cell, t) => setFigure(cell, {figure: count(t.subscribers.length)}),
    },
    {
        id: "lag", label: "Lag", kind: "figure", sort: (t) => t.lag,
        title: "Messages that wait for the subscriber that is farthest behind",
        set: (cell, t) => setFigure(cell, messages(t.lag)),
    },
    {
        id: "age", label: "Age", kind: "figure", unit: "time", sort: (t) => t.age_ns,
        title: "How long the oldest unread message waits",
        set: (cell, t) => setFigure(cell, ageOf(t)),
    },
    latencyColumn("p50", "p50", "half of the messages took at most this"),
    latencyColumn("p99", "p99", "99 % of the messages took at most this"),
    latencyColumn("p999", "p99.9", "99.9 % of the messages took at most this"),
    latencyColumn("max", "max", "the longest"),
    {
        id: "lost", label: "Lost", kind: "figure", sort: (t) => t.lost, title: "Messages that subscribers lost",
        set: (cell, t) => setFigure(cell, messages(t.lost, WHY.none, {title: lostTitle(t.lostBy),
                                                                     alarm: t.lostRecent.gained > 0})),
    },
];

// ---- the open topic ----

function pidColumns() {
    return [
        {id: "client", label: "Client", kind: "name", set: (cell, p) => setName(cell, p.name, null)},
        {
            id: "pid", label: "PID", kind: "figure",
            set: (cell, p) => setFigure(cell, figure(p.pid, (v) => [String(v), ""], WHY.process)),
        },
        {
            id: "process", label: "Process", kind: "text", title: "The state of the process",
            set: (cell, p) => setChildren(cell, String(p.process), () => p.process === null
                ? [el("span", {class: "unknown", role: "img", title: WHY.process, "aria-label": WHY.process}, "–")]
                : p.process === "stopped" || p.process === "dead" ? badge(5, p.process) : [p.process]),
        },
    ];
}

const ofRate = (label) => ({
    id: "rate", label, kind: "figure", unit: "rate", title: "Messages a second",
    set: (cell, p) => setFigure(cell, perSecond(p.rate)),
});
const ofCount = (id, label, title, key = id) => ({
    id, label, title, kind: "figure", set: (cell, p) => setFigure(cell, figure(p[key], count, WHY.none,
        {title: p[key] === null ? null : exact(p[key])})),
});
const ofTime = (id, label, title, key = id) => ({
    id, label, title, kind: "figure", unit: "time", set: (cell, p) => setFigure(cell, time(p[key], WHY.none)),
});

export const publisherColumns = [
    ...pidColumns(),
    {
        id: "waits", label: "Waits", kind: "text", title: "What the publisher waits for now, and for how long",
        set: (cell, p) => {
            const forWhom = p.forSubscriber ?? p.forPublisher;
            const words = p.waits === null ? "" : text(duration(p.waited_ns ?? 0));
            setChildren(cell, `${words} ${p.waits} ${forWhom?.name.shown}`, () => p.waits === null ? ["no"]
                : [...badge(p.waited_ns >= 100e6 ? 5 : 1, words), " for ",
                   forWhom === null ? p.waits : nameNode(forWhom.name)]);
            setTitle(cell, p.waits === null ? null : forWhom?.name.shown ?? null);
        },
    },
    ofRate("Published"),
    {
        id: "bytes", label: "Payload", kind: "figure", unit: "flow", title: "Bytes of payload a second",
        set: (cell, p) => setFigure(cell, figure(p.byteRate, byteRate, WHY.rate)),
    },
    ofCount("published", "Messages", "Messages published"),
    {
        id: "throttled", label: "No room", kind: "figure", unit: "time", title: "Share of the last second without room",
        set: (cell, p) => setFigure(cell, figure(p.throttled, percentage, WHY.rate)),
    },
    ofCount("stalls", "Stalls", "Times that it ran out of room"),
    ofTime("stall_ns", "Stalled", "Total time without room, with the present stall"),
    ofTime("stall_longest_ns", "Longest", "The longest stall, the present one included"),
    ofCount("full", "Full", "Calls that found no room"),
    ofCount("loans", "Loans", "Loans that are open now"),
    {
        id: "lane", label: "Lane used", kind: "figure", unit: "bytes",
        title: "Bytes of its lane that hold messages or loans",
        set: (cell, p) => setFigure(cell, p.lane_bytes === 0 ? {figure: ["none", ""]}
            : size(p.lane_used_bytes, {title: p.lane_bytes === null ? null : `of ${text(bytes(p.lane_bytes))}`})),
    },
];

const peerLatency = (id, label) => ({
    id, label, kind: "figure", unit: "time", title: "Latency since it subscribed",
    set: (cell, s) => setFigure(cell, time(s.latency[id], WHY.latency)),
});

export const subscriberColumns = [
    ...pidColumns(),
    {id: "policy", label: "Policy", kind: "text", set: (cell, s) => setText(cell, s.policy ?? "–")},
    {
        id: "state", label: "State", kind: "text",
        set: (cell, s) => setChildren(cell, String(s.state), () => s.state === null ? ["–"]
            : badge(STATE_SEVERITY[s.state] ?? 0, s.state)),
    },
    ofRate("Received"),
    {
        id: "lag", label: "Lag", kind: "figure", title: "Messages between it and the topic's end",
        set: (cell, s) => setFigure(cell, messages(s.lag)),
    },
    {
        id: "age", label: "Age", kind: "figure", unit: "time", title: "How long its oldest unread message waits",
        set: (cell, s) => setFigure(cell, ageOf(s)),
    },
    {
        id: "holds", label: "Holds up", kind: "figure", title: "Publishers that wait for it now",
        set: (cell, s) => setFigure(cell, figure(s.holds_up, count, WHY.none, {
            title: s.held_up_ns > 0 ? `the longest for ${text(duration(s.held_up_ns))}` : null,
            alarm: s.held_up_ns >= 100e6,
        })),
    },
    peerLatency("p50", "p50"), peerLatency("p99", "p99"), peerLatency("p999", "p99.9"), peerLatency("max", "max"),
    {
        id: "lost", label: "Lost", kind: "figure", title: "Messages lost",
        set: (cell, s) => setFigure(cell, messages(s.lost, WHY.none, {title: lostTitle(s.lostBy),
                                                                     alarm: s.lostRecent.gained > 0})),
    },
    ofCount("delivered", "Delivered", "Messages received"),
    ofCount("skipped", "Skipped", "Messages passed over for a newer one"),
    ofCount("aborted", "Aborted", "Sequences that a publisher had claimed, but died before it committed them"),
];

export const departedColumns = [
    {id: "client", label: "Client", kind: "name", set: (cell, p) => setName(cell, p.name, null)},
    pidColumns()[1],
    {id: "role", label: "Role", kind: "text", set: (cell, p) => setText(cell, p.role ?? "–")},
    {
        id: "end", label: "End", kind: "text",
        set: (cell, p) => setChildren(cell, `${p.died} ${p.evicted}`, () => [
            ...badge(p.died ? 4 : 0, p.died ? "died" : "closed"), ...p.evicted ? [" ", ...badge(2, "evicted")] : []]),
    },
    {
        id: "left", label: "Ago", kind: "figure", unit: "time", title: "How long ago it left",
        set: (cell, p) => setFigure(cell, figure(p.ago, duration, WHY.none,
            {title: p.ago === null ? null : new Date(p.left_ns / 1e6).toString()})),
    },
    ofCount("messages", "Messages", "Messages published, or delivered"),
    ofCount("lost", "Lost", "Messages lost"),
    ofCount("aborted", "Aborted", "Sequences that a publisher had claimed, but died before it committed them"),
    ofCount("skipped", "Skipped", "Messages passed over for a newer one"),
    ofTime("stall_ns", "Stalled", "Total time without room"),
];

export const quantileColumns = [
    {id: "of", label: "Messages", kind: "name", set: (cell, row) => setText(cell, row.of)},
    {
        id: "count", label: "Number", kind: "figure", title: "Messages received, estimated from those stamped",
        set: (cell, row) => setFigure(cell, figure(row.count, count, row.why,
            {title: row.count === null ? null : exact(row.count)})),
    },
    ...["p50", "p99", "p999", "max"].map((id) => ({
        id, label: id === "p999" ? "p99.9" : id, kind: "figure", unit: "time",
        set: (cell, row) => setFigure(cell, time(row[id], row.why)),
    })),
];
