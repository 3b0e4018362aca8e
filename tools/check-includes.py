#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-includes.py - a test (TAP) that every #include points downwards through the layers.

The linker sees only calls; a type or an inline function taken from a higher layer shows up here and nowhere else.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Directory: (the internal layers that it may use besides itself, the pattern of public headers that it may use)
ANY, API, NONE = r"aether/.*", r"aether/[a-z]+\.h", r"(?!)"
RULES = {
    "include/aether": ([], ANY),
    "src/base": ([], r"aether/error\.h"),
    "src/shm": (["base"], ANY),
    "src/ring": (["shm", "base"], ANY),
    "src/protocol": (["base"], ANY),
    "src/client": (["ring", "shm", "protocol", "base"], ANY),
    "src/broker": (["protocol", "ring", "shm", "base"], ANY),
    "cmd/aetherd": (["broker", "protocol", "ring", "shm", "base"], ANY),
    "cmd": ([], API),  # all other programs: users of the public library
    "examples": ([], API),
    "demo": ([], API),
}

# The only places that may use a library other than libc.
THIRD_PARTY = {
    "ini.h": "src/broker",
    "jansson.h": "cmd/aether-cli",
    "seccomp.h": "tests",
    "uv.h": "examples",
    "cmocka.h": "",  # unit tests, below
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def complaints(directory, path):
    layers, public = RULES[directory]
    own = directory.removeprefix("src/")
    for match in INCLUDE.finditer(path.read_text()):
        quote, name = match.groups()
        line = path.read_text().count("\n", 0, match.start(2)) + 1
        where = f"{path.relative_to(ROOT)}:{line}: {name}"
        if name.startswith("aether/"):
            if quote == '"':
                yield f"{where}: write public headers in <>"
            if not re.fullmatch(public, name):
                yield f"{where}: not a public header that {directory} may use"
        elif quote == '"':
            layer = name.split("/")[0]
            if directory == "include/aether":
                yield f"{where}: an installed header uses only libc and <aether/...>"
            elif directory.startswith("src/"):
                if layer != own and layer not in layers:
                    yield f"{where}: {directory} may use only {', '.join([own, *layers])}"
            elif "/" in name and layer not in layers:
                yield f"{where}: {directory} may use only its own headers and {', '.join(layers) or 'the public ones'}"
        elif name in THIRD_PARTY and not path.stem.endswith("_test"):
            home = THIRD_PARTY[name]
            if not home or home not in str(path.relative_to(ROOT)):
                yield f"{where}: only {home or 'unit tests'} may use it"


def main():
    print(f"1..{len(RULES)}")
    status = 0
    for number, directory in enumerate(RULES, 1):
        files = sorted(path for path in (ROOT / directory).rglob("*.[ch]")
                       if not (directory == "cmd" and "aetherd" in path.parts))
        found = [text for path in files for text in complaints(directory, path)]
        print(f"{'not ok' if found else 'ok'} {number} - {directory}: {len(files)} files include downwards")
        for text in found:
            print(f"# {text}")
            status = 1
    return status


sys.exit(main())
