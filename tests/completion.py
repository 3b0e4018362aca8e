#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""completion.py - what bash, zsh and fish offer when Tab is pressed in a command line of aether-cli.

The shells are real, and the words come from the installed form of the completions. A shell that isn't there is skipped.
"""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import daemon_lib as lib  # noqa: E402
from daemon_lib import Client, Daemon  # noqa: E402

BUILD = pathlib.Path(os.environ["BUILD"])
CLI = os.environ["AETHER_CLI"]
SCRATCH = tempfile.mkdtemp(prefix="aether-test-")
TOPICS = ("prices", "prices/eur", "quotes", "two words", "it's", "a:b", "ümlaut", "$HOME", "-dash")
DEADLINE_S = 60
HANG_S = 900  # a program that doesn't end by itself in this time hangs, however busy the machine is

# A command line up to the cursor, what is offered (and more may be), and what isn't.
CASES = [
    ("aether-cli ", ("topic", "pub", "sub", "help", "shutdown"), ("ls", "prices")),
    ("aether-cli to", ("topic", "top"), ("pub",)),
    ("aether-cli topic ", ("ls", "info", "create", "rm"), ("pub", "prices")),
    ("aether-cli topic cr", ("create",), ("ls",)),
    ("aether-cli help topic ", ("ls", "info"), ("pub",)),
    ("aether-cli bench ", ("throughput", "wakeup"), ("ls",)),
    ("aether-cli topic info ", ("prices", "prices/eur", "quotes", "two words", "it's", "a:b", "ümlaut", "$HOME"), ("ls",)),
    ("aether-cli topic info pri", ("prices", "prices/eur"), ("quotes",)),
    ("aether-cli sub --json qu", ("quotes",), ("prices",)),
    ("aether-cli sub --policy latest qu", ("quotes",), ("latest",)),
    ("aether-cli sub --policy ", ("reliable", "best-effort", "latest"), ("prices",)),
    ("aether-cli sub --policy=la", ("latest",), ("reliable", "prices")),
    ("aether-cli sub quotes --from ", ("new", "oldest"), ("prices",)),
    ("aether-cli topic create x --pub", ("--publishers",), ("--json",)),
    ("aether-cli topic create x --publishers ", ("shared", "exclusive", "unbiased"), ("--json",)),
    ("aether-cli sub --po", ("--policy",), ("--publishers",)),
    ("aether-cli lag prices ", ("quotes", "prices/eur"), ()),
    ("aether-cli sub prices ", ("quotes",), ("sub",)),
    ("aether-cli topic info prices ", (), ("quotes", "prices/eur", "info")),
    ("aether-cli --so", ("--socket",), ("--json",)),
    ("aether-cli --v", ("--version",), ()),
    ("aether-cli sub quotes --dump ./d", ("dumps",), ("data",)),
    ("aether-cli pub quotes --file ./d", ("data", "dumps"), ("quotes",)),
    ("aether-cli --socket ./o", ("one.sock", "other"), ("one.sock.lock",)),
    ("aether-cli --socket=./o", ("one.sock", "other"), ("one.sock.lock",)),
    ("aether-cli topic ls --socket ./o", ("one.sock", "other"), ("one.sock.lock",)),
    ("aether-cli sub --count ", (), ("prices", "new", "data")),
    ("aether-cli frobnicate ", (), ("prices",)),
]


def environment(**more):
    path = f"{os.path.dirname(CLI)}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": SCRATCH, "LC_ALL": "C.UTF-8", "TERM": "dumb", **more}


# ---- the shells: each function returns what a shell offers for a line ----

BASH = r"""
. "$1"
IFS=$'\x1f' read -r -a COMP_WORDS <<<"$2"
[ "${2: -1}" != $'\x1f' ] || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$3 COMP_POINT=${#3}
complete -p aether-cli | grep -q -- '-F _aether_cli' || exit 9
_aether_cli
printf '%s\n' "${COMPREPLY[@]}"
"""


def bash(line, env):
    """bash splits words at blanks, and at = and :, which are words of their own."""
    words = []
    for part in line.split(" "):
        words += [piece for piece in re.split("([=:]+)", part) if piece]
    if line[-1] in " =:":
        words.append("")
    done = subprocess.run(["bash", "--norc", "-c", BASH, "bash", str(BUILD / "completion/aether-cli"), "\x1f".join(words), line],
                          cwd=SCRATCH, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=HANG_S, check=False)
    assert done.returncode in (0, 1) and done.stderr == "", done
    # Back from the shell's quotes.
    offered = [w for w in done.stdout.split("\n") if w]
    return subprocess.run(["bash", "-c", "eval \"words=($1)\"; printf '%s\\n' \"${words[@]}\"", "bash", " ".join(offered)],
                          stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")[:-1]


def fish(line, env):
    script = f"source {BUILD}/completion/aether-cli.fish; complete -C $argv[1]"
    done = subprocess.run(["fish", "--no-config", "-c", script, line], cwd=SCRATCH, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=HANG_S, check=False)
    assert done.stderr == "", done.stderr
    return [row.split("\t")[0] for row in done.stdout.split("\n") if row]


class Terminal:
    """A shell on a pseudo terminal."""

    def __init__(self, argv, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(SCRATCH)
            os.execvpe(argv[0], argv, env)
        self.seen = b""

    def send(self, text):
        os.write(self.fd, text.encode())

    def until(self, mark):
        """What the shell writes before the mark."""
        deadline = time.monotonic() + DEADLINE_S
        mark = mark.encode()
        while mark not in self.seen:
            assert time.monotonic() < deadline, f"no {mark} in {self.seen[-2000:]}"
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    raise AssertionError(f"the shell ended: {self.seen[-2000:]}") from None
        before, _, self.seen = self.seen.partition(mark)
        return before.decode(errors="replace")

    def end(self):
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


# Prints what would be offered between two marks, instead of offering it.
ZSH = r"""
PROMPT=; unsetopt zle_bracketed_paste 2>/dev/null; stty -echo
fpath=($BUILD/completion $fpath)
autoload -U compinit; compinit -u -D
zstyle ':completion:*' completer _complete
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
    typeset -a __hits __suffix
    builtin compadd -A __hits "$@"
    zparseopts -E P:=__prefix S:=__suffix
    for __hit in $__hits; do print -r -- "${IPREFIX}${__prefix[2]}${(Q)__hit}${__suffix[2]}" >>$OFFERED; done
    builtin compadd "$@"
}
show() { zle list-choices 2>/dev/null; zle kill-whole-line; print -r -- "===done" ; }
zle -N show; bindkey "^T" show
print -r -- '===ready'
"""


class Zsh:
    """One zsh for all lines, because its start is slow."""

    def __init__(self, env):
        self.offered = os.path.join(SCRATCH, "offered")
        setup = os.path.join(SCRATCH, "setup.zsh")
        pathlib.Path(setup).write_text(ZSH, encoding="utf-8")
        self.terminal = Terminal(["zsh", "-f", "-i"], {**env, "BUILD": str(BUILD), "OFFERED": self.offered})
        self.terminal.send(f". {setup}\n")
        self.terminal.until("===ready\r\n")

    def __call__(self, line, _env):
        pathlib.Path(self.offered).write_text("", encoding="utf-8")
        self.terminal.send(line + "\x14")
        self.terminal.until("===done")
        return [row for row in pathlib.Path(self.offered).read_text(encoding="utf-8").split("\n") if row]


# ---- cases ----


def strip(words):
    """fish offers --option=VALUE as a whole, bash the value; zsh offers the last part of a path, others all of it."""
    words = words + [w.rsplit("=", 1)[-1] for w in words if w.startswith("--") and "=" in w]
    return words + [w.rstrip("/").removeprefix("./") for w in words]


def check(shell, env):
    wrong = []
    for line, offered, absent in CASES:
        got = strip(shell(line, env))
        wrong += [f"{line!r} doesn't offer {word!r}: {got}" for word in offered if word not in got and word + "=" not in got]
        wrong += [f"{line!r} offers {word!r}: {got}" for word in absent if word in got]
    assert not wrong, "\n".join(wrong)


def offers_topics_of_another_socket(shell, env):
    with Daemon() as other, Client(other.path) as client:
        client.create("elsewhere")
        for line in (f"aether-cli --socket {other.path} topic info ", f"aether-cli topic info --socket={other.path} ",
                     f"aether-cli sub --socket {other.path} else"):
            got = shell(line, env)
            assert "elsewhere" in got and "prices" not in got, f"{line!r}: {got}"


def is_silent_without_a_daemon(shell):
    """No daemon: no topics, and no word on the terminal."""
    assert shell("aether-cli topic info ", environment(AETHER_SOCKET=os.path.join(SCRATCH, "none.sock"))) in ([], [""])


def need(program):
    if shutil.which(program) is None:
        raise lib.Skip(f"{program} isn't installed")


def with_daemon(check_it):
    with Daemon() as daemon, Client(daemon.path) as client:
        for topic in TOPICS:
            assert client.create(topic).type == lib.DONE
        check_it(environment(AETHER_SOCKET=daemon.path))


def case_tables():
    """--options-json has a line for each command, and no command is left out"""
    lines = [json.loads(line) for line in subprocess.run([CLI, "--options-json"], stdout=subprocess.PIPE, check=True).stdout.splitlines()]
    named = {line["command"] for line in lines}
    for line in lines:
        for command in line.get("commands", []):
            assert f"{line['command']} {command['name']}".strip() in named, command
    assert {"", "topic", "topic ls", "sub"} <= named


def case_topics():
    """--topics prints the names of a running daemon, and says nothing otherwise"""
    with Daemon() as daemon, Client(daemon.path) as client:
        for topic in ("b", "a b", "with\nnewline"):
            assert client.create(topic).type == lib.DONE
        run = [CLI, "--socket", daemon.path, "--topics"]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and sorted(done.stdout.split("\n")[:-1]) == ["a b", "b"] and done.stderr == "", done
        daemon.kill()
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        assert done.returncode == 3 and done.stdout == done.stderr == "", done


def case_bash():
    """bash: commands, options, values, topics"""
    need("bash")

    def all_of_it(env):
        check(bash, env)
        offers_topics_of_another_socket(bash, env)

    with_daemon(all_of_it)
    is_silent_without_a_daemon(bash)


def case_bash_quoted():
    """bash: inside quotes, too, a name stays a name, whatever it holds"""
    need("bash")
    names = ("a$(touch pwned)", "b`touch pwned`", "c';touch pwned;'", 'd";touch pwned;"', "e\\f", "g")
    with Daemon() as daemon, Client(daemon.path) as client:
        for name in names + ("h!x",):
            assert client.create(name).type == lib.DONE
        env = environment(AETHER_SOCKET=daemon.path)
        for quote in "'\"":
            words = f"aether-cli\x1ftopic\x1finfo\x1f{quote}"
            done = subprocess.run(["bash", "--norc", "-c", BASH, "bash", str(BUILD / "completion/aether-cli"), words, words], cwd=SCRATCH,
                                  env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
            for offered in done.stdout.splitlines():
                assert offered.startswith(quote) and (quote == "'" or "!" not in offered), offered
            got = subprocess.run(["bash", "-c", "eval \"words=($1)\"; printf '%s\n' \"${words[@]}\"", "bash",
                                  " ".join(offered + quote for offered in done.stdout.splitlines())],
                                 cwd=SCRATCH, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
            assert sorted(got) == sorted(names + (("h!x",) if quote == "'" else ())), got
        assert not os.path.exists(os.path.join(SCRATCH, "pwned"))


def case_bash_typed():
    """bash on a terminal: what Tab completes is run, with its quotes"""
    need("bash")

    def typed(env):
        shell = Terminal(["bash", "--norc", "-i"], {**env, "PS1": ""})
        try:
            shell.send(f"stty -echo; bind 'set enable-bracketed-paste off'; . {BUILD}/completion/aether-cli; echo ===re''ady\n")
            shell.until("===ready\r\n")
            for line, topic in (("aether-cli topic info quo\t", "quotes"), ("aether-cli topic info two\t", "two words"),
                                ("aether-cli topic info 'two\t", "two words"), ("aether-cli topic info two\\ w\t", "two words"),
                                ("aether-cli topic info a:\t", "a:b"), ("aether-cli topic info it\t", "it's"),
                                ("aether-cli topic info \\$H\t", "$HOME"), ("aether-cli topic info ü\t", "ümlaut"),
                                ("aether-cli topic inf\tquo\t", "quotes")):
                shell.send(f"{line} --json; echo ===do''ne\n")
                got = shell.until("===done\r\n")
                assert got.startswith("{") and json.loads(got)["topic"] == topic, f"{line!r}: {got!r}"
        finally:
            shell.end()

    with_daemon(typed)


def case_zsh():
    """zsh: commands, options, values, topics"""
    need("zsh")

    def all_of_it(env):
        shell = Zsh(env)
        try:
            check(shell, env)
            offers_topics_of_another_socket(shell, env)
        finally:
            shell.terminal.end()

    with_daemon(all_of_it)
    shell = Zsh(environment(AETHER_SOCKET=os.path.join(SCRATCH, "none.sock")))
    try:
        assert shell("aether-cli topic info ", None) == []
    finally:
        shell.terminal.end()


def case_fish():
    """fish: commands, options, values, topics"""
    need("fish")

    def all_of_it(env):
        check(fish, env)
        offers_topics_of_another_socket(fish, env)

    with_daemon(all_of_it)
    is_silent_without_a_daemon(fish)


try:
    os.makedirs(os.path.join(SCRATCH, "dumps"))
    os.makedirs(os.path.join(SCRATCH, "other"))
    socket.socket(socket.AF_UNIX).bind(os.path.join(SCRATCH, "one.sock"))
    pathlib.Path(SCRATCH, "one.sock.lock").write_text("", encoding="utf-8")
    pathlib.Path(SCRATCH, "data").write_text("", encoding="utf-8")
    lib.run([value for name, value in list(globals().items()) if name.startswith("case_")])
finally:
    shutil.rmtree(SCRATCH)
