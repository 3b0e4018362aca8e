#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""instructions.py PROGRAM [--record] - instructions a message of publish and receive, counted by callgrind.

Times depend on the machine and the minute; what a loop executes doesn't, so this can fail a test. Each loop of
instructions.c has a bound for each compiler in instructions.json, and fails beyond 5 % above it. Prints TAP. --record
writes what was counted as the new bounds of this compiler.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BOUNDS = os.path.join(HERE, 'instructions.json')
TOLERANCE = 1.05


def compiler_of(program):
    """Major version of what built it, from the comment that compilers leave: 'gcc 12'."""
    out = subprocess.run(['readelf', '-p', '.comment', program], capture_output=True, text=True, check=False).stdout
    clang = re.search(r'clang version (\d+)', out)
    gcc = re.search(r'GCC: \([^)]*\) (\d+)', out)
    return f'clang {clang[1]}' if clang else f'gcc {gcc[1]}' if gcc else 'unknown'


def count(program, loop, messages):
    """Instructions a message of one loop."""
    ran = subprocess.run(['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null', '--collect-atstart=no',
                          f'--toggle-collect=loop_{loop.removesuffix("_stamped")}', program, loop], capture_output=True, text=True, check=False)
    found = re.search(r'Collected : (\d+)', ran.stderr)
    if ran.returncode != 0 or not found or int(found[1]) == 0:
        raise RuntimeError(f'{loop}: {ran.stderr.strip().splitlines()[-1] if ran.stderr else "no output"}')
    return int(found[1]) / messages


def read_bounds():
    with open(BOUNDS, encoding='utf-8') as file:
        return json.load(file)


def main():
    words = sys.argv[1:]
    record = '--record' in words
    words = [word for word in words if word != '--record']
    if len(words) != 1:
        print('usage: instructions.py PROGRAM [--record]', file=sys.stderr)
        return 2
    program = words[0]
    try:
        subprocess.run(['valgrind', '--version'], capture_output=True, check=True)
    except OSError:
        print('1..0 # SKIP valgrind is not installed')
        return 0
    compiler = compiler_of(program)
    listed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    loops = [line.split() for line in listed.splitlines()]
    with tempfile.TemporaryDirectory(prefix='aether-test-') as scratch:
        # Without what valgrind can't read: Debian 12's knows no DWARF 5 of clang.
        stripped = os.path.join(scratch, 'instructions')
        subprocess.run(['objcopy', '--strip-debug', program, stripped], check=True)
        counted = {loop: round(count(stripped, loop, int(messages)), 2) for loop, messages in loops}
    bounds = read_bounds()
    machine = os.uname().machine
    key = f'{compiler} {machine}'
    if record:
        bounds[key] = counted
        with open(BOUNDS, 'w', encoding='utf-8') as file:
            json.dump(bounds, file, indent=4, sort_keys=True)
            file.write('\n')
    if key not in bounds:
        for loop, value in counted.items():
            print(f'# {loop}: {value:.1f} instructions a message')
        print(f'1..0 # SKIP no bounds for {key} yet: instructions.py PROGRAM --record takes them')
        return 0
    print(f'1..{len(counted)}')
    failed = 0
    for i, (loop, value) in enumerate(counted.items(), 1):
        bound = bounds[key].get(loop, 0)
        good = value <= bound * TOLERANCE
        failed += not good
        print(f'{"ok" if good else "not ok"} {i} - {loop}: {value:.1f} instructions a message, bound {bound:.1f} ({key})')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
