#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aetherd's life: one instance, clean stops, kill -9 and adoption by a successor, and machines without room."""
import contextlib
import errno
import os
import platform
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import daemon_lib as lib  # noqa: E402
from daemon_lib import BEST_EFFORT, PUBLISHER, RELIABLE, Client, Daemon, Helper, Skip, await_true, refused  # noqa: E402


def run_daemon(*arguments, env=None):
    """Runs a daemon that ends by itself. Returns its exit code and its stderr."""
    done = subprocess.run([lib.AETHERD, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=lib.HANG_S, env={**os.environ, **(env or {})}, check=False)
    return done.returncode, done.stderr.decode()


# ---- starting and stopping ----


def case_single():
    """a second daemon at the same socket ends with 3 and disturbs nothing"""
    with Daemon() as daemon, Client(daemon.path) as client:
        objects = daemon.objects()
        link = os.path.join(daemon.dir, "other")
        os.symlink(daemon.dir, link)
        for path in (daemon.path, os.path.join(link, "d.sock")):
            code, text = run_daemon("--socket", path)
            assert code == 3 and daemon.path in text, (code, text)
        assert daemon.objects() == objects
        assert client.create("t").type == lib.DONE
        os.unlink(link)


def case_ending():
    """a daemon that starts while its killed predecessor is being taken down waits for its end"""
    with Daemon() as daemon, Client(daemon.path) as client:
        client.create("t")
        old = daemon.socket_inode()
        first = daemon.process
        daemon.spawn()
        lib.await_true(lambda: sleeps(daemon.pid), "it waits for the lock")
        first.kill()
        first.wait()
        lib.await_true(lambda: daemon.serves(old), "the daemon listens")
        with Client(daemon.path) as other:
            assert other.open(PUBLISHER, "t", flags=lib.EXISTING).type == lib.OPENED


def sleeps(pid):
    """Is the process in nanosleep() or clock_nanosleep()? (x86-64, and the numbers that other machines share)"""
    with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
        return f.read().split()[0] in (("35", "230") if platform.machine() == "x86_64" else ("101", "115"))


def case_stop():
    """SIGTERM, SIGINT and SHUTDOWN end it with 0 and leave nothing but the lock file"""
    for how in (signal.SIGTERM, signal.SIGINT, "SHUTDOWN"):
        with Daemon() as daemon:
            assert stat.S_IMODE(os.stat(daemon.path).st_mode) == 0o600
            client = Client(daemon.path)
            client.create("a")
            reply = client.open(PUBLISHER, "b")
            reply.close()
            client.give_back(reply.grant_id)
            idle = Client(daemon.path, "idle")  # stays connected without any handle
            if how == "SHUTDOWN":
                assert client.ask(lib.SHUTDOWN).type == lib.DONE
                assert daemon.process.wait(lib.HANG_S) == 0
            else:
                assert daemon.stop(how) == 0
            assert daemon.objects() == [], daemon.objects()
            assert sorted(os.listdir(daemon.dir)) == ["d.sock.lock", "log"]
            client.end()
            idle.end()


def case_stop_attached():
    """a clean stop keeps only the topics to which living processes are attached; the successor adopts them"""
    with Daemon() as daemon, Client(daemon.path) as creator:
        creator.create("kept", publishers=2)
        creator.create("dropped")
        creator.end()
        other = Helper(daemon.path, PUBLISHER, "kept")
        assert daemon.stop() == 0
        assert len([name for name in daemon.objects() if name.startswith("log")]) == 1
        assert "registry" in daemon.objects()
        daemon.start()
        with Client(daemon.path) as client:
            refused(client.open(PUBLISHER, "kept"), errno.EBUSY, other.pid)
            refused(client.remove("dropped"), errno.ENOENT)
            other.end()
            await_true(lambda: client.remove("kept").type == lib.DONE, "its publisher is found dead")
        assert daemon.stop() == 0
        assert daemon.objects() == []


def case_socket_file():
    """a stale socket is replaced; a file that isn't a socket is not touched"""
    with Daemon() as daemon:
        daemon.kill()
        assert os.path.exists(daemon.path)
        daemon.start()
        Client(daemon.path).end()
    with Daemon(start=False) as daemon:
        for name in (daemon.path, daemon.path + "~", os.path.join(daemon.dir, ".d.sock")):
            with open(name, "w", encoding="utf-8") as f:
                f.write("precious")
        code, text = run_daemon("--socket", daemon.path)
        assert code == 1 and daemon.path in text, (code, text)
        for name in (daemon.path, daemon.path + "~", os.path.join(daemon.dir, ".d.sock")):
            with open(name, encoding="utf-8") as f:
                assert f.read() == "precious", name
        assert daemon.objects() == []


def case_directory():
    """the default directory is made private; a symbolic link, or a directory that others can enter, is refused"""
    base = os.path.realpath(tempfile.mkdtemp(prefix="aether-test-"))
    env = {"XDG_RUNTIME_DIR": base, "AETHER_SOCKET": ""}
    directory = os.path.join(base, "aether")
    path = os.path.join(directory, "aetherd.sock")
    process = subprocess.Popen([lib.AETHERD], env={**os.environ, **env}, stderr=subprocess.DEVNULL)
    try:
        await_true(lambda: os.path.exists(path), "it listens at the default socket")
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
        process.terminate()
        assert process.wait(lib.HANG_S) == 0
        os.chmod(directory, 0o777)
        code, text = run_daemon(env=env)
        assert code == 1 and directory in text, (code, text)
        os.rename(directory, os.path.join(base, "real"))
        os.chmod(os.path.join(base, "real"), 0o700)
        os.symlink("real", directory)
        code, text = run_daemon(env=env)
        assert code == 1 and directory in text, (code, text)
        code, text = run_daemon("--socket", os.path.join(base, "none", "s"))
        assert code == 1 and "none" in text and text.count("\n") == 1, (code, text)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        shutil.rmtree(base)


def case_closed_stdio():
    """without stdin, stdout or stderr it serves, and doesn't write its log into its own files"""
    for redirections in ("0<&- 1>&- 2>&-", "2>&-", "0<&- 2>&-"):
        with Daemon(start=False) as daemon:
            process = subprocess.Popen(["sh", "-c", f'exec "$@" {redirections}', "sh", lib.AETHERD, "--socket", daemon.path,
                                        "--log-level", "debug"])
            daemon.process = process
            await_true(lambda: os.path.exists(daemon.path), "it listens")
            for _ in range(3):
                with Client(daemon.path) as client:
                    assert client.create("t").type == lib.DONE
            assert os.path.getsize(daemon.path + ".lock") == 0, redirections
            assert daemon.stop() == 0
            assert daemon.objects() == []


def case_removed_files():
    """a socket file, lock file or directory that is removed comes back, and nothing is lost meanwhile"""
    with Daemon() as daemon, Client(daemon.path) as client:
        objects = daemon.objects()

        def serves_again():
            if not os.path.exists(daemon.path):
                return False
            with contextlib.suppress(OSError), Client(daemon.path) as other:
                assert other.welcome.pid == daemon.pid
                return os.path.exists(daemon.path + ".lock")
            return False

        for hang_up in (False, True):
            os.unlink(daemon.path)
            if hang_up:
                daemon.process.send_signal(signal.SIGHUP)
            await_true(serves_again, "it listens again")
        os.unlink(daemon.path + ".lock")
        await_true(lambda: os.path.exists(daemon.path + ".lock"), "the lock file is there again")
        code, text = run_daemon("--socket", daemon.path)
        assert code == 3 and f"another aetherd (pid {daemon.pid}) runs at {daemon.path}" in text, (code, text)
        # Stopped, so that it can't listen again: what others say then.
        daemon.process.send_signal(signal.SIGSTOP)
        for names in ((daemon.path,), (daemon.path + ".lock",), (daemon.path, daemon.path + ".lock")):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
            code, text = run_daemon("--socket", daemon.path)
            assert code == 3 and text.count("\n") == 1, (code, text)
            assert f"aetherd pid {daemon.pid} runs, its socket {daemon.path} was removed: kill -HUP {daemon.pid}" in text, text
            assert daemon.objects() == objects
        daemon.process.send_signal(signal.SIGCONT)
        await_true(serves_again, "it listens again")
        assert client.create("t").type == lib.DONE, "the old connection is still served"
        # The directory is the daemon's own, with mode 0700: it makes that again, too.
        os.rename(daemon.dir, daemon.dir + ".old")
        await_true(serves_again, "it listens again")
        assert stat.S_IMODE(os.stat(daemon.dir).st_mode) == 0o700
        assert client.create("u").type == lib.DONE
        assert daemon.stop() == 0
        assert sorted(os.listdir(daemon.dir)) == ["d.sock.lock"]
        shutil.rmtree(daemon.dir)
        os.rename(daemon.dir + ".old", daemon.dir)
    # Another file in its place isn't touched, neither while it runs nor when it ends.
    with Daemon() as daemon:
        os.unlink(daemon.path)
        with open(daemon.path, "w", encoding="utf-8") as f:
            f.write("precious")
        await_true(lambda: "was replaced by another file" in daemon.log(), "the log says so")
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.stop() == 0
        with open(daemon.path, encoding="utf-8") as f:
            assert f.read() == "precious"
    # A directory that others can write to isn't made again by it, but it listens when somebody else makes it.
    with Daemon(start=False) as daemon:
        directory = os.path.join(daemon.dir, "shared")
        daemon.path = os.path.join(directory, "d.sock")
        daemon.prefix = f"aether-{os.geteuid()}-{lib.fnv(daemon.path.encode()):016x}."
        os.mkdir(directory)
        os.chmod(directory, 0o777)
        daemon.start()
        shutil.rmtree(directory)
        await_true(lambda: "no program can connect" in daemon.log(), "the log says so")
        assert not os.path.exists(directory)
        os.mkdir(directory)
        await_true(lambda: os.path.exists(daemon.path), "it listens again")
        Client(daemon.path).end()
        assert daemon.stop() == 0


# A program of another uid. It prints what it gets: the ERROR, and the end of the connection after it.
FOREIGN = """
import sys; sys.path.insert(0, sys.argv[2])
import daemon_lib as lib
socks = [lib.connect(sys.argv[1]) for _ in range(int(sys.argv[3]))]
for number, sock in enumerate(socks):
    try:
        sock.send(lib.hello())
        sock.send(lib.hello())
    except BrokenPipeError:
        assert number >= 16, "the connection is open"
    except ConnectionResetError:
        assert number >= 16, "the connection is open"
for number, sock in enumerate(socks):
    try:
        reply = lib.receive(sock) or lib.receive(sock)
    except ConnectionResetError:
        reply = lib.receive(sock)
    print(number, reply.code, reply.text, lib.receive(sock) is None)
"""


def case_other_uid():
    """a program of another uid gets an ERROR that says so, never a reset, and can't use up aetherd's connections"""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skip("needs root and setpriv")
    with Daemon() as daemon, Client(daemon.path) as client:
        os.chmod(daemon.dir, 0o755)
        os.chmod(daemon.path, 0o666)
        library = os.path.join(daemon.dir, "lib")
        os.mkdir(library)
        shutil.copy(lib.__file__, library)
        assert client.create("before").type == lib.DONE  # by now the descriptor of the token is closed
        fds = daemon.fds()
        nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/env", "python3", "-c", FOREIGN]
        for count in (1, 16, 60):
            done = subprocess.run([*nobody, daemon.path, library, str(count)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  check=False)
            assert done.returncode == 0, done.stderr.decode()
            for number, line in enumerate(done.stdout.decode().splitlines()):
                assert line == (f"{number} {-errno.EACCES} aetherd at {daemon.path} belongs to uid 0; this program is uid 65534: "
                                f"it serves its own uid and root True"), line
            assert len(done.stdout.decode().splitlines()) == count
            await_true(lambda: daemon.fds() == fds, "its connections are closed")
        assert client.create("t").type == lib.DONE
        # One that doesn't close its end: 5 seconds later its connection is closed.
        sock = lib.connect(daemon.path)
        sock.send(b"nonsense")
        refused(lib.receive(sock), errno.EPROTO)
        assert daemon.fds() == fds + 1
        await_true(lambda: daemon.fds() == fds, "it is closed all the same")
        sock.close()


# A service manager in short: it listens, and starts aetherd with the socket as descriptor 3.
ACTIVATOR = """
import fcntl, os, socket, sys
kind, path, count = sys.argv[1:4]
sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_SEQPACKET)
sock.bind(path)
if kind != "deaf":
    sock.listen(8)
os.dup2(fcntl.fcntl(sock, fcntl.F_DUPFD, 10), 3, inheritable=True)  # it may be 3 itself, which exec would close
os.environ.update(LISTEN_PID=str(os.getpid() + (kind == "other")), LISTEN_FDS=count, LISTEN_FDNAMES="aetherd")
os.execv(sys.argv[4], sys.argv[4:])
"""


def case_socket_activation():
    """a socket of a service manager is used and left alone; one that isn't right is refused"""

    def activator(daemon, kind="packet", path=None, count=1):
        return [sys.executable, "-c", ACTIVATOR, kind, path or daemon.path, str(count)]

    with Daemon(start=False) as daemon:
        link = os.path.join(daemon.dir, "link")
        os.symlink(daemon.dir, link)
        # Another name of the same socket is right, too.
        for path in (daemon.path, os.path.join(link, "d.sock")):
            daemon.wrapper = activator(daemon, path=path)
            daemon.start()
            inode = daemon.socket_inode()
            with Client(daemon.path) as client:
                assert client.create("t").type == lib.DONE
                with open(f"/proc/{daemon.pid}/environ", "rb") as f:
                    assert b"LISTEN_FDS=1" in f.read(), "it was activated"
                code, text = run_daemon("--socket", daemon.path)
                assert code == 3 and str(daemon.pid) in text, (code, text)
            assert daemon.stop() == 0
            assert daemon.socket_inode() == inode, "the socket's file is still the manager's"
            os.unlink(daemon.path)
        # The file is removed: aetherd makes its own, and the manager has to be restarted.
        daemon.wrapper = activator(daemon)
        daemon.start()
        os.unlink(daemon.path)
        await_true(lambda: os.path.exists(daemon.path), "it listens again")
        assert "restart the service manager's socket unit" in await_true(daemon.log, "log")
        Client(daemon.path).end()
        assert daemon.stop() == 0
        assert not os.path.exists(daemon.path)
        # Meant for another process: aetherd listens by itself.
        daemon.wrapper = activator(daemon, "other", path=os.path.join(daemon.dir, "unused"))
        daemon.start()
        Client(daemon.path).end()
        assert daemon.stop() == 0
        os.unlink(os.path.join(daemon.dir, "unused"))
        for kind, path, count, word in (("stream", None, 1, f"use ListenSequentialPacket={daemon.path}"), ("deaf", None, 1, "isn't a listening"),
                                        ("packet", os.path.join(daemon.dir, "elsewhere"), 1, "elsewhere"), ("packet", None, 2, "exactly one"),
                                        ("packet", None, 0, "exactly one"), ("packet", None, "x", "exactly one")):
            done = subprocess.run([*activator(daemon, kind, path, count), lib.AETHERD, "--socket", daemon.path], stderr=subprocess.PIPE, check=False)
            text = done.stderr.decode()
            assert done.returncode == 1 and text.count("\n") == 1 and word in text, (kind, path, count, text)
            assert daemon.objects() == []
            for name in (path or daemon.path, daemon.path):
                if os.path.exists(name):
                    os.unlink(name)


def case_units():
    """systemd understands each line of the units, and finds the system's service well protected"""
    if shutil.which("systemd-analyze") is None:
        raise Skip("there is no systemd-analyze")
    source = os.environ.get("SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    with tempfile.TemporaryDirectory(prefix="aether-test-") as scratch:
        for kind, options in (("system", []), ("user", ["--user"])):
            directory = os.path.join(scratch, kind)
            os.mkdir(directory)
            for name in ("aetherd.service.in", "aetherd.socket"):
                with open(os.path.join(source, "data/systemd", kind, name), encoding="utf-8") as f:
                    text = f.read()
                assert "Documentation=man:aetherd(8)\n" in text
                # Neither program nor page nor user is installed.
                for old, new in (("@BINDIR@/aetherd", "/bin/true"), ("Documentation=man:aetherd(8)\n", ""), ("=aether\n", "=root\n")):
                    text = text.replace(old, new)
                with open(os.path.join(directory, name.removesuffix(".in")), "w", encoding="utf-8") as f:
                    f.write(text.replace("RuntimeDirectory=root", "RuntimeDirectory=aether"))
            commands = [["verify", *options]]
            if kind == "system":
                commands.append(["security", "--offline=true", "--threshold=30"])
            for command in commands:
                for name in ("aetherd.service", "aetherd.socket") if command[0] == "verify" else ("aetherd.service",):
                    done = subprocess.run(["systemd-analyze", *command, os.path.join(directory, name)], stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, env={**os.environ, "XDG_RUNTIME_DIR": scratch}, check=False)
                    text = (done.stdout + done.stderr).decode()
                    assert done.returncode == 0 and (done.stderr == b"" or command[0] == "security"), f"{command} {name}: {text[-800:]}"


class Manager:
    """The service manager's side of sd_notify(3)."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(name.replace("@", "\0", 1))
        self.sock.settimeout(lib.DEADLINE_S)

    def close(self):
        self.sock.close()

    def notice(self):
        return self.sock.recv(4096).decode()


def case_service_manager():
    """a service manager gets a notice when aetherd can be connected to and when it stops; aetherd also serves without"""
    for kind in "/@":
        with Daemon(start=False) as daemon:
            name = daemon.dir + "/notify" if kind == "/" else "@" + daemon.dir
            with contextlib.closing(Manager(name)) as manager:
                daemon.wrapper = ["env", f"NOTIFY_SOCKET={name}"]
                daemon.spawn()
                assert manager.notice() == "READY=1"
                Client(daemon.path).end()
                daemon.process.send_signal(signal.SIGHUP)
                lines = manager.notice().splitlines()
                assert lines[0] == "RELOADING=1" and 0 < int(lines[1].removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
                assert manager.notice() == "READY=1"
                Client(daemon.path).end()
                daemon.process.terminate()
                assert manager.notice() == "STOPPING=1"
                assert daemon.stop() == 0
                daemon.spawn()
                assert manager.notice() == "READY=1"
                with Client(daemon.path) as client:
                    assert client.ask(lib.SHUTDOWN).type == lib.DONE
                assert manager.notice() == "STOPPING=1"
                assert daemon.stop() == 0
                path = os.path.join(daemon.dir, "none", "d.sock")
                code, _ = run_daemon("--socket", path, env={"NOTIFY_SOCKET": name})
                assert code == 1
                manager.sock.setblocking(False)
                try:
                    assert manager.notice() == "nothing"
                except BlockingIOError:
                    pass
    with Daemon(wrapper=["env", "NOTIFY_SOCKET=/nonexistent/notify"]) as daemon:
        Client(daemon.path).end()
        await_true(lambda: "/nonexistent/notify" in daemon.log(), "the log names the socket that can't be reached")
        assert daemon.stop() == 0


# ---- kill -9 ----


def case_adopt():
    """a successor adopts topics and living clients, frees dead clients, and lets new ones join at the right sequence"""
    with Daemon() as daemon:
        publisher = Client(daemon.path, "publisher")
        held = publisher.open(PUBLISHER, "t", max_message=24, capacity=128, start_seq=5, publishers=2)
        dead = Helper(daemon.path, RELIABLE, "t")
        alive = Helper(daemon.path, RELIABLE, "t")
        log = held.fds[0]
        daemon.kill()
        dead.end()
        lib.write_word(log, lib.CLAIM_OFF, 777 << 16 | held.record)  # published while no daemon ran
        lib.write_word(log, lib.POSITION_OFF, 777)
        daemon.start()
        with Client(daemon.path) as client:
            refused(client.open(PUBLISHER, "t"), errno.EBUSY, "publisher", os.getpid())
            refused(client.create("t", capacity=256), errno.EEXIST, "128 slots, as publisher 'publisher'", 256)
            assert lib.read_word(held.fds[lib.FD_CURSORS], lib.ACTIVE_OFF) == 1 << alive.record
            joined = client.open(RELIABLE, "t")
            assert joined.record == dead.record and joined.geometry_matches(held)
            assert lib.read_word(joined.fds[lib.FD_CURSORS], lib.RECORDS_OFF + lib.RECORD_SIZE * joined.record) == 777
            assert joined.grant_id > max(held.grant_id, alive.grant_id, dead.grant_id)
            assert client.id > publisher.id
            joined.close()
        publisher.resume(held.grant_id)
        assert publisher.welcome.resumed == 1
        assert publisher.give_back(held.grant_id).type == lib.DONE
        alive.end()
        held.close()
        publisher.end()
        assert daemon.stop() == 0
        assert daemon.objects() == []


def case_adopt_stream():
    """the next daemon marks publishers that died while no daemon ran, and later publishers get their lanes"""
    config = {"max_message": 1 << 16, "capacity": 64}
    with Daemon() as daemon:
        witness = Client(daemon.path, "witness")
        watched = [witness.open(BEST_EFFORT, topic, **config) for topic in ("dead", "alive")]
        dead, alive = Helper(daemon.path, PUBLISHER, "dead"), Helper(daemon.path, PUBLISHER, "alive")
        daemon.kill()
        dead.end()
        before = [lib.Stream(reply.fds[0]) for reply in watched]
        assert [stream.open for stream in before] == [1, 1], "no daemon has marked the death yet"
        daemon.start()
        streams = [lib.Stream(reply.fds[0]) for reply in watched]
        assert [(stream.open, stream.died != 0) for stream in streams] == [(0, True), (1, False)]
        assert [now.wake > then.wake for now, then in zip(streams, before)] == [True, True], "who waits is woken"
        before = os.fstat(watched[0].fds[0]).st_blocks
        with Client(daemon.path) as client:
            successor = client.open(PUBLISHER, "dead", **config)
            assert successor.type == lib.OPENED, successor.text
            again = lib.Stream(watched[0].fds[0])
            assert (again.open, again.died, again.joins) == (1, 0, 2)
            assert os.fstat(watched[0].fds[0]).st_blocks == before
            successor.close()
        alive.end()
        for reply in watched:
            reply.close()
        witness.end()


def case_lost_reply():
    """a handle whose reply was lost with the daemon is freed when its client resumes"""
    with Daemon() as daemon, Client(daemon.path) as client:
        known = client.open(BEST_EFFORT, "t")
        lost = client.open(PUBLISHER, "t")
        daemon.kill()
        daemon.start()
        client.resume(known.grant_id)
        again = client.open(PUBLISHER, "t")
        assert again.type == lib.OPENED, again.text
        assert client.give_back(known.grant_id).type == lib.DONE
        for reply in (known, lost, again):
            reply.close()


def case_leftovers():
    """objects for which there is no record are removed, but only those of this instance"""
    with Daemon() as daemon:
        with Client(daemon.path) as client:
            client.create("t")
            daemon.kill()
        foreign = daemon.object("")[:-1] + "0.log-1"  # of another instance
        for name in ("log-999", "cursors-999", "notes-999", "token-999", "stats-999", "junk"):
            with open(daemon.object(name), "w", encoding="utf-8") as f:
                f.write("x")
        with open(foreign, "w", encoding="utf-8") as f:
            f.write("x")
        try:
            daemon.start()
            kinds = sorted(name.split("-")[0] for name in daemon.objects())
            assert kinds == ["cursors", "log", "notes", "registry", "totals"], kinds
            assert os.path.exists(foreign)
        finally:
            os.unlink(foreign)


def case_unfinished():
    """a topic is dropped if the killed daemon was creating or removing it, or if one of its objects is missing or cut"""
    with Daemon() as daemon:
        with Client(daemon.path) as client:
            for i in range(6):
                client.create(f"t{i}", capacity=8)
        daemon.kill()
        states = {1: 1, 2: 3}  # CREATING, REMOVING
        with open(daemon.object("registry"), "r+b") as f:
            for record, state in states.items():
                at = lib.REGISTRY_TOPICS_OFF + record * lib.TOPIC_SIZE
                word = lib.read_word(f.fileno(), at)
                lib.write_word(f.fileno(), at, word & ~0xFF | state)
            ids = [lib.read_word(f.fileno(), lib.REGISTRY_TOPICS_OFF + i * lib.TOPIC_SIZE + 8) for i in range(6)]
        os.unlink(daemon.object(f"log-{ids[3]}"))
        os.truncate(daemon.object(f"cursors-{ids[4]}"), 4096)
        daemon.start()
        assert len([name for name in daemon.objects() if name.startswith("log")]) == 2
        with Client(daemon.path) as client:
            for i in range(1, 5):
                refused(client.remove(f"t{i}"), errno.ENOENT)
            for i in (0, 5):
                assert client.remove(f"t{i}").type == lib.DONE
        assert daemon.stop() == 0
        assert daemon.objects() == []


def case_other_layout():
    """with a registry of another layout version a daemon doesn't start, and changes nothing"""
    with Daemon() as daemon:
        with Client(daemon.path) as client:
            client.create("t")
        daemon.kill()
        with open(daemon.object("registry"), "r+b") as f:
            f.seek(8)
            f.write(struct.pack("<I", 99))
        before = daemon.objects()
        code, text = run_daemon("--socket", daemon.path)
        assert code == 1 and "99" in text and text.count("\n") == 1, (code, text)
        assert daemon.objects() == before


def case_damaged():
    """with a damaged registry a daemon always starts and serves: it drops the registry, or uses the sound records"""
    rng = random.Random(7)
    with Daemon("--log-level", "error", config="[limits]\ntopics = 8\nclients = 8\ngrants = 8\n") as daemon:
        size = os.path.getsize(daemon.object("registry"))
        for turn in range(60):
            with Helper(daemon.path, RELIABLE, "t"), Helper(daemon.path, PUBLISHER, "u"):
                daemon.kill()
                damage(daemon.object("registry"), rng, turn, size)
                daemon.start()
                with Client(daemon.path) as client:
                    assert client.create("new").type in (lib.DONE, lib.ERROR)
        daemon.stop()
        daemon.start()
        assert daemon.stop() == 0
        assert daemon.objects() == [], daemon.objects()


def damage(name, rng, turn, size):
    if turn == 0:
        os.truncate(name, 0)
    elif turn == 1:
        os.truncate(name, size // 2)
    elif turn == 2:
        os.unlink(name)
    else:
        with open(name, "r+b") as f:
            if turn == 3:
                f.write(b"\0" * 8)  # unfinished: no magic
                return
            for _ in range(rng.randint(1, 200)):
                at = rng.randrange(0 if turn % 8 == 0 else 4096, size)
                if 8 <= at < 16:
                    continue  # the layout's version, which case_other_layout() tests
                f.seek(at)
                f.write(bytes([rng.randrange(256)]))


def case_kill_anywhere():
    """after each of many kills under load the successor starts, and in the end nothing is left"""
    with Daemon("--log-level", "error") as daemon:
        for turn in range(12):
            load = subprocess.Popen([sys.executable, "-c", LOAD, os.path.dirname(os.path.abspath(__file__)), daemon.path, str(turn)],
                                    stdout=subprocess.PIPE)
            for _ in range(1 + turn * 7):  # so that each kill hits another moment
                assert load.stdout.readline() != b""
            daemon.kill()
            load.kill()
            load.communicate()
            daemon.start()
            with Client(daemon.path) as client:
                for i in range(4):
                    reply = client.open(PUBLISHER, f"load{i}")
                    assert reply.type == lib.OPENED, reply.text
                    stream = lib.Stream(reply.fds[0])
                    assert stream.open == 1 << reply.record and stream.joins > 0
                    assert stream.died == 0, "no publisher was left, so the stream has begun anew"
                    reply.close()
                    done = client.create(f"load{i}", type_name="load", type_version=1)
                    assert done.type == lib.DONE, f"the type is incomplete: {done.text}"
                    refused(client.create(f"load{i}", type_name="other"), errno.EEXIST, "'load' version 1")
        assert daemon.stop() == 0
        assert daemon.objects() == [], daemon.objects()


LOAD = """
import random, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import daemon_lib as lib
rng = random.Random(int(sys.argv[3]))
client = lib.Client(sys.argv[2], "load")
held = []
try:
    while True:
        topic = f"load{rng.randrange(4)}"
        what = rng.randrange(4)
        if what == 0:
            client.remove(topic).close()
        elif what == 1 and held:
            client.give_back(held.pop()).close()
        else:
            reply = client.open(rng.randrange(1, 4), topic, capacity=8, max_message=5000, type_name="load", type_version=1)
            if reply.type == lib.OPENED:
                held.append(reply.grant_id)
            reply.close()
        print(what, flush=True)
except (AssertionError, OSError):
    while True:
        print("over", flush=True)
"""


def case_limits_kept():
    """after kill -9 the registry's limits stay in effect, and the log says so; after a clean stop new limits apply"""
    with Daemon(config="[limits]\ntopics = 3\n") as daemon:
        client = Client(daemon.path)
        client.create("t", capacity=8)
        daemon.kill()
        with open(os.path.join(daemon.dir, "conf"), "w", encoding="utf-8") as f:
            f.write("[limits]\ntopics = 1\n")
        daemon.start()
        assert "limits" in daemon.log()
        client.end()
        with Client(daemon.path) as client:
            assert client.create("u", capacity=8).type == lib.DONE
        daemon.stop()
        daemon.start()
        with Client(daemon.path) as client:
            assert client.create("t", capacity=8).type == lib.DONE
            refused(client.create("u", capacity=8), errno.EUSERS, 1)


# ---- no room ----


def small_shm():
    """A wrapper that gives a daemon a /dev/shm of 4 MiB, of which a registry with the default limits takes 3.2."""
    script = 'mount -t tmpfs -o size=4m,mode=1777 tmpfs /dev/shm && exec "$@"'
    probe = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", "true"], stderr=subprocess.DEVNULL, check=False)
    if probe.returncode != 0:
        raise Skip("no permission to mount")
    return ["unshare", "-m", "sh", "-c", script, "sh"]


def case_no_room_for_statistics():
    """without room for statistics or totals a request is refused with a text, and leaves nothing behind"""
    with Daemon(wrapper=small_shm()) as daemon, Client(daemon.path) as client:
        shm = f"/proc/{daemon.pid}/root/dev/shm"
        assert client.create("t", capacity=8).type == lib.DONE
        refused(client.remove("u"), errno.ENOENT)  # by now nothing of the requests before is under way
        with open(os.path.join(shm, "filler"), "wb") as f:
            fs = os.statvfs(shm)
            os.posix_fallocate(f.fileno(), 0, fs.f_bavail * fs.f_frsize - 4096)
        before = set(os.listdir(shm))
        for role in (BEST_EFFORT, RELIABLE):
            refused(client.open(role, "t"), errno.ENOSPC, "no statistics for topic 't'", "needs 8 KiB, 4 KiB free", "/dev/shm")
        refused(client.create("new", capacity=8), errno.ENOSPC, "totals", "needs 8 KiB, 4 KiB free")
        sock = lib.connect(daemon.path)
        sock.send(lib.hello())
        refused(lib.receive(sock), errno.ENOSPC, "stats-")
        sock.close()
        assert set(os.listdir(shm)) == before
        publisher = client.open(PUBLISHER, "t")  # needs no more than that page
        assert publisher.type == lib.OPENED, publisher.text
        refused(client.open(PUBLISHER, "t"), errno.ENOSPC, "no statistics")
        os.unlink(os.path.join(shm, "filler"))
        replies = [publisher] + [client.open(role, "t") for role in (BEST_EFFORT, RELIABLE)]
        assert [reply.stats for reply in replies] == [0, 1, 2]
        assert lib.Stream(publisher.fds[0]).joins == 1
        for reply in replies:
            reply.close()
            assert client.give_back(reply.grant_id).type == lib.DONE
        assert client.create("new", capacity=8).type == lib.DONE
        assert client.remove("t").type == lib.DONE
        with Client(daemon.path) as later:
            assert later.create("more", capacity=8).type == lib.DONE


def case_small_shm():
    """a topic that is too large for /dev/shm is refused with a text that names the sizes; smaller topics still work"""
    with Daemon(wrapper=small_shm()) as daemon, Client(daemon.path) as client:
        refused(client.create("big", max_message=1016, capacity=4096), errno.ENOSPC, "MiB", "/dev/shm")
        fitting = []
        while True:  # fill it up
            reply = client.open(PUBLISHER, f"t{len(fitting)}", max_message=1016, capacity=128)
            if reply.type == lib.ERROR:
                break
            fitting.append(reply)
        refused(reply, errno.ENOSPC, "/dev/shm")
        assert fitting
        sock = lib.connect(daemon.path)
        sock.send(lib.hello())
        late = lib.receive(sock)  # a token needs a page: if there is no room for it, the text must say so
        assert late.type == lib.WELCOME or late.code == -errno.ENOSPC
        late.close()
        for i, reply in enumerate(fitting):
            reply.close()
            client.give_back(reply.grant_id)
            assert client.remove(f"t{i}").type == lib.DONE
        assert client.create("again", max_message=1016, capacity=128).type == lib.DONE
        # There is room for the ring, but not for a lane.
        subscriber = client.open(BEST_EFFORT, "large", max_message=1 << 20, capacity=64)
        assert subscriber.type == lib.OPENED, subscriber.text
        refused(client.open(PUBLISHER, "large"), errno.ENOSPC, "'large'", "lane", "needs 8 MiB", "/dev/shm")
        assert lib.Stream(subscriber.fds[0]).joins == 0
        assert os.fstat(subscriber.fds[0]).st_size == 20480, "it still waits for a publisher"
        subscriber.close()


class Group:
    """A memory control group for this test."""

    def __init__(self, limit):
        with open("/proc/self/cgroup", encoding="utf-8") as f:
            lines = [line.rstrip("\n").split(":", 2) for line in f]
        v1 = next((path for _, names, path in lines if "memory" in names.split(",")), None)
        v2 = next((path for _, names, path in lines if names == ""), None)
        if v1 is not None:
            base, self.limit_file, self.oom_file = "/sys/fs/cgroup/memory" + v1, "memory.limit_in_bytes", "memory.oom_control"
        elif v2 is not None:
            base, self.limit_file, self.oom_file = "/sys/fs/cgroup" + v2, "memory.max", "memory.events"
        else:
            raise Skip("no memory control groups")
        self.path = os.path.join(base, f"aether-test-{os.getpid()}")
        try:
            os.mkdir(self.path)
        except OSError as error:
            raise Skip(f"no permission to make a control group: {error.strerror}") from error
        try:
            with open(os.path.join(self.path, self.limit_file), "w", encoding="utf-8") as f:
                f.write(str(limit))
        except OSError as error:
            os.rmdir(self.path)
            raise Skip(f"no memory controller here: {error.strerror}") from error

    def kills(self):
        with open(os.path.join(self.path, self.oom_file), encoding="utf-8") as f:
            return sum(int(line.split()[1]) for line in f if line.split()[0] == "oom_kill")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        await_true(self.removed, "the control group is empty")

    def removed(self):
        try:
            os.rmdir(self.path)
            return True
        except OSError:
            return False


def case_memory_group():
    """a topic that is too large for the memory control group is refused with the group's name; there is no OOM kill"""
    with Group(48 << 20) as group:
        script = f'echo $$ >{group.path}/cgroup.procs && exec "$@"'
        with Daemon(wrapper=["sh", "-c", script, "sh"]) as daemon, Client(daemon.path) as client:
            refused(client.create("big", max_message=4088, capacity=16384), errno.ENOMEM, "MiB", os.path.basename(group.path))
            assert client.create("small", capacity=8).type == lib.DONE
            assert group.kills() == 0
            assert daemon.process.poll() is None


lib.run([value for name, value in list(globals().items()) if name.startswith("case_")])
