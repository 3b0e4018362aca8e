#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-docs.py [ROOT] - a test (TAP) that docs/architecture.md finds its way: the files and functions that it names
exist, and each function is in a file of the same row.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
PAGE = "docs/architecture.md"


def rows():
    """(line number, question, answer) of the table under "Where is"."""
    inside = False
    for number, line in enumerate((ROOT / PAGE).read_text().splitlines(), 1):
        if line.startswith("## "):
            inside = line.startswith("## Where is")
        cells = line.strip("|").split("|")
        if inside and line.startswith("|") and len(cells) == 2 and cells[0].strip().endswith("?"):
            yield number, cells[0].strip(), cells[1]


def complaints(answer):
    names = re.findall(r"`([^`]+)`", answer)
    paths = [name for name in names if "/" in name]
    text = ""
    for path in paths:
        if not (ROOT / path).exists():
            yield f"there is no {path}"
        elif (ROOT / path).is_file():
            text += (ROOT / path).read_text()
    if not paths:
        yield "the answer names no file"
    for name in names:
        if name.endswith("()") and not re.search(rf"\b{re.escape(name[:-2])}\(", text):
            yield f"{name} is in none of the files of this row"


def main():
    table = list(rows())
    print(f"1..{max(1, len(table))}")
    if len(table) < 10:
        print(f"not ok 1 - {PAGE} answers at least ten questions, not {len(table)}")
        return 1
    status = 0
    for number, (line, question, answer) in enumerate(table, 1):
        found = list(complaints(answer))
        print(f"{'not ok' if found else 'ok'} {number} - {question}")
        for text in found:
            print(f"# {PAGE}:{line}: {text}")
            status = 1
    return status


sys.exit(main())
