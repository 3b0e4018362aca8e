#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""completion.py AETHER_CLI {bash|zsh|fish} TEMPLATE OUTPUT - the completion of aether-cli for a shell.

The tables come from the program itself (aether-cli --options-json), so a new option is completed without further work.
TEMPLATE is the shell's code; its line with @TABLES@ is replaced by the tables.
"""

import json
import pathlib
import re
import subprocess
import sys

# Every command has these two; args.c reads them.
COMMON = [{"name": "socket", "letter": "", "kind": "text", "value": "SOCKET", "help": "the daemon's socket", "choices": []},
          {"name": "help", "letter": "h", "kind": "flag", "value": "", "help": "print the help", "choices": []}]
VERSION = {"name": "version", "letter": "", "kind": "flag", "value": "", "help": "print the version", "choices": []}


def kind_of_value(option):
    """What the shell offers as the option's value: none, file, dir, socket, any, or words."""
    if option["kind"] == "flag":
        return "none"
    if option["choices"]:
        return "words"
    return {"PATH": "file", "FILE": "file", "DIR": "dir", "SOCKET": "socket"}.get(option["value"], "any")


def kind_of_words(command):
    """What the shell offers for the first word and for those behind it: topic, file or nothing."""
    first = "topic" if re.match(r"\[?TOPIC", command["words"]) else ""
    more = ""
    if command["more_words"]:
        more = "file" if "PATH" in command["words"] else first
    return first, more


def tables_of(program):
    """The commands in the order of the help, those with sub-commands first among their own."""
    done = subprocess.run([program, "--options-json"], stdout=subprocess.PIPE, check=True, text=True)
    tables = [json.loads(line) for line in done.stdout.splitlines()]
    for table in tables:
        if table["command"] == "":
            table["commands"].append({"name": "help", "summary": "a list of the commands, or a command's options"})
            table["options"] = [COMMON[0], VERSION, COMMON[1]]
        else:
            table["options"] = table.get("options", []) + (COMMON if "commands" not in table else COMMON[1:])
    return tables


# ---- bash ----


def bash(tables):
    """The cases of a function that sets commands, options, values and words by the name of a command."""
    for table in tables:
        yield f'    "{table["command"]}")'
        if "commands" in table:
            yield f'        commands="{" ".join(c["name"] for c in table["commands"])}"'
        names = ["--" + o["name"] for o in table["options"]] + ["-" + o["letter"] for o in table["options"] if o["letter"]]
        yield f'        options="{" ".join(names)}"'
        if "words" in table:
            yield '        first={} more={}'.format(*(word or '""' for word in kind_of_words(table)))
        valued = [o for o in table["options"] if kind_of_value(o) != "none"]
        if valued:
            yield '        case $2 in'
            for option in valued:
                kind = kind_of_value(option)
                names = f'--{option["name"]}' + (f' | -{option["letter"]}' if option["letter"] else "")
                value = f'words values="{" ".join(option["choices"])}"' if kind == "words" else kind
                yield f'        {names}) value={"optional" if option.get("optional") else value} ;;'
            yield '        esac'
        yield '        ;;'


# ---- zsh ----


def zsh_quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def zsh_help(text):
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def zsh_option(option):
    """The specifications of _arguments for an option."""
    name, kind = f'--{option["name"]}', kind_of_value(option)
    values = {"file": "_files", "dir": "_files -/", "socket": '_files -g "*(=)"', "any": " ", "words": f'({" ".join(zsh_help(c) for c in option["choices"])})'}
    repeated = "*" if option["kind"] == "list" else ""
    tail = f'[{zsh_help(option["help"])}]'
    if kind != "none":
        tail += f'{"::" if option.get("optional") else ":"}{zsh_help(option["value"])}:{values[kind]}'
    if option["letter"]:
        letter = "-" + option["letter"]
        yield zsh_quoted(f'({letter} {name}){name}{tail}')
        yield zsh_quoted(f'({letter} {name}){letter}{tail}')
    else:
        yield zsh_quoted(f'{repeated}{name}{"=" if kind != "none" else ""}{tail}')


def zsh(tables):
    """The cases of a function that sets the arrays commands (with their summaries) and specs by the name of a command."""
    for table in tables:
        yield f'    ({zsh_quoted(table["command"])})'
        if "commands" in table:
            yield '        commands=('
            for command in table["commands"]:
                yield '            ' + zsh_quoted(f'{command["name"]}:{command["summary"]}')
            yield '        )'
        yield '        specs=('
        for option in table["options"]:
            for spec in zsh_option(option):
                yield '            ' + spec
        if "words" in table:
            actions = {"topic": "topic:_aether_cli_topics", "file": "file:_files", "": "word: "}
            first, more = kind_of_words(table)
            if table["words_max"] > 0:
                yield '            ' + zsh_quoted(f'1:{actions[first]}')
            if table["more_words"]:
                yield '            ' + zsh_quoted(f'*:{actions[more]}')
        yield '        )'
        yield '        ;;'


# ---- fish ----


def fish_quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish(tables):
    """Lists for __aether_cli_at, and a line of `complete` for each command, option and kind of word."""
    names = [table["command"] for table in tables if table["command"]]
    valued = {f'--{o["name"]}' for table in tables for o in table["options"]
              if kind_of_value(o) != "none" and not o.get("optional")}
    yield f'set -g __aether_cli_commands {" ".join(fish_quoted(name) for name in names)}'
    yield f'set -g __aether_cli_groups {" ".join(fish_quoted(t["command"]) for t in tables if t["command"] and "commands" in t)}'
    yield f'set -g __aether_cli_valued {" ".join(sorted(valued))}'
    for table in tables:
        here = f'complete -c aether-cli -n {fish_quoted("__aether_cli_at " + fish_quoted(table["command"]))}'
        for command in table.get("commands", []):
            yield f'{here} -f -a {command["name"]} -d {fish_quoted(command["summary"])}'
        for option in table["options"]:
            kind = kind_of_value(option)
            line = here + (f' -s {option["letter"]}' if option["letter"] else "") + f' -l {option["name"]}'
            line += {"none": " -f", "file": " -r -F", "dir": " -x -a '(__fish_complete_directories)'", "any": " -x",
                     "socket": " -x -a '(__aether_cli_sockets)'",
                     "words": f' -x -a {fish_quoted(" ".join(option["choices"]))}'}[kind] if not option.get("optional") else " -f"
            yield f'{line} -d {fish_quoted(option["help"])}'
        if "words" not in table:
            continue
        first, more = kind_of_words(table)
        if first == "topic":
            count = "1 99" if more == "topic" else "1 1"
            yield (f'complete -c aether-cli -n {fish_quoted("__aether_cli_at " + fish_quoted(table["command"]) + " " + count)}'
                   " -f -a '(__aether_cli_topics)' -d topic")
        if more == "file":
            yield f'complete -c aether-cli -n {fish_quoted("__aether_cli_at " + fish_quoted(table["command"]) + " 2 99")} -F'


def main():
    program, shell, template, output = sys.argv[1:]
    lines = list({"bash": bash, "zsh": zsh, "fish": fish}[shell](tables_of(program)))
    text = pathlib.Path(template).read_text(encoding="utf-8").split("@TABLES@\n")
    assert len(text) == 2, f"{template} has one line @TABLES@"
    pathlib.Path(output).write_text(text[0] + "\n".join(lines) + "\n" + text[1], encoding="utf-8")
    return 0


sys.exit(main())
