// SPDX-License-Identifier: Apache-2.0
// format.js - values and names as text. Nothing here touches the document.

export const DASH = "\u2013";
const THIN = "\u202f"; // a narrow space that doesn't break: between a number and its unit

const whole = new Intl.NumberFormat("en-US", {maximumFractionDigits: 0});

/* A number from a document that isn't trusted: finite and not negative, or null. */
export function num(value) {
    return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
}

/*
 * Three significant digits, without an exponent, and without decimals if the value is whole. These rules and the units
 * below are those of all of Aether's programs: src/view/amount.h.
 */
function three(value) {
    const decimals = value >= 99.95 || Number.isInteger(value) ? 0 : value >= 9.995 ? 1 : 2;
    return value.toFixed(decimals);
}

/* The formatters below return [number, unit], which a table shows in two columns. */

export function count(value) {
    return value < 1e6 ? [whole.format(value), ""] : scaled(value, 1000, ["", "k", "M", "G", "T", "P", "E"], "");
}

function scaled(value, step, prefixes, unit) {
    let i = 0;
    while (value >= step - 0.5 && i < prefixes.length - 1) {
        value /= step;
        i++;
    }
    return [three(value), prefixes[i] + unit];
}

export function rate(value) {
    if (value === 0)
        return ["0", "/s"];
    if (value < 0.01)
        return ["<0.01", "/s"];
    return scaled(value, 1000, ["", "k", "M", "G", "T"], "/s");
}

export function bytes(value) {
    return scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], "");
}

export function byteRate(value) {
    const [number, unit] = bytes(value < 1 && value > 0 ? 1 : value);
    return [number, unit + "/s"];
}

export function duration(ns) {
    if (ns === 0)
        return ["0", "s"];
    if (ns < 999.5)
        return [ns.toFixed(0), "ns"];
    if (ns < 999.5e3)
        return [three(ns / 1e3), "µs"];
    if (ns < 999.5e6)
        return [three(ns / 1e6), "ms"];
    if (ns < 59.95e9)
        return [three(ns / 1e9), "s"];
    const s = Math.round(ns / 1e9);
    if (s < 3600)
        return [`${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")}`, "s"];
    if (s < 86400)
        return [`${Math.floor(s / 3600)} h ${String(Math.floor(s / 60) % 60).padStart(2, "0")}`, "min"];
    return [`${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24}`, "h"];
}

/* Of 0 .. 1. */
export const percentage = (share) => [three(share * 100), "%"];

/* [number, unit] as one text. */
export function text([number, unit]) {
    return unit === "" ? number : unit === "/s" ? number + unit : number + THIN + unit;
}

/* How many messages, in full. */
export const exact = (value) => whole.format(value);

export const plural = (n, one, many = one + "s") => `${whole.format(n)} ${n === 1 ? one : many}`;

export function clock(date) {
    return date.toLocaleTimeString("en-GB");
}

// ---- names ----

/*
 * The rule for names is that of all of Aether's programs, ae_escape() in src/view/escape.c, so that a name here is the
 * one in labels of metrics and on terminals. HARMFUL are control characters, line separators, and marks that reverse
 * or hide text: these, and bytes that aren't UTF-8, become \n, \r, \t or a \xHH for each byte; a backslash is doubled.
 */
const HARMFUL =
    /[\0-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/u;
const HARMFUL_ALL = new RegExp(HARMFUL, "gu");
const SHORT = {0x09: "\\t", 0x0a: "\\n", 0x0d: "\\r"};
const ENCODER = new TextEncoder(), DECODER = new TextDecoder("utf-8", {fatal: true, ignoreBOM: true});
const QUERY_SAFE = /[A-Za-z0-9_.~-]/;

const escapedBytes = (bytes) =>
    Array.from(bytes, (byte) => SHORT[byte] ?? "\\x" + byte.toString(16).padStart(2, "0")).join("");

/* The character whose UTF-8 begins there, as [text, its number of bytes]; null: there is none. */
function characterAt(bytes, at) {
    const lead = bytes[at], size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    try {
        return [DECODER.decode(bytes.subarray(at, at + size)), size];
    } catch {
        return null;
    }
}

function percent(byte) {
    const character = String.fromCharCode(byte);
    return QUERY_SAFE.test(character) ? character : "%" + byte.toString(16).toUpperCase().padStart(2, "0");
}

/* The bytes of a name from document[key] or, if it isn't UTF-8, document[key + "_b64"]. */
function bytesOf(document, key) {
    const b64 = document[`${key}_b64`];
    if (typeof b64 !== "string")
        return ENCODER.encode(typeof document[key] === "string" ? document[key] : "");
    try {
        return Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
    } catch {
        return new Uint8Array();
    }
}

/*
 * A name that a program chose. shown: one line without control characters. parts: [[text, escape], ...] of it, where
 * escape says that the text stands for something that can't be shown. query: its bytes for an address.
 */
function nameFrom(bytes) {
    const parts = [];
    for (let at = 0; at < bytes.length;) {
        const [character, size] = characterAt(bytes, at) ?? ["", 1];
        if (character === "" || HARMFUL.test(character))
            add(parts, escapedBytes(bytes.subarray(at, at + size)), true);
        else
            add(parts, character === "\\" ? "\\\\" : character, false);
        at += size;
    }
    return {parts, query: Array.from(bytes, percent).join(""), shown: parts.map(([piece]) => piece).join("")};
}

export const nameOf = (document, key) => nameFrom(bytesOf(document, key));

/* A text in which the server has escaped the names. Nothing is harmful in it; that is made sure of. */
export const lineOf = (value) => value.replace(HARMFUL_ALL, (character) => escapedBytes(ENCODER.encode(character)));

/* The bytes that a percent-encoded name stands for. */
const decodedQuery = (query) => Uint8Array.from((query.match(/%[0-9a-fA-F]{2}|[^%]|%/gsu) ?? []).flatMap((piece) =>
    piece.length === 3 && piece[0] === "%" ? [parseInt(piece.slice(1), 16)] : [...ENCODER.encode(piece)]));

/* The bytes of a percent-encoded name, encoded as `query` above, so that both can be compared. */
export const normalQuery = (query) => Array.from(decodedQuery(query), percent).join("");

/* What `query` shows where no document has the name. */
export const shownQuery = (query) => nameFrom(decodedQuery(query)).shown;

function add(parts, piece, escape) {
    const last = parts[parts.length - 1];
    if (piece === "")
        return;
    if (last && last[1] === escape)
        last[0] += piece;
    else
        parts.push([piece, escape]);
}

const PROCESS = {
    R: "running", S: "sleeping", D: "in the kernel", T: "stopped", t: "traced", Z: "dead", X: "dead", I: "idle",
};

/* The state of a process as a word; null: unknown. */
export const processWord = (letter) => Object.hasOwn(PROCESS, letter) ? PROCESS[letter] : null;
