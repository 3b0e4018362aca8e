#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-labels.py [ROOT] - a test (TAP) of the memory-order labels: code and docs/memory-model.md agree.

A label, such as W2, names one end of an ordering between two processes. Each label in a comment of the code, also after
"pairs", has a row in the page. Each row names the functions with the access. Each of these functions exists, and its body
or the comment above it has the label. And each function that a comment of a model names exists, as name().
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
PAGE = "docs/memory-model.md"

ROW = re.compile(r"^\| ([A-Z]\d+) \| ([^|]*) \|", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
DEFINITION = re.compile(r"^(?!typedef)[A-Za-z_][^\n;={}]*?\b([a-z_][a-z_0-9]*)\([^;{}]*\)\s*\{$", re.MULTILINE)


def rows():
    """{label: the functions that its row names}"""
    found = {}
    for label, where in ROW.findall((ROOT / PAGE).read_text()):
        found.setdefault(label, set()).update(re.findall(r"`([a-z_0-9]+)`", where))
    return found


def sources():
    for directory in ("include", "src"):
        for path in sorted((ROOT / directory).rglob("*.[ch]")):
            if not re.search(r"_test(_[a-z]+)?$", path.stem):
                yield path.relative_to(ROOT), path.read_text()


def with_comment_above(text, start):
    """The position of the comment that ends right above position start, or start if there is none."""
    above = text[:start].rstrip("\n")
    return above.rfind("/*") if above.endswith("*/") and start - len(above) == 1 else start


def functions(text):
    """The name of each function, and its text with the comment above it."""
    for match in DEFINITION.finditer(text):
        end = text.find("\n}", match.end())
        yield match.group(1), text[with_comment_above(text, match.start()):end]


def labels_in(text, letters):
    """The labels in the comments of text, each with its position. "L2 cache" isn't a label."""
    label = re.compile(rf"\b([{letters}]\d+)\b(?! (?:cache|or L\d cache|and L\d cache))")
    for comment in COMMENT.finditer(text):
        for match in label.finditer(comment.group()):
            yield match.group(1), comment.start() + match.start()


def gone_from_models():
    """What comments of the models name as name() and the code doesn't have."""
    words = set()
    for _, text in sources():
        words.update(re.findall(r"\w+", text))
    for path in sorted((ROOT / "models").glob("*.pml")):
        text = path.read_text()
        for comment in COMMENT.finditer(text):
            for name in re.findall(r"\b([a-z_0-9]+)\(\)", comment.group()):
                if name not in words:
                    yield f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, comment.start()) + 1}: there is no function {name}()"


def main():
    table = rows()
    letters = "".join(sorted({label[0] for label in table}))
    bodies, unknown = {}, []
    for path, text in sources():
        for label, position in labels_in(text, letters):
            if label not in table:
                unknown.append(f"{path}:{text.count(chr(10), 0, position) + 1}: {label} has no row in {PAGE}")
        for name, body in functions(text):
            bodies.setdefault(name, []).append({label for label, _ in labels_in(body, letters)})

    unmatched = []
    for label, names in table.items():
        if not names:
            unmatched.append(f"{label}: its row names no function")
        for name in sorted(names):
            if name not in bodies:
                unmatched.append(f"{label}: there is no function {name}()")
            elif not any(label in found for found in bodies[name]):
                unmatched.append(f"{label}: no comment in {name}() has this label")

    gone = list(gone_from_models())
    print("1..3")
    for number, (what, found) in enumerate((("every label in code has its row", unknown),
                                            ("every row has its label in code", unmatched),
                                            ("models name functions that there are", gone)), 1):
        print(f"{'not ok' if found else 'ok'} {number} - {what} ({len(table)} rows)")
        for text in found:
            print(f"# {text}")
    return 1 if unknown or unmatched or gone or not table else 0


sys.exit(main())
