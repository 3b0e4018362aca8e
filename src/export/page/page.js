// SPDX-License-Identifier: Apache-2.0
/*
 * page.js - asks the server once a second, and shows what it answers.
 *
 * #                all topics
 * #topic=NAME      one topic; NAME is percent-encoded
 *
 * Figures are live, paused or stale, and the page always says which. Stale: the server can't be reached, or gives no
 * new reading.
 */
import {
    badge, departedColumns, figure, messages, perSecond, publisherColumns, quantileColumns, subscriberColumns, time,
    topicColumns,
} from "./columns.js";
import {backAt, DASHES, drawBars, drawHeat, drawLines, drawSpark, graph, sparkline, spans, svg} from "./draw.js";
import {byteRate, bytes, clock, count, duration, exact, normalQuery, plural, rate, shownQuery, text} from "./format.js";
import {LOST, Model, OpenTopic, SPAN, WHY} from "./model.js";
import {$, el, nameNode, setChildren, setFigure, setText, setTitle, Table} from "./table.js";

const PERIOD_MS = 1000;
const TIMEOUT_MS = 5000;
const STALE_MS = 5000;  // without a new reading
const HOLD_MS = 5000;   // how long the order stays after the reader pointed at the topics
const PAGE_ROWS = 100;
const GRAPH_TOPICS = 8;
const SENTENCES = 12;
const BLOCKS = {topics: 760, peers: 1270}; // up to these widths of the window a row of a table is a block

const model = new Model();
let open = null;     // OpenTopic
let openQuery = null; // the open topic's name, percent-encoded
let openAnswer = "asked"; // or "there", "gone"

const state = {
    paused: false, link: "connecting", error: null, reached: null, fresh: null, freshAt: null, shown: PAGE_ROWS,
    sort: "rate", down: true, filter: "", held: 0, span: 300, order: [], resuming: false,
};

// ---- the table of topics ----

function compare(a, b) {
    if (typeof a === "string")
        return a < b ? -1 : a > b ? 1 : 0;
    return (a ?? -1) - (b ?? -1);
}

function matches(topic, words) {
    const has = (name) => name.shown.toLowerCase().includes(words);
    return words === "" || has(topic.name) || topic.publishers.some((p) => has(p.name)) ||
        topic.subscribers.some((s) => has(s.name));
}

/* The topics that the filter lets through, in the order of the table. */
function ordered() {
    const words = state.filter.trim().toLowerCase();
    const list = [...model.topics.values()].filter((topic) => matches(topic, words));
    const column = topicColumns.find((c) => c.id === state.sort);
    const sign = state.down ? -1 : 1;
    list.sort((a, b) => sign * compare(column.sort(a), column.sort(b)) || compare(a.name.shown, b.name.shown));
    if (performance.now() < state.held) {
        const place = new Map(state.order.map((key, i) => [key, i]));
        list.sort((a, b) => (place.get(a.key) ?? Infinity) - (place.get(b.key) ?? Infinity) || 0);
    }
    state.order = list.map((topic) => topic.key);
    return list;
}

function sortBy(id) {
    const column = topicColumns.find((c) => c.id === id);
    state.down = state.sort === id ? !state.down : column.kind !== "name";
    state.sort = id;
    state.held = 0;
    $("sort").value = id;
    topicsTable.sorted(id, state.down);
    showOverview();
}

const topicsTable = new Table($("topics"), topicColumns, BLOCKS.topics, sortBy);

/* How many topics the table has, and what isn't in it. */
function shownNote(n) {
    if (model.instance === null)
        return "";
    const here = n === model.topics.size ? plural(n, "topic") : `${exact(n)} of ${plural(model.topics.size, "topic")}`;
    const flow = model.other === null || model.other.rate === null ? "" : `, with ${text(rate(model.other.rate))}`;
    return model.leftOut > 0 ? `${here}; ${plural(model.leftOut, "more topic")} not shown by name${flow}` : here;
}

function showTopics() {
    const list = ordered();
    const shown = list.slice(0, state.shown);
    topicsTable.show(shown);
    setText($("shown"), shownNote(list.length));
    $("none").hidden = shown.length > 0 || model.instance === null;
    setText($("none"), model.topics.size === 0 ? "There are no topics. A topic begins when a program opens it."
        : "No topic's name, and none of its clients', contains this." + (model.leftOut > 0
        ? " Enter opens a topic of exactly this name, also one that isn't shown by name." : ""));
    $("more").hidden = list.length <= state.shown;
    setText($("more"), `Show ${exact(Math.min(PAGE_ROWS, list.length - state.shown))} more topics`);
    return list;
}

// ---- totals ----

const TOTALS = [
    ["rate", "Published", (t) => perSecond(t.rate), (t) => t.byteRate === null ? "" : text(byteRate(t.byteRate))],
    ["delivered", "Delivered", (t) => perSecond(t.delivered), () => "to all subscribers"],
    ["lost", "Lost", (t) => perSecond(t.lost, {alarm: t.lost > 0}),
        (t) => t.lostTotal === null ? "" : `${text(count(t.lostTotal))} in all`],
    ["lag", "Worst lag", (t) => messages(t.lag),
        (t) => t.age > 0 ? `oldest unread ${text(duration(t.age))}` : "messages"],
    ["waiting", "Waiting publishers", (t) => figure(t.waiting, count, WHY.none, {alarm: t.waited > 100e6}),
        (t) => t.waited > 0 ? `the longest for ${text(duration(t.waited))}` : "none waits"],
    ["stuck", "Stuck subscribers", (t) => figure(t.stuck, count, WHY.none, {alarm: t.stuck > 0}),
        (t) => t.stuck > 0 ? "they receive nothing" : "none is stuck"],
];

/* Tiles: [id, label, figure, second line, history, its last slot]. */
function showTiles(list, tiles) {
    if (list.children.length !== tiles.length)
        list.replaceChildren(...tiles.map(([id, label]) => el("div", {class: "tile", "data-tile": id},
            el("dt", {}, label), el("dd", {class: "figure"}), el("dd", {class: "note"}), sparkline())));
    tiles.forEach(([, , value, note, history, slot], i) => {
        const [, figureNode, noteNode, spark] = list.children[i].children;
        setFigure(figureNode, value);
        setText(noteNode, note);
        drawSpark(spark, history, slot);
    });
}

function showTotals() {
    const totals = model.totals;
    showTiles($("totals"), TOTALS.map(([id, label, value, note]) =>
        [id, label, value(totals), note(totals), model.trend[id], model.slots.slot]));
}

// ---- the slow, by name ----

// Their severities.
const KINDS = new Map(Object.entries({waits: 5, stuck: 4, stopped: 4, loses: 3, throttled: 2, evicted: 2, died: 2}));

function sentence(problem, withTopic) {
    const severity = KINDS.get(problem.kind) ?? 2;
    const {topic} = problem;
    const where = withTopic
        ? [el("a", {class: "where", href: `#topic=${topic.query}`, title: topic.shown}, nameNode(topic))] : [];
    return el("li", {class: `s${severity}`, "data-kind": problem.kind},
              el("span", {class: `badge s${severity}`}, problem.kind),
              el("span", {class: "says"}, problem.text[0].toUpperCase() + problem.text.slice(1) + "."), ...where);
}

const WELL = "No publisher waits, no subscriber is stuck, and none loses messages.";

function showSlow(list, found, withTopic) {
    const shown = found.slice(0, SENTENCES);
    const words = (problem) => problem.kind + problem.topic.query + problem.text;
    // A link that has the focus keeps it: the sentences change under it each second.
    const at = [...list.querySelectorAll("a")].indexOf(document.activeElement);
    setChildren(list, shown.map(words).join("\n") + found.length, () => {
        const items = shown.map((problem) => sentence(problem, withTopic));
        if (found.length === 0)
            items.push(el("li", {class: "well"}, WELL));
        if (found.length > shown.length)
            items.push(el("li", {class: "quiet"}, `and ${exact(found.length - shown.length)} more`));
        return items;
    });
    if (at >= 0)
        list.querySelectorAll("a")[at]?.focus({preventScroll: true});
}

/* Says aloud when the numbers of those in trouble change, at most every 15 s. */
const spoken = {words: null, at: 0};
const SPOKEN = [
    ["waits", "publisher waits", "publishers wait"],
    ["stuck", "subscriber is stuck", "subscribers are stuck"],
    ["stopped", "subscriber is stopped", "subscribers are stopped"],
    ["loses", "subscriber lost messages", "subscribers lost messages"],
];

function speak(found) {
    const n = (kind) => found.filter((t) => t.kind === kind).length;
    const parts = SPOKEN.filter(([kind]) => n(kind) > 0).map(([kind, one, many]) => plural(n(kind), one, many));
    const words = parts.length > 0 ? parts.join(", ") : "nobody is slow";
    const now = performance.now();
    if (words === spoken.words || (spoken.words !== null && now - spoken.at < 15000))
        return;
    if (spoken.words !== null || parts.length > 0)
        setText($("spoken"), words);
    spoken.words = words;
    spoken.at = now;
}

// ---- pictures ----

function showGraph(box, topics, opened) {
    const width = box.clientWidth;
    /* Not while the button is down: a press on a link that is replaced before the release opens nothing. */
    if (width === 0 || box.matches(":active"))
        return;
    const focus = box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    box.replaceChildren(topics.length === 0 ? el("p", {class: "quiet"}, "nothing to show")
        : graph(topics, opened, width, getComputedStyle(box).fontFamily));
    if (focus)
        [...box.querySelectorAll("a")].find((a) => a.dataset.key === focus)?.focus({preventScroll: true});
}

const byWeight = (a, b) => (b.state[0] > 1 ? b.state[0] : 0) - (a.state[0] > 1 ? a.state[0] : 0) ||
    (b.rate ?? 0) - (a.rate ?? 0) || compare(a.name.shown, b.name.shown);

function showOverviewGraph() {
    const words = state.filter.trim().toLowerCase();
    const all = [...model.topics.values()]
        .filter((t) => matches(t, words) && t.publishers.length + t.subscribers.length > 0);
    const chosen = all.sort(byWeight).slice(0, GRAPH_TOPICS);
    const left = all.length - chosen.length;
    setText($("graph-note"), left <= 0 ? ""
        : `those in trouble and the busiest; ${plural(left, "more topic")} not shown: filter`);
    chosen.sort((a, b) => compare(a.name.shown, b.name.shown));
    showGraph($("graph"), chosen, null);
}

/* The open topic, and the other topics of its clients. */
function showNear() {
    const topic = open.topic;
    const clients = new Set([...topic.publishers, ...topic.subscribers].map((p) => p.clientKey));
    const others = [...model.topics.values()].filter((t) => t.key !== topic.key &&
        [...t.publishers, ...t.subscribers].some((p) => clients.has(p.clientKey))).sort(byWeight);
    const chosen = others.slice(0, GRAPH_TOPICS - 1).sort((a, b) => compare(a.name.shown, b.name.shown));
    setText($("near-note"), "this topic, its clients, and their other topics" + (others.length > chosen.length
        ? `; ${plural(others.length - chosen.length, "more topic")} not shown` : ""));
    showGraph($("near"), [topic, ...chosen], topic);
}

// ---- the open topic ----

const tables = {
    pubs: new Table($("pubs"), publisherColumns, BLOCKS.peers),
    subs: new Table($("subs"), subscriberColumns, BLOCKS.peers),
    gone: new Table($("gone"), departedColumns, BLOCKS.peers),
};

const quantileTable = new Table($("quantiles"), quantileColumns, BLOCKS.topics);

function showQuantiles() {
    const {latency} = open.topic;
    const recent = open.recent ?? {count: null, p50: null, p99: null, p999: null, max: null, seconds: 0};
    quantileTable.show([
        {...recent, key: "recent", of: recent.seconds > 0 ? `of the last ${recent.seconds} s` : "of the last minute",
         why: WHY.recent},
        {...latency, key: "all", of: "since the topic was created", why: WHY.latency},
    ]);
    const odd = [[latency.negative, "from a clock ahead"], [latency.missed, "overwritten too early"],
                 [latency.overflow, "messages above 73 min"]].filter(([n]) => n > 0);
    setText($("heat-note"), (latency.samples === null ? "" : `${plural(latency.samples, "stamped message")} received`) +
        odd.map(([n, what]) => `; ${exact(n)} ${what}`).join(""));
}

function topicFacts(topic) {
    const parts = [];
    if (topic.capacity !== null)
        parts.push(`ring of ${plural(topic.capacity, "slot")}`);
    if (topic.slot_size !== null)
        parts.push(`${text(bytes(topic.slot_size))} each`);
    if (topic.max_message !== null)
        parts.push(`messages up to ${text(bytes(topic.max_message))}`);
    if (topic.lane_bytes > 0)
        parts.push(`lanes of ${text(bytes(topic.lane_bytes))}`);
    if (topic.mode !== null)
        parts.push(`${topic.mode} publishers`);
    if (topic.evict_lag !== null)
        parts.push(topic.evict_lag > 0 ? `evicts subscribers ${plural(topic.evict_lag, "message")} behind`
            : "waits for slow subscribers");
    if (topic.memory_bytes !== null)
        parts.push(`${text(bytes(topic.memory_bytes))} of memory`);
    if (topic.created_ns !== null)
        parts.push(`created ${new Date(topic.created_ns / 1e6).toLocaleString("en-GB")}`);
    return parts.join(" · ");
}

function ledger(topic) {
    const {delivered, lost, aborted, skipped, accounted} = topic;
    if ([delivered, lost, aborted, skipped, accounted].includes(null))
        return "";
    const holds = delivered + lost + aborted + skipped === accounted;
    return `${exact(delivered)} delivered + ${exact(lost)} lost + ${exact(aborted)} aborted + ${exact(skipped)} ` +
        `skipped ${holds ? "=" : "≠"} ${exact(accounted)} sequences passed: ` +
        (holds ? "each is accounted for." : "please report this.");
}

/* The subscribers whose lag is drawn: those farthest behind in the span. */
function lagLines() {
    const slot = open.slots.slot;
    const worst = (history) => {
        let most = -1;
        for (let back = 0; back < state.span; back++)
            if (history.at(slot, back) > most)
                most = history.at(slot, back);
        return most;
    };
    return [...open.lags.values()].map((line) => ({...line, most: worst(line.history)}))
        .filter((line) => line.most >= 0).sort((a, b) => b.most - a.most).slice(0, DASHES.length);
}

/* Tells clients of one name apart. */
const pidNote = (line) => line.pid === null ? "" : ` (pid ${line.pid})`;

function lineMark(i, dash) {
    return svg("svg", {class: `mark line${i}`, viewBox: "0 0 24 8", "aria-hidden": "true"},
               svg("path", {d: "M0 4H24", "stroke-dasharray": dash.join(" ")}));
}

const LOSS_INK = {ring: "bad", lane: "line1", retained: "line2", evicted: "line3"};

const CHARTS = {
    heat: "Latency over time: read one moment",
    lag: "Lag over time: read one moment",
    loss: "Loss over time: read one moment",
};
const cursors = {heat: null, lag: null, loss: null}; // slots back from the last

function readings(back) {
    const slot = open.slots.slot - back;
    const ms = slot < 0 ? undefined : open.times[slot % SPAN];
    const when = ms === undefined ? "no figures" : clock(new Date(ms));
    return {when, at: (history) => history.at(open.slots.slot, back)};
}

function fill(value, form) {
    return Number.isNaN(value) ? "–" : text(form(value));
}

/* The figures of the moment that a chart's cursor is at; "" without one. */
function reading(id) {
    const back = cursors[id];
    if (back === null)
        return "";
    const {when, at} = readings(back);
    if (id === "lag") {
        const lags = lagLines().map((line) => `${line.name.shown}${pidNote(line)}: ${fill(at(line.history), count)}`);
        return `${when}: ${lags.join(", ") || "no subscriber"}`;
    }
    if (id === "loss")
        return `${when}: ${LOST.map((reason) => `${reason} ${fill(at(open.lost[reason]), rate)}`).join(", ")}`;
    return `${when}: p50 ${fill(at(open.lines.p50), duration)}, p99 ${fill(at(open.lines.p99), duration)}, ` +
        `${fill(at(open.lines.count), count)} messages`;
}

function showLag(slot) {
    const lags = lagLines();
    drawLines($("lag"), slot, state.span, lags, open.topic.capacity, cursors.lag);
    const more = open.lags.size > lags.length ? `; the worst ${lags.length} of ${open.lags.size}` : "";
    setText($("lag-note"), `messages${more}`);
    setChildren($("lag-legend"), lags.map((line) => line.name.shown + pidNote(line)).join("\n"), () =>
        lags.map((line, i) => el("li", {title: line.name.shown}, lineMark(i, DASHES[i]),
                                 el("span", {}, nameNode(line.name), pidNote(line)))));
}

function showLoss(slot) {
    const {lost, lostBy} = open.topic;
    drawBars($("loss"), slot, state.span, LOST.map((reason) => ({history: open.lost[reason], ink: LOSS_INK[reason]})),
             cursors.loss);
    setText($("loss-note"), lost === null ? "" : `${text(count(lost))} lost since the topic was created`);
    const reasons = LOST.filter((reason) => lostBy[reason] > 0);
    setChildren($("loss-legend"), reasons.map((r) => r + lostBy[r]).join(), () => reasons.map((reason) =>
        el("li", {}, el("span", {class: `swatch ${LOSS_INK[reason]}`}), `${reason}: ${exact(lostBy[reason])}`)));
}

function showCharts() {
    const {slot} = open.slots;
    drawHeat($("heat"), open, state.span, cursors.heat);
    showLag(slot);
    showLoss(slot);
    for (const id of Object.keys(cursors))
        setText($(`${id}-read`), reading(id));
}

function showTopicTiles(topic) {
    const recent = open.recent ?? {};
    // The table's histories are older than those of the open topic. A topic that isn't in the table has only its own.
    const known = model.topics.get(topic.key);
    const trend = known?.trend ?? topic.trend, at = known ? model.slots.slot : open.slots.slot;
    showTiles($("topic-tiles"), [
        ["rate", "Published", perSecond(topic.rate), topic.byteRate === null ? "" : text(byteRate(topic.byteRate)),
            trend.rate, at],
        ["delivered", "Delivered", perSecond(topic.deliveredRate),
            `to ${plural(topic.subscribers.length, "subscriber")}`, open.rates.delivered, open.slots.slot],
        ["lag", "Worst lag", messages(topic.lag),
            topic.age_ns > 0 ? `oldest unread ${text(duration(topic.age_ns))}` : "messages", trend.lag, at],
        ["p99", "p99 of the last minute", time(recent.p99 ?? null, WHY.recent),
            recent.p50 ? `p50 ${text(duration(recent.p50))} · max ${text(duration(recent.max))}` : "",
            open.lines.p99, open.slots.slot],
        ["lost", "Lost", perSecond(topic.lostRate, {alarm: topic.lostRate > 0}),
            topic.lost === null ? "" : `${text(count(topic.lost))} in all`, trend.lost, at],
        ["waiting", "Waiting publishers", figure(topic.waiting, count, WHY.none, {alarm: topic.waited_ns > 100e6}),
            topic.waited_ns > 0 ? `the longest for ${text(duration(topic.waited_ns))}` : "none waits",
            open.rates.waiting, open.slots.slot],
    ]);
}

function showTopic() {
    const gone = openAnswer === "gone";
    $("topic-gone").hidden = !gone;
    if (gone)
        setText($("topic-gone"), open?.topic ? "This topic has been removed. These are its last figures."
            : "There is no topic of this name.");
    $("topic").classList.toggle("empty", !open?.topic);
    if (!open?.topic) {
        setText($("topic-name"), shownQuery(openQuery));
        for (const id of ["topic-facts", "topic-state"])
            $(id).replaceChildren();
        $("topic-name").signature = $("topic-state").signature = null;
        return;
    }
    const topic = open.topic;
    setChildren($("topic-name"), topic.key, () => [nameNode(topic.name)]);
    const status = gone ? [2, "removed"] : topic.state;
    setChildren($("topic-state"), status.join(), () => badge(...status));
    const facts = topicFacts(topic), version = ` version ${topic.type_version ?? "–"}`;
    setChildren($("topic-facts"), facts + topic.type.shown + version, () => [
        facts, ...topic.type.parts.length > 0 ? [" · type ", nameNode(topic.type), version] : []]);
    showTopicTiles(topic);
    showSlow($("topic-slow"), gone ? [] : open.problems, false);
    showQuantiles();
    tables.pubs.show(topic.publishers);
    tables.subs.show(topic.subscribers);
    tables.gone.show(topic.departed.map((peer) => Object.assign(peer, {ago: peer.ago_ns})));
    setText($("pubs-note"), topic.publishers.length === 0 ? "none is open" : exact(topic.publishers.length));
    setText($("subs-note"), topic.subscribers.length === 0 ? "none is open" : exact(topic.subscribers.length));
    setText($("gone-note"), topic.departed.length === 0 ? "none has closed or died" : "the last 8 that closed or died");
    setText($("ledger"), ledger(topic));
    showCharts();
    showNear();
}

// ---- the whole page ----

function showOverview() {
    if (model.instance === null)
        return;
    showTotals();
    showTopics();
    showSlow($("slow"), model.problems, true);
    showOverviewGraph();
}

function showDaemon() {
    const instance = model.instance;
    if (instance === null)
        return;
    const parts = [
        instance.running === false ? "aetherd is not running"
            : (instance.pid ? `aetherd (pid ${instance.pid})` : "aetherd") + (instance.stopped ? " is stopped" : ""),
        plural(model.topics.size + model.leftOut, "topic"),
        instance.publishers === null ? null : plural(instance.publishers, "publisher"),
        instance.subscribers === null ? null : plural(instance.subscribers, "subscriber"),
        instance.clients === null ? null : plural(instance.clients, "client"),
        instance.memory_bytes === null ? null : text(bytes(instance.memory_bytes)),
    ];
    setText($("daemon"), parts.filter((part) => part !== null).join(" · "));
}

function age() {
    return state.fresh === null ? null : performance.now() - state.fresh;
}

function linkState() {
    if (state.paused)
        return "paused";
    if (state.error !== null)
        return "lost";
    if (state.fresh === null || state.resuming)
        return "connecting";
    return age() > STALE_MS ? "lost" : "live";
}

const DEAD = "aetherd is not running. Topics go on without it: programs publish and receive as before. Until it is " +
    "started again no topic can be opened, and nothing is cleaned up after programs that die.";
const STOPPED = "Topics go on: programs publish and receive as before. Until aetherd goes on no topic can be opened, and " +
    "nothing is cleaned up after programs that die.";

function daemonBanner(instance) {
    if (instance !== null && instance.running === false)
        return DEAD;
    if (instance === null || !instance.stopped)
        return "";
    return `aetherd (pid ${instance.pid}) is stopped: ` +
        `${instance.traced ? "a debugger holds it" : `kill -CONT ${instance.pid}`}. ${STOPPED}`;
}

const LINK_WORDS = {live: "live", paused: "paused", lost: "stale", connecting: "connecting"};

/* The banner's own text changes only when the state does, so that a screen reader says it once. */
function showLink() {
    const link = linkState();
    const since = state.freshAt === null ? "" : clock(state.freshAt);
    document.body.dataset.link = link;
    setText($("link-text"), link === "paused" && since !== "" ? `paused at ${since}` : LINK_WORDS[link]);
    setTitle($("link"), since === "" ? null : `last reading at ${since}`);
    const banner = $("banner-link");
    banner.hidden = link !== "lost";
    setChildren(banner, link === "lost" ? `${state.error} ${since}` : "", () => link !== "lost" ? [] : [
        `${state.error ?? "aether-metrics answers, but gives no new figures"}. `,
        since === "" ? "There are no figures yet." : `All figures below are old: they are of ${since}`,
        el("span", {id: "banner-age", "aria-hidden": "true"}),
    ]);
    if (link === "lost" && since !== "")
        setText($("banner-age"), `, ${text(age() < 60e3 ? [exact(age() / 1000), "s"] : duration(age() * 1e6))} ago.`);
    const words = daemonBanner(model.instance);
    $("banner-daemon").hidden = words === "";
    setText($("banner-daemon"), words);
    document.title = `${link === "lost" ? "(stale) " : link === "paused" ? "(paused) " : ""}` +
        `${openQuery !== null ? `${open?.topic?.name.shown ?? shownQuery(openQuery)} – ` : ""}Aether`;
}

function show() {
    if (document.hidden)
        return;
    showDaemon();
    if (openQuery === null)
        showOverview();
    else
        showTopic();
    showLink();
}

// ---- asking ----

class Answer extends Error {}

/* Why a request failed, as a sentence without its full stop. */
function explain(error) {
    if (error instanceof Answer)
        return `aether-metrics can't read the instance: ${error.message}`;
    return "aether-metrics can't be reached";
}

async function get(path, signal) {
    const response = await fetch(path, {cache: "no-store", credentials: "same-origin", signal});
    // There is no such topic, or there can't be one of this name.
    if ([400, 404].includes(response.status) && path.includes("?"))
        return null;
    if (!response.ok) {
        const words = (await response.text()).trim().slice(0, 200);
        throw new Answer(words === "" || words.startsWith("<") ? `status ${response.status}` : words);
    }
    const doc = await response.json();
    if (doc === null || typeof doc !== "object")
        throw new Answer("the answer isn't a document");
    if (typeof doc.error === "string")
        throw new Answer(doc.error.slice(0, 200));
    return doc;
}

function takeTopic(query, doc) {
    if (query === null || query !== openQuery)
        return;
    const raw = doc && Array.isArray(doc.topics) ? doc.topics.find((t) => t && typeof t === "object") : undefined;
    openAnswer = raw === undefined ? "gone" : "there";
    if (raw !== undefined) {
        open = open ?? new OpenTopic();
        open.update(doc, raw, model.known(raw));
    }
}

async function ask() {
    const query = openQuery;
    const abort = new AbortController();
    const limit = setTimeout(() => abort.abort(), TIMEOUT_MS);
    try {
        const [all, one] = await Promise.all([
            get("api/topics.json", abort.signal),
            query === null ? null : get(`api/topics.json?topic=${query}`, abort.signal),
        ]);
        if (state.paused)
            return;
        if (model.update(all)) {
            state.fresh = performance.now();
            state.freshAt = new Date();
            state.resuming = false;
        }
        takeTopic(query, one);
        state.error = null;
        speak(model.problems);
    } catch (error) {
        if (!state.paused)
            state.error = explain(error);
    } finally {
        clearTimeout(limit);
    }
}

let timer = null, asking = false, again = false;

async function poll() {
    clearTimeout(timer);
    if (asking) {
        again = true;
        return;
    }
    asking = true;
    const began = performance.now();
    if (!state.paused)
        await ask();
    asking = false;
    show();
    if (again) {
        again = false;
        poll();
    } else if (!state.paused) {
        timer = setTimeout(poll, Math.max(50, PERIOD_MS - (performance.now() - began)));
    }
}

// ---- what the reader does ----

function route() {
    const match = /^#topic=(.+)$/.exec(location.hash);
    const query = match ? normalQuery(match[1]) : null;
    const before = openQuery;
    if (query !== openQuery) {
        openQuery = query;
        openAnswer = "asked";
        open = null;
        // The figures of the table, until those of the topic itself come.
        const raw = query === null || model.doc === null ? undefined : model.raw(query);
        if (raw !== undefined) {
            open = new OpenTopic();
            open.update(model.doc, raw, model.known(raw));
        }
    }
    $("overview").hidden = query !== null;
    $("topic").hidden = query === null;
    show();
    if (query !== null && query !== before) {
        window.scrollTo(0, 0);
        $("topic-name").focus({preventScroll: true});
    } else if (query === null && before !== null) {
        const row = [...$("topics").tBodies[0].rows].find((r) => r.querySelector("a").hash === `#topic=${before}`);
        row?.querySelector("a").focus();
    }
    if (query !== null && !state.paused)
        poll();
}

function pause() {
    state.paused = !state.paused;
    $("pause").setAttribute("aria-pressed", String(state.paused));
    setText($("pause"), state.paused ? "Go on" : "Pause");
    state.error = null;
    state.resuming = !state.paused;
    if (state.paused)
        clearTimeout(timer);
    showLink();
    if (!state.paused)
        poll();
}

function hold() {
    state.held = performance.now() + HOLD_MS;
}

/* Moves the focus by one topic in the table. */
function step(by) {
    const links = [...$("topics").tBodies[0].querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    const to = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by));
    hold();
    links[to]?.focus();
}

const oneKey = () => $("keys-on").checked;

const KEYS = {
    "/": () => openQuery === null && $("filter").focus(),
    p: pause,
    t: () => $("theme").click(),
    "?": () => $("keys").showModal(),
    j: () => openQuery === null && step(1),
    k: () => openQuery === null && step(-1),
};

function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open)
        return;
    const field = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
        if (event.target === $("filter") && $("filter").value !== "") {
            $("filter").value = "";
            onFilter();
        } else if (field) {
            field.blur();
        } else if (openQuery !== null) {
            location.hash = "";
        }
        return;
    }
    if (field) {
        if (event.target === $("filter") && event.key === "ArrowDown") {
            event.preventDefault();
            step(1);
        } else if (event.target === $("filter") && event.key === "Enter" && state.filter !== "") {
            const list = ordered();
            if (list.length === 1)
                location.hash = `#topic=${list[0].name.query}`;
            else if (list.length === 0 && model.leftOut > 0)
                location.hash = `#topic=${normalQuery(encodeURIComponent(state.filter))}`;
        }
        return;
    }
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && $("topics").tBodies[0].contains(event.target)) {
        event.preventDefault();
        step(event.key === "ArrowDown" ? 1 : -1);
    } else if (oneKey() && Object.hasOwn(KEYS, event.key)) {
        event.preventDefault();
        KEYS[event.key]();
    }
}

function onFilter() {
    state.filter = $("filter").value;
    state.shown = PAGE_ROWS;
    state.held = 0;
    showOverview();
}

const STEPS = {
    ArrowLeft: 1, ArrowRight: -1, ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: SPAN, End: -SPAN,
};

/* A chart is a slider for screen readers: its value is the moment that is read. */
function chart(id) {
    const canvas = $(id);
    const set = (back, aloud) => {
        cursors[id] = back;
        if (!open?.topic)
            return;
        showCharts();
        canvas.setAttribute("aria-valuemax", state.span - 1);
        canvas.setAttribute("aria-valuenow", state.span - 1 - (back ?? 0));
        if (aloud)
            canvas.setAttribute("aria-valuetext", reading(id));
    };
    canvas.setAttribute("aria-label", CHARTS[id]);
    canvas.setAttribute("aria-valuemin", 0);
    set(null, false);
    canvas.addEventListener("pointermove", (event) =>
        set(backAt(canvas, event.clientX - canvas.getBoundingClientRect().left, state.span), false));
    canvas.addEventListener("pointerleave", () => set(null, false));
    canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && set(0, true));
    canvas.addEventListener("blur", () => set(null, false));
    canvas.addEventListener("keydown", (event) => {
        const by = STEPS[event.key];
        if (by === undefined)
            return;
        event.preventDefault();
        set(Math.min(state.span - 1, Math.max(0, (cursors[id] ?? 0) + by)), true);
    });
}

function chooseSpan(seconds) {
    state.span = seconds;
    for (const button of $("span").children)
        button.setAttribute("aria-pressed", String(Number(button.dataset.span) === seconds));
    if (open?.topic)
        showCharts();
}

function start() {
    for (const column of topicColumns)
        if (column.sort)
            $("sort").append(el("option", {value: column.id}, column.label));
    $("sort").value = state.sort;
    $("sort").addEventListener("change", () => {
        if ($("sort").value !== state.sort)
            sortBy($("sort").value);
    });
    topicsTable.sorted(state.sort, state.down);
    for (const seconds of spans) {
        const button = el("button", {type: "button", "data-span": seconds}, `${seconds / 60} min`);
        button.addEventListener("click", () => chooseSpan(seconds));
        $("span").append(button);
    }
    chooseSpan(state.span);
    ["heat", "lag", "loss"].forEach(chart);
    $("pause").addEventListener("click", pause);
    $("help").addEventListener("click", () => $("keys").showModal());
    $("filter").addEventListener("input", onFilter);
    $("more").addEventListener("click", () => {
        state.shown += PAGE_ROWS;
        showTopics();
    });
    for (const kind of ["pointermove", "pointerdown", "keydown"])
        $("topics").tBodies[0].addEventListener(kind, hold);
    document.addEventListener("keydown", onKey);
    window.addEventListener("hashchange", route);
    document.addEventListener("visibilitychange", show);
    // Canvases don't follow the style sheet by themselves.
    window.addEventListener("aether-theme", () => openQuery !== null && open?.topic && showCharts());
    let width = 0;
    new ResizeObserver(() => {
        if ($("main").clientWidth !== width) {
            width = $("main").clientWidth;
            show();
        }
    }).observe($("main"));
    setInterval(showLink, 1000);
    route();
    poll();
}

start();
