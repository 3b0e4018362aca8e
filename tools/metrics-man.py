#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""metrics-man.py LIBRARY PAGE [--write] - the list of metrics in a manual page or in Markdown, from the table in the
library.

The table is the one that the library exports, aether_metrics_table(). Without --write it is a test (TAP): the page has
the table of this library. With it, the page gets it.
"""

import ctypes
import pathlib
import sys

BEGIN = "The list that follows is generated: tools/metrics-man.py LIBRARY PAGE --write"
END = "The generated list ends here."

SCOPES = ["daemon", "topic", "publisher", "subscriber", "client"]
HEADINGS = ["The instance", "Topics", "Publishers", "Subscribers", "Clients"]
KINDS = ["counter", "gauge", "histogram"]
UNITS = ["", "_messages", "_bytes", "_seconds", "_seconds"]
WIDTH = 80


class Metric(ctypes.Structure):
    """aether_metric of aether/metrics.h"""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("help", ctypes.c_char_p),
        ("scope", ctypes.c_uint),
        ("kind", ctypes.c_uint),
        ("unit", ctypes.c_uint),
        ("offset", ctypes.c_size_t),
        ("size", ctypes.c_size_t),
        ("label", ctypes.c_char_p),
        ("label_value", ctypes.c_char_p),
    ]

    def full_name(self):
        """As exporters call it: the rule is in aether/metrics.h."""
        suffix = "_total" if KINDS[self.kind] == "counter" else ""
        return f"aether_{SCOPES[self.scope]}_{self.name.decode()}{UNITS[self.unit]}{suffix}"


def table(library):
    function = ctypes.CDLL(library).aether_metrics_table
    function.restype = ctypes.POINTER(Metric)
    count = ctypes.c_size_t()
    rows = function(ctypes.byref(count))
    return [rows[i] for i in range(count.value)]


def wrapped(text):
    """Lines of a page: a sentence begins a line."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > WIDTH:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def entry(metric, values):
    yield f".It Va {metric.full_name()}"
    for line in wrapped(metric.help.decode()):
        yield line
    if values:
        words = [f".Cm {value} ," for value in values[:-2]] + [f".Cm {value}" for value in values[-2:-1]]
        yield f"The label {metric.label.decode()} is"
        yield from words
        if len(values) > 1:
            yield "or"
        yield f".Cm {values[-1]} ."
    yield f"A {KINDS[metric.kind]}."


def listing(rows):
    """The lines of the list. Rows that differ in their label only are one entry."""
    scope = None
    for i, metric in enumerate(rows):
        if metric.scope != scope:
            if scope is not None:
                yield ".El"
            scope = metric.scope
            yield f".Ss {HEADINGS[scope]}"
            yield ".Bl -tag -width Ds"
        if i > 0 and metric.full_name() == rows[i - 1].full_name():
            continue
        values = [row.label_value.decode() for row in rows[i:] if row.label and row.full_name() == metric.full_name()]
        yield from entry(metric, values)
    yield ".El"


def markdown(rows):
    """The same as tables in Markdown."""
    scope = None
    for i, metric in enumerate(rows):
        if metric.scope != scope:
            scope = metric.scope
            yield from ["", f"### {HEADINGS[scope]}", "", "| metric | kind | meaning |", "|---|---|---|"]
        if i > 0 and metric.full_name() == rows[i - 1].full_name():
            continue
        values = [row.label_value.decode() for row in rows[i:] if row.label and row.full_name() == metric.full_name()]
        labels = f" `{metric.label.decode()}`: {', '.join(f'`{value}`' for value in values)}." if values else ""
        yield f"| `{metric.full_name()}` | {KINDS[metric.kind]} | {metric.help.decode()}{labels} |"
    yield ""


def main():
    library, page = sys.argv[1], pathlib.Path(sys.argv[2])
    write, mark = (markdown, "<!-- {} -->\n") if page.suffix == ".md" else (listing, '.\\" {}\n')
    begin, end = mark.format(BEGIN), mark.format(END)
    text = page.read_text()
    before, rest = text.split(begin)
    old, after = rest.split(end)
    new = "".join(line + "\n" for line in write(table(library)))
    if "--write" in sys.argv[3:]:
        page.write_text(before + begin + new + end + after)
        return 0
    print("1..1")
    print(f"{'ok' if old == new else 'not ok'} 1 - {page.name} has the table of metrics")
    if old != new:
        print(f"# run tools/metrics-man.py {library} {page} --write")
    return old != new


sys.exit(main())
