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

const HOSTILE = /[\p{C}\p{Zl}\p{Zp}]/u; // control and format characters, also those that turn the direction of text
const HOSTILE_ALL = new RegExp(HOSTILE, "gu");
const QUERY_SAFE = /[A-Za-z0-9_.~-]/;

function escaped(character) {
    const code = character.codePointAt(0);
    if (code < 0x80)
        return "\\x" + code.toString(16).padStart(2, "0");
    return code < 0x10000 ? "\\u" + code.toString(16).padStart(4, "0") : `\\u{${code.toString(16)}}`;
}

function percent(byte) {
    const character = String.fromCharCode(byte);
    return QUERY_SAFE.test(character) ? character : "%" + byte.toString(16).toUpperCase().padStart(2, "0");
}

/*
 * A name that a program chose, from document[key] or, if it isn't UTF-8, document[key + "_b64"].
 * shown: one line without control characters. parts: [[text, escape], ...] of it, where escape says that the text
 * stands for a character that can't be shown. query: its bytes for an address.
 */
export function nameOf(document, key) {
    const b64 = document[`${key}_b64`];
    const parts = [];
    let query;

    if (typeof b64 === "string") {
        let raw = "";
        try {
            raw = atob(b64);
        } catch { }
        const data = Array.from(raw, (c) => c.charCodeAt(0));
        query = data.map(percent).join("");
        for (const byte of data) {
            const escape = byte < 0x20 || byte >= 0x7f;
            add(parts, escape ? "\\x" + byte.toString(16).padStart(2, "0") : String.fromCharCode(byte), escape);
        }
    } else {
        const raw = typeof document[key] === "string" ? document[key] : "";
        query = Array.from(new TextEncoder().encode(raw), percent).join("");
        let at = 0;
        for (const match of raw.matchAll(HOSTILE_ALL)) {
            add(parts, raw.slice(at, match.index), false);
            add(parts, escaped(match[0]), true);
            at = match.index + match[0].length;
        }
        add(parts, raw.slice(at), false);
    }
    return {parts, query, shown: parts.map(([piece]) => piece).join("")};
}

/* The bytes of a percent-encoded name, encoded as `query` above, so that both can be compared. */
export function normalQuery(query) {
    return query.replace(/%[0-9a-fA-F]{2}|[^%]|%/gsu, (piece) => piece.length === 3 && piece[0] === "%"
        ? percent(parseInt(piece.slice(1), 16)) : Array.from(new TextEncoder().encode(piece), percent).join(""));
}

/* What `query` shows where no document has the name. */
export function shownQuery(query) {
    try {
        return nameOf({topic: decodeURIComponent(query)}, "topic").shown;
    } catch {
        return query;
    }
}

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
