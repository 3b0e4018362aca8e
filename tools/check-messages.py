#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-messages.py [ROOT] [--list] - a test (TAP) that docs/messages.md has a row for each message that a user can
meet, with cause and remedy, and no row for one that is gone.

The messages are the formats of ae_fail(), cli_error(), ae_log_line(), log.c's put_text() and fprintf(stderr) in src/ and cmd/. In the page
a number is N and any other value is "…". --list prints those that have no row.

A count that can be one must bend its noun (ae_plural()), so a format such as "N topics" is an error, too.
"""

import pathlib
import re
import sys

ARGUMENTS = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
ROOT = pathlib.Path(ARGUMENTS[0] if ARGUMENTS else pathlib.Path(__file__).parent.parent).resolve()
PAGE = ROOT / "docs/messages.md"

# A function, and which of its arguments is the format.
CALLS = {"ae_fail": 1, "cli_error": 1, "ae_log_line": 1, "put_text": 1, "fprintf": 1}

# Files whose messages no user of an installed program meets, and why.
FILES = {
    "cmd/aether-cli/bench/": "the benchmark explains itself",
}

# Messages without a row, and why.
WITHOUT = {
    "…": "passes on a text that is made elsewhere",
    "…: …": "passes on a text that is made elsewhere",
    "aether-cli: …": "passes on a text that is made elsewhere",
    "… published…": "the progress on a terminal",
    "no request is under way": "an error of the library itself",
}

# Nouns that are counted, and formats in which the count is never one.
COUNTED = r"topics|clients|subscribers|publishers|messages|grants|loans|records|descriptors|samples|mappings"
ALWAYS_MANY = {
    "N messages are held: release one first": "AETHER_HOLDS_MAX",
    "out of memory for the statements of N clients": "at least two",
    "aetherd's limit of N open publishers and subscribers is reached: raise [limits] grants": "two nouns",
    "evict_lag of N where publishers wait for slow subscribers: leave it 0, or let them evict": "N isn't their count",
    "layout has N slots of N bytes and lanes of N for messages of N bytes: damaged": "N isn't their count",
    "N loans are taken since the oldest open one: commit or discard that": "AETHER_LOANS_MAX",
    "batch of N messages is too large: at most N…": "one message is never too many",
    "batch of N messages is too large: more than the lane's N bytes": "one message is refused by its length",
    "registry of N topics, N clients, N handles: use 1 to N, N and N": "one is a possible limit, so not in this text",
    "… is damaged: N bytes for N topics, N clients, N handles": "figures of damaged memory",
    "… has records for N topics, not for N": "figures of damaged memory",
}

TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|[A-Za-z_]\w*|\s+|.', re.S)
CONVERSION = re.compile(r"%(?:%|[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|j|t)?([a-zA-Z]))")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "'": "'", "0": "\0"}


def without_comments(text):
    return re.sub(r"/\*.*?\*/", lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.S)


def unescaped(literal):
    def one(found):
        return ESCAPES.get(found[1][0], "") if found[1][0] not in "xu" else "…"

    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), literal[1:-1].replace("\\033", "\x1b"))
    return re.sub(r"\\(x[0-9a-fA-F]+|.)", one, text)


def arguments(text, at):
    """The arguments of a call as lists of tokens; at is behind its "("."""
    found, depth = [[]], 0
    for match in TOKEN.finditer(text, at):
        token = match[0]
        if token in "([{" and len(token) == 1:
            depth += 1
        elif token in ")]}" and len(token) == 1:
            depth -= 1
            if depth < 0:
                return found
        if token == "," and depth == 0:
            found.append([])
        elif not token.isspace():
            found[-1].append(token)
    return found


def formats(tokens, macros):
    """The strings that an argument can be: one, or those of a ?: expression. None: it isn't made of literals."""
    parts, current, depth = [], "", 0
    seen = False
    for token in tokens:
        if token[0] == '"':
            current += unescaped(token)
            seen = True
        elif token.startswith("PRI"):
            current += {"d": "d", "u": "u", "x": "x"}.get(token[3:4], "u")
        elif token in macros and depth == 0:
            current += macros[token]
        elif token in "?:" and depth == 0 and seen:
            parts.append(current)
            current, seen = "", False
        elif token == "?" and depth == 0:
            current = ""  # the condition
    if seen:
        parts.append(current)
    return parts


def normal(text):
    """A format as the page shows it."""
    def value(found):
        kind = found[1]
        return "%" if kind is None else "N" if kind in "diuxX" else "…"

    text = CONVERSION.sub(value, re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)).strip("\r\n")
    return re.sub(r"…(?:[^\S\n]?…)+", "…", text) if text.replace("…", "").strip() else "…"


def sources():
    for top in ("src", "cmd"):
        for path in sorted((ROOT / top).rglob("*.c")):
            name = str(path.relative_to(ROOT))
            if not name.endswith("_test.c") and not name.startswith(tuple(FILES)):
                yield name, without_comments(path.read_text(encoding="utf-8"))


def messages():
    """{message: [file:line]}"""
    found = {}
    texts = list(sources())
    macros = {}
    for path in sorted([*(ROOT / "src").rglob("*.[ch]"), *(ROOT / "cmd").rglob("*.[ch]")]):
        for match in re.finditer(r'^#define (\w+) ("(?:[^"\\\n]|\\.)*")$', path.read_text(encoding="utf-8"), re.M):
            macros[match[1]] = unescaped(match[2])
    for name, text in texts:
        for match in re.finditer(rf"\b({'|'.join(CALLS)})\s*\(", text):
            given = arguments(text, match.end())
            if match[1] == "fprintf" and given[0] != ["stderr"] or len(given) <= CALLS[match[1]]:
                continue
            line = text.count("\n", 0, match.start()) + 1
            for message in formats(given[CALLS[match[1]]], macros):
                message = normal(message)
                if re.search(r"[A-Za-z]", message.replace("N", "")) or message == "…":
                    found.setdefault(message, []).append(f"{name}:{line}")
    return found


def rows():
    """{message: line number} of the page's tables; a row without cause or remedy is an error."""
    found, errors = {}, []
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").split("\n") if PAGE.exists() else [], 1):
        if not line.startswith("| `"):
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        message = cells[0].strip("`").strip()
        if len(cells) != 3 or not cells[1] or not cells[2]:
            errors.append(f"docs/messages.md:{number}: a row has message, cause and remedy: {line[:80]}")
        if message in found:
            errors.append(f"docs/messages.md:{number}: also in line {found[message]}: {message}")
        found[message] = number
    return found, errors


def patterns():
    """A pattern for each row, which its actual texts match: for tests that read what programs write."""
    for message in list(rows()[0]) + list(WITHOUT):
        yield re.compile(re.escape(message).replace("N", r"-?[0-9a-fx]+").replace("…", ".*"))


def main():
    found, (known, errors) = messages(), rows()
    missing = {message: places for message, places in found.items() if message not in known and message not in WITHOUT}
    if "--list" in sys.argv:
        for message, places in missing.items():
            print(f"{places[0]}\t{message}")
        return 0
    errors += [f"{places[0]}: no row for: {message}" for message, places in missing.items()]
    errors += [f"docs/messages.md:{number}: no program says: {message}" for message, number in known.items() if message not in found]
    unbent = [f"{places[0]}: {message}" for message, places in found.items()
              if re.search(rf"\bN (?:[a-z]+ )?(?:{COUNTED})\b", message) and message not in ALWAYS_MANY]
    print("1..2")
    print(f"{'not ok' if errors else 'ok'} 1 - docs/messages.md has the {len(found)} messages of the sources, and no others")
    for text in errors:
        print("#", text)
    print(f"{'not ok' if unbent else 'ok'} 2 - counts of one have their noun in the singular")
    for text in unbent:
        print("#", text)
    return 1 if errors or unbent else 0


if __name__ == "__main__":
    sys.exit(main())
