// SPDX-License-Identifier: Apache-2.0
/*
 * table.js - elements, cells and tables that are updated in place, so that focus, selection and scrolling stay.
 *
 * Names are hostile: they only ever become text nodes, inside <bdi>, so that they can't turn the text around them.
 */
import {DASH} from "./format.js";

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
        if (value !== null && value !== undefined)
            element.setAttribute(name, value);
    element.append(...children);
    return element;
}

export function nameNode(name) {
    const node = el("bdi", {class: "name"});
    if (name.parts.length === 0)
        node.append(el("span", {class: "escape"}, "no name"));
    for (const [piece, escape] of name.parts)
        node.append(escape ? el("span", {class: "escape"}, piece) : piece);
    return node;
}

export function setText(element, value) {
    if (element.textContent !== value)
        element.textContent = value;
}

export function setTitle(element, value) {
    if (value === null || value === "")
        element.removeAttribute("title");
    else if (element.getAttribute("title") !== value)
        element.setAttribute("title", value);
}

/* Replaces the children if the signature differs from the last one. */
export function setChildren(element, signature, make) {
    if (element.signature !== signature) {
        element.signature = signature;
        element.replaceChildren(...make());
    }
}

/* The number and its unit, which stay on one line. Without room for "5 min 35 s", "35 s" is below "5 min". */
function figureNodes(number, unit) {
    const at = number.lastIndexOf(" ");
    const lead = at < 0 ? [] : [el("span", {class: "number part"}, number.slice(0, at)), " "];
    return [...lead, el("span", {class: "part"}, el("span", {class: "number"}, number.slice(at + 1)),
                        el("span", {class: "unit"}, unit))];
}

/*
 * A figure: {figure: [number, unit], title} or {unknown: why}. The number and its unit have a column each, so that the
 * digits of a column are aligned.
 */
export function setFigure(element, value) {
    const unknown = value.unknown !== undefined;
    const signature = unknown ? `?${value.unknown}` : `${value.figure[0]} ${value.figure[1]}`;
    setChildren(element, signature, () => unknown
        ? [el("span", {class: "unknown", role: "img", "aria-label": value.unknown, title: value.unknown}, DASH),
           el("span", {class: "unit"})]
        : figureNodes(...value.figure));
    setTitle(element, unknown ? null : value.title ?? null);
    element.classList.toggle("alarm", Boolean(value.alarm));
    element.classList.toggle("zero", !unknown && value.figure[0] === "0");
}

const classOf = (column) => column.unit ? `${column.kind} ${column.unit}` : column.kind;

/*
 * A table. columns: [{id, label, title, kind, unit, sort, set(cell, item)}]. kind is "figure", "text", "name" or
 * "trend"; unit is the room for the units of figures, "time", "rate", "bytes", "flow", or none. Rows are reused by key.
 *
 * In windows up to `blocks` pixels wide a row is a block, because its widest figures don't fit side by side.
 */
export class Table {
    constructor(table, columns, blocks, onSort = null) {
        this.table = table;
        this.columns = columns;
        this.rows = new Map();
        this.body = table.tBodies[0];
        this.heads = new Map();
        const row = el("tr", {role: "row"});
        for (const column of columns) {
            const head = el("th", {scope: "col", role: "columnheader", class: classOf(column), title: column.title});
            if (onSort !== null && column.sort) {
                const button = el("button", {type: "button", "data-sort": column.id}, column.label);
                button.addEventListener("click", () => onSort(column.id));
                head.append(button);
            } else {
                head.append(column.label);
            }
            this.heads.set(column.id, head);
            row.append(head);
        }
        table.tHead.append(row);
        const narrow = matchMedia(`(max-width: ${blocks}px)`);
        const lay = () => table.classList.toggle("blocks", narrow.matches);
        narrow.addEventListener("change", lay);
        lay();
        // Rows that the style sheet lays out as blocks are no table for a screen reader unless their roles say so.
        table.setAttribute("role", "table");
        table.tHead.setAttribute("role", "rowgroup");
        this.body.setAttribute("role", "rowgroup");
    }

    sorted(id, down) {
        for (const [column, head] of this.heads) {
            if (column === id)
                head.setAttribute("aria-sort", down ? "descending" : "ascending");
            else
                head.removeAttribute("aria-sort");
        }
    }

    make(item) {
        const row = el("tr", {role: "row"});
        for (const column of this.columns) {
            const head = column.kind === "name";
            row.append(el(head ? "th" : "td", {
                role: head ? "rowheader" : "cell", scope: head ? "row" : null, class: classOf(column),
                "data-col": column.id, "data-label": column.short ?? column.label,
            }));
        }
        row.dataset.key = item.key;
        return row;
    }

    /* Shows the items in this order. Focus stays on its row, even if that moves. */
    show(items) {
        const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
        const keep = new Map();
        let next = this.body.firstChild;
        for (const item of items) {
            if (keep.has(item.key))
                continue;
            const row = this.rows.get(item.key) ?? this.make(item);
            keep.set(item.key, row);
            this.columns.forEach((column, i) => column.set(row.children[i], item));
            if (row === next)
                next = row.nextSibling;
            else
                this.body.insertBefore(row, next);
        }
        for (const [key, row] of this.rows)
            if (!keep.has(key))
                row.remove();
        this.rows = keep;
        this.table.hidden = items.length === 0;
        if (focused !== null && focused.isConnected && document.activeElement !== focused)
            focused.focus({preventScroll: true});
    }
}
