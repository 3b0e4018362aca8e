// SPDX-License-Identifier: Apache-2.0
/*
 * model.js - what the documents of the server say, and what follows from two of them: rates and histories. What is
 * wrong, the server says. Nothing here touches the page.
 *
 * All memory is bounded by what the instance has now: a topic has histories of TREND slots, the open topic those of
 * SPAN slots. What belongs to a topic, publisher or subscriber goes when the next document doesn't have it.
 *
 * A slot is a second. If a document comes late, it stands for the slots between as well, unless they are many: those
 * stay empty.
 */
import {duration, exact, lineOf, nameOf, num, processWord, text} from "./format.js";

export const TREND = 120;
export const SPAN = 900;
export const LOST = ["ring", "lane", "retained", "evicted"];
export const OCTAVES = 43; // 2^0 to 2^42 ns
const WINDOW = 60;         // slots, of the recent quantiles
const BRIDGED = 4;         // slots that a late document stands for
const SOONEST_S = 0.25;    // between two readings: less is too short for a rate
const SLOW_NS = 100e6;     // a publisher that waits for less is only throttled
const THROTTLED = 0.2;     // the share of time without room that is worth a state of its own
const PROBLEMS = 100;      // of a document, at most

export const WHY = {
    rate: "unknown: a rate needs two readings of the same publisher or subscriber",
    latency: "unknown: no stamped message has been received yet",
    recent: "unknown: no stamped message was received in this time",
    age: "unknown: the oldest unread message isn't stamped",
    none: "unknown: the server doesn't say",
    process: "unknown: the kernel doesn't say",
};

// ---- histories ----

/* The last `size` values of a series; not a number where there is none. */
export class History {
    constructor(size) {
        this.values = new Float32Array(size).fill(NaN);
    }

    /* Slots are counted from the first document; `skipped` ones without a document lie before this one. */
    put(slot, skipped, value) {
        const size = this.values.length;
        for (let i = Math.min(skipped, size); i > 0; i--)
            this.values[(slot - i) % size] = skipped <= BRIDGED ? value ?? NaN : NaN;
        this.values[slot % size] = value ?? NaN;
    }

    /* The value `back` slots before `slot`. */
    at(slot, back) {
        const at = slot - back;
        return at < 0 || back >= this.values.length ? NaN : this.values[at % this.values.length];
    }
}

/* The slots of one stream of documents. */
class Slots {
    constructor() {
        this.ns = null;
        this.zero = null; // the time of slot 0
        this.slot = -1;
        this.skipped = 0;
        this.seconds = null; // since the document before; null: this is the first, or time went back
    }

    /* Returns false if it is the same reading as before, or hardly a new one. */
    advance(ns) {
        const seconds = this.ns === null || ns < this.ns ? null : (ns - this.ns) / 1e9;
        if (seconds !== null && seconds < SOONEST_S)
            return false;
        if (seconds === null)
            this.zero = ns - (this.slot + 1) * 1e9;
        const slot = Math.max(this.slot + 1, Math.round((ns - this.zero) / 1e9));
        this.skipped = this.slot < 0 ? 0 : slot - this.slot - 1;
        this.slot = slot;
        this.seconds = seconds;
        this.ns = ns;
        return true;
    }
}

/* (now - before) / seconds; null if one is unknown or the counter began anew. */
function perSecond(now, before, seconds) {
    return now === null || before === null || before === undefined || !seconds || now < before
        ? null : (now - before) / seconds;
}

/* What a counter gained in the last 10 to 20 s. */
class Recent {
    constructor() {
        this.marks = [];
    }

    gain(ns, value) {
        const marks = this.marks;
        if (value === null || (marks.length > 0 && (value < marks[0].value || ns < marks[0].ns)))
            marks.length = 0;
        if (value === null)
            return {gained: 0, ns: 0};
        if (marks.length === 0 || ns - marks[marks.length - 1].ns >= 10e9)
            marks.push({ns, value});
        if (marks.length > 2)
            marks.shift();
        return {gained: value - marks[0].value, ns: ns - marks[0].ns};
    }
}

// ---- publishers, subscribers, topics ----

function lostBy(raw) {
    const by = raw.lost_by && typeof raw.lost_by === "object" ? raw.lost_by : {};
    return Object.fromEntries(LOST.map((reason) => [reason, num(by[reason])]));
}

function latencyOf(raw) {
    const from = raw.latency && typeof raw.latency === "object" ? raw.latency : {};
    const latency = {};
    for (const key of ["count", "samples", "negative", "missed", "overflow"])
        latency[key] = num(from[key]);
    for (const key of ["p50", "p99", "p999", "max"])
        latency[key] = num(from[`${key}_ns`]);
    return latency;
}

const COUNTS = [
    "joined", "next", "published", "published_bytes", "full", "stalls", "stall_ns", "stall_longest_ns", "loans",
    "lane_bytes", "lane_used_bytes", "waited_ns", "tried_ns", "delivered", "lost", "aborted", "skipped", "lag",
    "age_ns", "holds_up", "held_up_ns", "left_ns", "ago_ns", "grant_id", "client_id", "pid",
];

/* A publisher, subscriber or departed one, from its raw form. Unknown numbers are null. */
function peerOf(raw, before) {
    const peer = {};
    for (const key of COUNTS)
        peer[key] = num(raw[key]);
    if (peer.pid === 0)
        peer.pid = null;
    peer.key = `${peer.grant_id}.${peer.client_id}.${peer.joined}`;
    const old = before?.get(peer.key);
    peer.name = old?.name ?? nameOf(raw, "client");
    peer.clientKey = peer.client_id !== null ? String(peer.client_id) : peer.name.shown;
    peer.process = typeof raw.process === "string" ? processWord(raw.process) : null;
    peer.rate = null;
    peer.old = null;
    peer.recent = old?.recent ?? new Recent();
    return [peer, old];
}

function peersOf(list) {
    return Array.isArray(list) ? list.filter((raw) => raw && typeof raw === "object") : [];
}

function index(value, list) {
    return Number.isInteger(value) && value >= 0 && value < list.length ? list[value] : null;
}

export function topicKey(raw) {
    return JSON.stringify([raw.topic ?? null, raw.topic_b64 ?? null, raw.id ?? null, raw.created_ns ?? null]);
}

const TOPIC_COUNTS = [
    "capacity", "slot_size", "max_message", "lane_bytes", "evict_lag", "memory_bytes", "type_version", "created_ns",
    "published", "published_bytes", "waiting", "waited_ns", "delivered", "lost", "aborted", "skipped", "accounted",
    "lag", "age_ns", "stuck",
];

export class Topic {
    constructor(raw) {
        this.key = topicKey(raw);
        this.name = nameOf(raw, "topic");
        this.type = nameOf(raw, "type_name");
        this.before = null;
        this.peersBefore = new Map();
        this.recent = new Recent();
        this.trend = {rate: new History(TREND), lag: new History(TREND), lost: new History(TREND)};
    }

    update(raw, slots) {
        const {seconds, ns} = slots;
        this.slot = slots.slot;
        for (const key of TOPIC_COUNTS)
            this[key] = num(raw[key]);
        this.mode = typeof raw.publishers_mode === "string" ? raw.publishers_mode : null;
        this.lostBy = lostBy(raw);
        this.latency = latencyOf(raw);

        const peers = new Map();
        const publishers = peersOf(raw.publishers), subscribers = peersOf(raw.subscribers);
        this.publishers = publishers.map((p) => this.publisher(p, peers, seconds));
        this.subscribers = subscribers.map((s) => this.subscriber(s, peers, seconds, ns));
        this.publishers.forEach((p, i) => {
            p.forSubscriber = index(publishers[i].waits_subscriber, this.subscribers);
            p.forPublisher = index(publishers[i].waits_publisher, this.publishers);
        });
        this.departed = peersOf(raw.departed).map((peer, i) => Object.assign(departed(peer), {key: i}));
        this.peersBefore = peers;

        const before = this.before ?? {};
        this.rate = perSecond(this.published, before.published, seconds);
        this.byteRate = perSecond(this.published_bytes, before.published_bytes, seconds);
        this.deliveredRate = perSecond(this.delivered, before.delivered, seconds);
        this.lostRate = perSecond(this.lost, before.lost, seconds);
        this.lostRecent = this.recent.gain(ns, this.lost);
        const {published, published_bytes, delivered, lost} = this;
        this.before = {published, published_bytes, delivered, lost};
        this.trend.rate.put(slots.slot, slots.skipped, this.rate);
        this.trend.lag.put(slots.slot, slots.skipped, this.lag);
        this.trend.lost.put(slots.slot, slots.skipped, this.lostRate);
        this.state = stateOf(this);
    }

    publisher(raw, peers, seconds) {
        const [peer, old] = peerOf(raw, this.peersBefore);
        peer.waits = ["subscriber", "publisher", "lane", "loans", "claim"].includes(raw.waits) ? raw.waits : null;
        peer.rate = perSecond(peer.published, old?.published, seconds);
        peer.byteRate = perSecond(peer.published_bytes, old?.published_bytes, seconds);
        const stalled = perSecond(peer.stall_ns, old?.stall_ns, seconds);
        peer.throttled = stalled === null ? null : Math.min(1, stalled / 1e9);
        peers.set(peer.key, peer);
        return peer;
    }

    subscriber(raw, peers, seconds, ns) {
        const [peer, old] = peerOf(raw, this.peersBefore);
        peer.state = typeof raw.state === "string" ? raw.state : null;
        peer.policy = typeof raw.policy === "string" ? raw.policy : null;
        peer.lostBy = lostBy(raw);
        peer.latency = latencyOf(raw);
        peer.rate = perSecond(peer.delivered, old?.delivered, seconds);
        peer.lostRate = perSecond(peer.lost, old?.lost, seconds);
        peer.lostRecent = peer.recent.gain(ns, peer.lost);
        peers.set(peer.key, peer);
        return peer;
    }
}

function departed(raw) {
    const [peer] = peerOf(raw, null);
    peer.role = typeof raw.role === "string" ? raw.role : null;
    peer.messages = peer.published ?? peer.delivered;
    peer.died = raw.died === true;
    peer.evicted = raw.evicted === true;
    return peer;
}

/* A subscriber that isn't stuck by its figures, because what waited for a second has been overwritten meanwhile. */
export const isStopped = (s) => s.state !== "stuck" && ["stopped", "traced", "dead"].includes(s.process) && s.lag > 0;

/* The state of a topic: [severity, words]. */
function stateOf(topic) {
    if (topic.waited_ns >= SLOW_NS)
        return [5, `waits ${text(duration(topic.waited_ns))}`];
    if (topic.stuck > 0)
        return [4, `${exact(topic.stuck)} stuck`];
    const stopped = topic.subscribers.filter(isStopped).length;
    if (stopped > 0)
        return [4, `${exact(stopped)} stopped`];
    if (topic.lostRecent.gained > 0)
        return [3, "loses"];
    if (topic.publishers.some((p) => p.throttled > THROTTLED))
        return [2, "throttled"];
    if (topic.rate > 0)
        return [1, "flows"];
    return [0, topic.rate === null ? "" : "quiet"];
}

// ---- what is wrong ----

/* The server's list, the worst first: {kind, topic, text}, where topic is a name, and text a sentence without an end. */
export function problemsOf(doc) {
    const list = Array.isArray(doc.problems) ? doc.problems.slice(0, PROBLEMS) : [];
    return list.filter((raw) => raw && typeof raw === "object" && typeof raw.text === "string" && raw.text !== "")
        .map((raw) => ({
            kind: typeof raw.kind === "string" ? lineOf(raw.kind.slice(0, 20)) : "",
            topic: nameOf(raw, "topic"),
            text: lineOf(raw.text),
        }));
}

// ---- all topics ----

/* CLOCK_MONOTONIC of a document, or the nearest to it. */
function timeOf(doc) {
    return num(doc.time_ns) ?? performance.now() * 1e6;
}

function instanceOf(doc) {
    const raw = doc.instance && typeof doc.instance === "object" ? doc.instance : {};
    const instance = {running: typeof raw.running === "boolean" ? raw.running : null, stopped: raw.stopped === true,
        traced: raw.process === "t"};
    for (const key of ["pid", "now_ns", "clients", "memory_bytes", "publishers", "subscribers"])
        instance[key] = num(raw[key]);
    return instance;
}

export class Model {
    constructor() {
        this.slots = new Slots();
        this.topics = new Map();
        this.instance = null;
        this.doc = null; // the last document
        this.problems = [];
        this.other = null;
        this.leftOut = 0;
        this.trend = {};
        for (const key of ["rate", "delivered", "lost", "lag", "waiting", "stuck"])
            this.trend[key] = new History(TREND);
    }

    /* Returns false if the document is the same reading as before. */
    update(doc) {
        if (!this.slots.advance(timeOf(doc)))
            return false;
        this.doc = doc;
        this.instance = instanceOf(doc);
        this.problems = problemsOf(doc);
        const seen = new Map();
        for (const raw of peersOf(doc.topics)) {
            const key = topicKey(raw);
            const topic = this.topics.get(key) ?? new Topic(raw);
            topic.update(raw, this.slots);
            seen.set(key, topic);
        }
        this.topics = seen;
        this.takeOther(doc);
        this.total();
        return true;
    }

    /* The topics that the server doesn't show by name, added up. */
    takeOther(doc) {
        this.leftOut = num(doc.topics_left_out) ?? 0;
        if (doc.other === null || typeof doc.other !== "object") {
            this.other = null;
            return;
        }
        this.other ??= new Topic({});
        this.other.update({...doc.other, publishers: [], subscribers: [], departed: []}, this.slots);
    }

    total() {
        const all = [...this.topics.values(), ...this.other === null ? [] : [this.other]];
        const known = (key) => all.map((topic) => topic[key]).filter((value) => value !== null);
        const fold = (key, by) => all.length === 0 ? 0 : known(key).reduce((a, b) => a === null ? b : by(a, b), null);
        const sum = (key) => fold(key, (a, b) => a + b), most = (key) => fold(key, Math.max);
        this.totals = {
            rate: sum("rate"), byteRate: sum("byteRate"), delivered: sum("deliveredRate"), lost: sum("lostRate"),
            lostTotal: sum("lost"), waiting: sum("waiting"), stuck: sum("stuck"), lag: most("lag"), age: most("age_ns"),
            waited: most("waited_ns"),
        };
        for (const key of Object.keys(this.trend))
            this.trend[key].put(this.slots.slot, this.slots.skipped, this.totals[key]);
    }

    /* The topic with this percent-encoded name as it is in the last document, or undefined. */
    raw(query) {
        const found = [...this.topics.values()].find((topic) => topic.name.query === query);
        return found && peersOf(this.doc.topics).find((raw) => topicKey(raw) === found.key);
    }

    /* The topic of this document's `raw`, or undefined. */
    known(raw) {
        return this.topics.get(topicKey(raw));
    }
}

// ---- the open topic ----

/* The power of two that the bucket with this upper limit lies in. */
const octave = (le) => Math.min(OCTAVES - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, le)))));

/* The middle of a bucket, of those of aether_latency_floor(). */
function middle(le) {
    return le < 32 ? le : le - (2 ** (Math.floor(Math.log2(le)) - 4) - 1) / 2;
}

/* The document's [[limit, count], ...] as a map from limit - 1, the largest value in the bucket; null: unknown. */
function bucketsOf(raw) {
    const list = raw.latency?.buckets;
    if (!Array.isArray(list))
        return null;
    const map = new Map();
    for (const pair of list)
        if (Array.isArray(pair) && pair[0] >= 1 && num(pair[0]) !== null && num(pair[1]) !== null && map.size < 1000)
            map.set(pair[0] - 1, pair[1]);
    return map;
}

/* What came in since `before`: [[le, count], ...] in ascending order. */
function gained(now, before) {
    const list = [];
    for (const [le, n] of now) {
        const more = n - (before.get(le) ?? 0);
        if (more > 0)
            list.push([le, more]);
    }
    return list.sort((a, b) => a[0] - b[0]);
}

function quantile(list, q) {
    const total = list.reduce((sum, [, n]) => sum + n, 0);
    let sum = 0;
    for (const [le, n] of list) {
        sum += n;
        if (sum >= q * total && sum > 0)
            return middle(le);
    }
    return null;
}

const quantiles = (list) => ({
    count: list.reduce((sum, [, n]) => sum + n, 0),
    p50: quantile(list, 0.5), p99: quantile(list, 0.99), p999: quantile(list, 0.999), max: quantile(list, 1),
});

export class OpenTopic {
    constructor() {
        this.slots = new Slots();
        this.topic = null;
        this.problems = [];
        this.heat = Array.from({length: OCTAVES}, () => new History(SPAN));
        this.lines = {p50: new History(SPAN), p99: new History(SPAN), count: new History(SPAN)};
        this.rates = {delivered: new History(SPAN), waiting: new History(SPAN)};
        this.lost = Object.fromEntries(LOST.map((reason) => [reason, new History(SPAN)]));
        this.lags = new Map();
        this.buckets = [];        // {slot, map}, of the last WINDOW slots
        this.recent = null;       // quantiles of those
        this.times = new Array(SPAN); // when the slots were, in ms since 1970
    }

    /*
     * raw: the topic in a document. known: the same topic as the table has it, if it does, which knows what was lost
     * before this one was opened. Returns false if it is the same reading as before.
     */
    update(doc, raw, known) {
        if (!this.slots.advance(timeOf(doc)))
            return false;
        if (this.topic === null || this.topic.key !== topicKey(raw)) {
            const slots = this.slots;
            Object.assign(this, new OpenTopic(), {slots, topic: new Topic(raw)});
            if (known !== undefined) {
                this.topic.recent = known.recent;
                this.topic.peersBefore = new Map(known.peersBefore);
            }
        }
        this.instance = instanceOf(doc);
        this.problems = problemsOf(doc).filter((problem) => problem.topic.query === this.topic.name.query);
        const before = this.topic.lostBy;
        this.topic.update(raw, this.slots);
        const {slot, skipped, seconds} = this.slots;
        for (let i = Math.min(skipped, SPAN - 1); i >= 0; i--)
            this.times[(slot - i) % SPAN] = i === 0 || skipped <= BRIDGED ? Date.now() - i * 1000 : undefined;
        for (const reason of LOST)
            this.lost[reason].put(slot, skipped, perSecond(this.topic.lostBy[reason], before?.[reason], seconds));
        this.rates.delivered.put(slot, skipped, this.topic.deliveredRate);
        this.rates.waiting.put(slot, skipped, this.topic.waiting);
        this.putLags(slot, skipped);
        this.putBuckets(bucketsOf(raw), slot, skipped, seconds);
        return true;
    }

    putLags(slot, skipped) {
        for (const s of this.topic.subscribers) {
            if (!this.lags.has(s.key) && this.lags.size < 128)
                this.lags.set(s.key, {name: s.name, pid: s.pid, history: new History(SPAN), seen: slot});
            const line = this.lags.get(s.key);
            if (line) {
                line.history.put(slot, skipped, s.lag);
                line.seen = slot;
            }
        }
        for (const [key, line] of this.lags) {
            if (slot - line.seen >= SPAN)
                this.lags.delete(key);
            else if (line.seen !== slot)
                line.history.put(slot, skipped, null);
        }
    }

    putBuckets(map, slot, skipped, seconds) {
        const last = this.buckets[this.buckets.length - 1];
        const fresh = map !== null && last !== undefined && seconds ? gained(map, last.map) : null;
        const rows = new Float64Array(OCTAVES);
        for (const [le, n] of fresh ?? [])
            rows[octave(le)] += n;
        this.heat.forEach((row, i) => row.put(slot, skipped, fresh === null ? null : rows[i] / seconds));
        const now = fresh === null ? {} : quantiles(fresh);
        for (const key of Object.keys(this.lines))
            this.lines[key].put(slot, skipped, now[key]);
        if (map === null) {
            this.buckets.length = 0;
            this.recent = null;
            return;
        }
        this.buckets.push({slot, map});
        while (this.buckets.length > 2 && slot - this.buckets[1].slot >= WINDOW)
            this.buckets.shift();
        const first = this.buckets[0];
        this.recent = first.slot === slot ? null : {...quantiles(gained(map, first.map)), seconds: slot - first.slot};
    }
}
