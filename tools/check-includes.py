#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-includes.py [ROOT] - a test (TAP) of the layers: every #include points downwards, and no layer has a circle.

The linker sees only calls; a type or an inline function from a higher layer is found only here. Every C and C++ file of
the tree falls under a rule, so a new directory needs a rule before it can be used.
"""

import functools
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
SUFFIXES = {".c", ".h", ".cc", ".hh", ".cpp", ".hpp", ".cxx", ".hxx", ".inc"}

API = r"aether/[a-z]+\.h"


def public(*names):
    """A pattern of these public headers only."""
    return rf"aether/({'|'.join(names)})\.h"


# Directory: (other internal layers that its files may use, pattern of the public headers that they may use). The rule
# of a file's innermost directory applies.
RULES = {
    "include/aether": ([], r"aether/.*"),
    "src/base": ([], public("error")),
    "src/shm": (["base"], public("error", "connect", "detail/atomic", "detail/layout")),
    "src/ring": (["shm", "base"],
                 public("error", "topic", "publish", "subscribe", "idle", "wait", "detail/atomic", "detail/layout")),
    "src/protocol": (["base"], public("error", "detail/layout")),
    "src/client": (["ring", "shm", "protocol", "base"], r"aether/.*"),
    "src/service": (["base"], public("error", "connect")),
    "src/broker": (["service", "protocol", "ring", "shm", "base"], public("error", "connect", "topic", "detail/layout")),
    "cmd/aetherd": (["broker", "service", "protocol", "ring", "shm", "base"], public("error", "connect")),
    "src/view": (["base"], API),
    "src/watch": (["view", "base"], API),
    "src/export": (["watch", "view", "service", "base"], API),
    "cmd/aether-metrics": (["export", "service", "base"], API),
    "cmd/aether-cli": (["watch", "view", "base"], API),
    "examples": ([], API),
    "demo": ([], API),
    "fuzz": (["protocol", "base"], public("error")),
    "tests": ([], API),
    "tests/kill": (["ring", "shm", "base"], API),
    "models/loom": (["ring", "shm", "base"], r"aether/.*"),
    "bench": ([], API),
}

# Files that test or measure one layer from inside. The rule of that layer applies.
INSIDE = {"bench/instructions.c": "src/ring"}

# What files outside of src/ share with the unit tests: the file, and the headers of src/ that it may include.
SHARED = {"tests/lib/traffic.h": {"src/ring/payload_test.h"}}

# Directories whose modules may not include each other in a circle. A module is NAME.c and NAME.h, or one of them.
LAYERED = [directory for directory in RULES if directory.startswith(("src/", "cmd/", "include/"))]

# Headers of other libraries than libc, and the directory in which each may be used.
THIRD_PARTY = {
    "ini.h": "src/service/",
    "jansson.h": "src/view/",
    "ncurses.h": "cmd/aether-cli/top/",
    "microhttpd.h": "src/export/",
    "seccomp.h": "tests/",
    "term.h": "cmd/aether-cli/top/",
    "uv.h": "examples/",
    "cmocka.h": None,  # unit tests only
}

# Headers that declare what several files define: each of them is one of a kind, such as the commands of a program.
TABLES = {"cmd/aether-cli/commands.h"}

PROTOTYPE = re.compile(r'^(?!static|typedef|#|\s|extern "C"|\})[A-Za-z_][\w *]*?\b([a-z_]\w*)\s*\([^;{}]*\)[^;{}]*;', re.MULTILINE)
DEFINITION = re.compile(r"^(?!typedef)[A-Za-z_][^\n;={}]*?\b([a-z_]\w*)\([^;{}]*\)\s*\{$", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)

INCLUDE = re.compile(r'^\s*#\s*include(?:_next)?\b\s*(["<]?)([^">\n]*)', re.MULTILINE)


def is_unit_test(path):
    return re.search(r"_test(_[a-z]+)?$", path.stem) is not None


def rule_of(path):
    """The directory whose rule applies, or None."""
    if str(path) in INSIDE:
        return INSIDE[str(path)]
    return max((d for d in RULES if str(path).startswith(d + "/")), key=len, default=None)


@functools.cache
def code_of(path):
    """The text of a file with a blank in place of each comment, in as many lines."""
    return COMMENT.sub(lambda match: " " + "\n" * match.group().count("\n"), (ROOT / path).read_text())


@functools.cache
def includes_of(path):
    text = code_of(path)
    return [(text.count("\n", 0, match.start(2)) + 1, match.group(1), match.group(2))
            for match in INCLUDE.finditer(text)]


@functools.cache
def reached(folder, name):
    """The file of src/ or include/ that an #include in a folder reaches, however its name is written, or None."""
    for base in (folder, "src", "include", "."):
        target = os.path.normpath(os.path.join(base, name))
        if os.path.isfile(os.path.join(ROOT, target)):
            return pathlib.Path(target) if target.startswith(("src/", "include/")) else None
    return None


def complaint(directory, path, quote, name):
    """What is wrong with one #include, or None."""
    layers, headers = RULES[directory]
    target = reached(os.path.dirname(path), name)
    if not quote:
        return 'write the header\'s name in "" or <>, so that it can be checked'
    if target and str(target) in SHARED.get(str(path), ()):
        return None
    if target and target.parts[0] == "include" and not name.startswith("aether/"):
        return "write public headers as <aether/...>"
    if target and target.parts[0] == "src" and (quote == "<" or name != str(target.relative_to("src"))):
        return 'write headers of src/ as "LAYER/NAME.h"'
    if name.startswith("aether/"):
        if quote == '"':
            return "write public headers in <>"
        if not re.fullmatch(headers, name):
            return f"not a public header that {directory} may use"
    elif quote == '"':
        layer = name.split("/")[0]
        if directory == "include/aether":
            return "an installed header uses only libc and <aether/...>"
        if directory.startswith("src/"):
            own = directory.removeprefix("src/")
            if layer != own and layer not in layers:
                return f"{directory} may use only {', '.join([own, *layers])}"
        elif f"src/{layer}" in RULES and layer not in layers:
            return f"{directory} may use only its own headers and {', '.join(layers) or 'the public ones'}"
    elif name in THIRD_PARTY and not is_unit_test(path):
        home = THIRD_PARTY[name]
        if home is None or not str(path).startswith(home):
            return f"only {home or 'unit tests'} may use it"
    return None


def module_of(path):
    return path.with_suffix("")


def edges_of(directory, files):
    """{module: {module that it includes: where}} inside one layer. Unit tests may include any module and are left out."""
    edges = {}
    base = ROOT / ("include" if directory.startswith("include/") else "src" if directory.startswith("src/") else directory)
    for path in files:
        if is_unit_test(path):
            continue
        for line, _, name in includes_of(path):
            for target in (base / name, (ROOT / path).parent / name):
                if target.is_file() and target.is_relative_to(ROOT / directory):
                    target = module_of(target.resolve().relative_to(ROOT))
                    if target != module_of(path):
                        edges.setdefault(module_of(path), {}).setdefault(target, f"{path}:{line}")
                    break
    return edges


def circle_in(edges):
    """Modules that include each other in a circle, or None."""
    done, trail = set(), []

    def visit(module):
        if module in trail:
            return trail[trail.index(module):] + [module]
        if module in done:
            return None
        trail.append(module)
        for target in edges.get(module, {}):
            found = visit(target)
            if found:
                return found
        trail.pop()
        done.add(module)
        return None

    for module in list(edges):
        found = visit(module)
        if found:
            return found
    return None


def foreign_declarations(path):
    """Functions that a file declares and its own module doesn't define: a circle that no #include shows."""
    if is_unit_test(path) or str(path) in TABLES:
        return []
    own = ROOT / path.with_suffix(".c")
    defined = set(DEFINITION.findall(own.read_text())) if own.is_file() else set()
    return [name for name in PROTOTYPE.findall(code_of(path)) if name not in defined]


def check(directory, files):
    for path in files:
        for line, quote, name in includes_of(path):
            text = complaint(directory, path, quote, name)
            if text:
                yield f"{path}:{line}: {name}: {text}"
    if directory in LAYERED and directory != "include/aether":
        for path in files:
            for name in foreign_declarations(path):
                yield f"{path}: {name}() is defined in another module: declare it in that module's header"
    if directory in LAYERED:
        edges = edges_of(directory, files)
        circle = circle_in(edges)
        if circle:
            yield "a circle: " + ", ".join(
                f"{here.name} includes {there.name} ({edges[here][there]})" for here, there in zip(circle, circle[1:]))


def sources():
    for path in sorted(ROOT.rglob("*")):
        relative = path.relative_to(ROOT)
        top = relative.parts[0]
        if path.suffix in SUFFIXES and path.is_file() and not top.startswith((".", "build")):
            yield relative


def main():
    files = {directory: [] for directory in RULES}
    homeless = []
    for path in sources():
        directory = rule_of(path)
        (files[directory] if directory else homeless).append(path)
    print(f"1..{len(RULES) + 1}")
    status = 0
    for number, directory in enumerate(RULES, 1):
        found = list(check(directory, files[directory]))
        print(f"{'not ok' if found else 'ok'} {number} - {directory}: {len(files[directory])} files include downwards")
        for text in found:
            print(f"# {text}")
            status = 1
    print(f"{'not ok' if homeless else 'ok'} {len(RULES) + 1} - every C and C++ file falls under a rule")
    for path in homeless:
        print(f"# {path}: add a rule for its directory to {pathlib.Path(__file__).name}")
        status = 1
    return status


sys.exit(main())
