#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""For the tests of aetherd: TAP, private daemons, and a client that is written from docs/protocol.md alone.

Run as a program, daemon_lib.py SOCKET ROLE TOPIC, it is a client in a process of its own, which a test can kill: it
opens the topic, prints its client id, grant id and record, and runs until its stdin ends.
"""
import array
import ctypes
import errno
import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

AETHERD = os.environ.get("AETHERD", "aetherd")
DEADLINE_S = 60  # an expected event that takes longer is a failure
HANG_S = 900  # a program that doesn't end by itself in this time hangs, however much it has to do and however busy the machine is

VERSION = 5
HELLO, WELCOME, OPEN, OPENED, CLOSE, CREATE, REMOVE, SHUTDOWN, DONE, ERROR, LOOK, OBJECT = range(1, 13)
PUBLISHER, RELIABLE, BEST_EFFORT = 1, 2, 3
EXISTING = 1
LOOK_INSTANCE, LOOK_LOG, LOOK_CURSORS, LOOK_STATS, LOOK_TOTALS = range(5)
PACKET_MAX = 1024
CURSORS_BYTES, NOTES_BYTES = 12288, 4096
FD_LOG, FD_STATS, FD_NOTES, FD_CURSORS = range(4)
ACTIVE_OFF, RECORDS_OFF, RECORD_SIZE = 128, 512, 128
CLAIM_OFF, POSITION_OFF, WAKE_OFF, EVICT_OFF = 128, 136, 256, 1024
CLAIM_NOBODY = 0x3FFF
OPEN_OFF, DIED_OFF, JOINS_OFF, UNFENCED_OFF, SUBSCRIBERS_OFF = 384, 392, 400, 408, 416
STATS_RECORDS_OFF, STATS_RECORD_SIZE, STATS_PUBLISHER_SIZE = 4096, 8192, 4096
STATS_MAGIC, TOTALS_MAGIC = 0x0031415453524541, 0x00314D5553524541
TOTALS_RECORDS_OFF, TOTALS_RECORD_SIZE = 12288, 8192
REGISTRY_TOPICS_OFF, TOPIC_SIZE, CLIENT_SIZE, GRANT_SIZE = 4096, 1024, 128, 256
LIVE = 2


class Skip(Exception):
    """The case can't run here."""


def await_true(condition, what):
    """Polls a condition until it is true; returns its value."""
    end = time.monotonic() + DEADLINE_S
    while True:
        over = time.monotonic() > end  # before the last poll: a pause of this process fails no test
        value = condition()
        if value:
            return value
        if over:
            raise AssertionError(f"not within {DEADLINE_S} s: {what}")
        time.sleep(0.005)


def run(cases):
    """Runs the functions as TAP cases and ends the program."""
    failures = 0
    print(f"1..{len(cases)}", flush=True)
    for number, case in enumerate(cases, 1):
        name = f"{number} - {case.__doc__.strip().splitlines()[0]}"
        try:
            case()
            print(f"ok {name}", flush=True)
        except Skip as skip:
            print(f"ok {name} # SKIP {skip}", flush=True)
        except Exception:  # whatever it is, only this case has failed: the others run
            failures += 1
            print(f"not ok {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if failures else 0)


# ---- the protocol ----


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<H", len(data)) + data


def packet(kind, body=b"", request=1, version=VERSION):
    return struct.pack("<HHII", kind, version, request, 12 + len(body)) + body


def hello(name="test", resume=(0, 0, 0, 0), request=1, version=VERSION):
    return packet(HELLO, struct.pack("<QQQQ", *resume) + string(name), request, version)


def topic_request(topic, max_message=0, capacity=0, start_seq=0, preset=0, inline_max=0, lane_bytes=0, slow=0, evict_lag=0,
                  publishers=0, latency=0, type_name="", type_version=0, type_size=0):
    return (string(topic) +
            struct.pack("<QQQQQQIIIIII", max_message, inline_max, capacity, lane_bytes, evict_lag, start_seq, preset,
                        publishers, slow, latency, type_version, type_size) + string(type_name))


class Reply:
    def __init__(self, data, fds):
        self.fds = fds
        self.type, self.version, self.request, length = struct.unpack_from("<HHII", data)
        assert length == len(data), "the packet says its own length"
        body = data[12:]
        if self.type == WELCOME:
            self.client_id, n0, n1, self.resumed, self.pid = struct.unpack("<QQQII", body)
            self.nonce = (n0, n1)
        elif self.type == OPENED:
            fields = struct.unpack("<QQIIIIQQQQQQQQQQIIII", body)
            self.grant_id, self.topic_id, self.role, self.record, self.stats, self.shape, self.registry_off = fields[:7]
            (self.log_bytes, self.cursors_bytes, self.slots_off, self.stamps_off, self.lanes_off, self.lane_bytes, self.capacity,
             self.start_seq, self.evict_lag, self.slot_size, self.max_message, self.publishers, self.latency) = fields[7:]
        elif self.type == OBJECT:
            self.pid, self.uid, self.bytes, length = struct.unpack_from("<IIQH", body)
            self.prefix, rest = body[18:18 + length].decode(), body[18 + length:]
            assert struct.unpack_from("<H", rest)[0] == len(rest) - 2
            self.socket_path = rest[2:].decode()
        elif self.type == ERROR:
            self.code, length = struct.unpack_from("<iH", body)
            self.text = body[6:].decode(errors="replace")  # it may quote the name of a topic, which can be any bytes
            assert len(body) == 6 + length
        else:
            assert self.type == DONE and body == b"", f"message type {self.type} isn't a reply"

    def geometry_matches(self, other):
        names = ("log_bytes", "cursors_bytes", "slots_off", "stamps_off", "lanes_off", "lane_bytes", "capacity", "start_seq",
                 "evict_lag", "slot_size", "max_message", "publishers", "latency")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []


def receive(sock):
    """One packet with its fds; None at the end of the connection."""
    try:
        data, ancillary, flags, _ = sock.recvmsg(PACKET_MAX, socket.CMSG_SPACE(5 * 4))
    except ConnectionResetError:
        return None
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[:len(content) // fds.itemsize * fds.itemsize])
    assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
    return Reply(data, list(fds)) if data else None


class Token:
    """A token as a client holds it: mapped, with its fd closed. mmap.mmap() would keep a copy of the fd."""

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def __init__(self, fd):
        self.base = self.libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        assert self.base not in (None, ctypes.c_void_p(-1).value), "the token can be mapped"
        os.close(fd)

    def drop(self):
        if self.base is not None:
            self.libc.munmap(self.base, 4096)
        self.base = None


class Client:
    """A client in the test's own process."""

    def __init__(self, path, name="test", resume=None):
        self.path, self.name, self.sequence, self.token = path, name, 0, None
        self.connect(resume)

    def connect(self, resume=None):
        self.sock = connect(self.path)
        self.sock.send(hello(self.name, resume or (0, 0, 0, 0)))
        self.welcome = receive(self.sock)
        assert self.welcome is not None and self.welcome.type == WELCOME, getattr(self.welcome, "text", "closed")
        if self.welcome.fds:
            assert not self.welcome.resumed and len(self.welcome.fds) == 1
            if self.token is not None:
                self.token.drop()
            self.token = Token(self.welcome.fds.pop())
        self.id, self.nonce = self.welcome.client_id, self.welcome.nonce

    def resume(self, last_grant):
        """Connects again as the same client."""
        self.sock.close()
        self.connect((self.id, *self.nonce, last_grant))

    def ask(self, kind, body=b""):
        self.sequence += 1
        self.sock.send(packet(kind, body, self.sequence))
        reply = receive(self.sock)
        assert reply is not None, "the connection is open"
        assert reply.request == self.sequence, "the reply repeats the request's id"
        return reply

    def open(self, role, topic, flags=0, **config):
        return self.ask(OPEN, struct.pack("<II", role, flags) + topic_request(topic, **config))

    def look(self, kind, number=0):
        return self.ask(LOOK, struct.pack("<IQ", kind, number))

    def create(self, topic, **config):
        return self.ask(CREATE, topic_request(topic, **config))

    def remove(self, topic):
        return self.ask(REMOVE, string(topic))

    def give_back(self, grant_id):
        return self.ask(CLOSE, struct.pack("<Q", grant_id))

    def end(self):
        """Drops the token first, so that the client is dead when its connection ends."""
        if self.token is not None:
            self.token.drop()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()


def connect(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(DEADLINE_S)
    sock.connect(path)
    return sock


def refused(reply, code, *words):
    """Asserts that the reply is an ERROR with this code and with the words in its text."""
    assert reply is not None, "the connection ended without a reply"
    reply.close()
    assert reply.type == ERROR, f"message type {reply.type} where an ERROR was due"
    assert reply.code == -code, f"{errno.errorcode.get(-reply.code)}: {reply.text}"
    for word in words:
        assert str(word) in reply.text, f"'{word}' isn't in '{reply.text}'"


def closed(sock):
    """Waits until the daemon has ended the connection, and drops the replies that arrive before."""
    try:
        while True:
            reply = receive(sock)
            if reply is None:
                return True
            reply.close()
    except socket.timeout:
        return False


def read_word(fd, off):
    return struct.unpack("<Q", os.pread(fd, 8, off))[0]


def write_word(fd, off, value):
    assert os.pwrite(fd, struct.pack("<Q", value), off) == 8


class Stream:
    """The stream block of a topic, read through a descriptor of its log."""

    def __init__(self, fd):
        self.open, self.died = read_word(fd, OPEN_OFF), read_word(fd, DIED_OFF)
        self.joins, self.unfenced = read_word(fd, JOINS_OFF), read_word(fd, UNFENCED_OFF)
        self.subscribers = read_word(fd, SUBSCRIBERS_OFF)
        self.wake = read_word(fd, WAKE_OFF)


# ---- processes ----


class Helper:
    """A client in a process of its own."""

    def __init__(self, path, role, topic):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), path, str(role), topic],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline().split()
        assert len(line) == 3, "the helper has opened its topic"
        self.client_id, self.grant_id, self.record = (int(word) for word in line)

    @property
    def pid(self):
        return self.process.pid

    def end(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()


def helper_main(path, role, topic):
    client = Client(path, "helper")
    reply = client.open(int(role), topic)
    assert reply.type == OPENED, getattr(reply, "text", reply.type)
    if reply.role == RELIABLE:
        active = read_word(reply.fds[FD_CURSORS], ACTIVE_OFF)
        write_word(reply.fds[FD_CURSORS], ACTIVE_OFF, active | 1 << reply.record)
    print(client.id, reply.grant_id, reply.record, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


class Daemon:
    """A private daemon. At the end, what it and its successors left in /dev/shm is removed."""

    def __init__(self, *options, config=None, start=True, wrapper=()):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="aether-test-"))
        self.path = os.path.join(self.dir, "d.sock")
        self.prefix = f"aether-{os.geteuid()}-{fnv(self.path.encode()):016x}."
        self.log_path = os.path.join(self.dir, "log")
        self.options = list(options)
        self.wrapper = list(wrapper)
        self.process = None
        if config is not None:
            name = os.path.join(self.dir, "conf")
            with open(name, "w", encoding="utf-8") as f:
                f.write(config)
            self.options += ["--config", name]
        if start:
            self.start()

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.wrapper + [AETHERD, "--socket", self.path] + self.options,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self):
        """Starts a daemon, also after one was killed, and waits until it serves."""
        old = self.socket_inode()
        self.spawn()
        await_true(lambda: self.serves(old), "the daemon listens")

    def socket_inode(self):
        return os.stat(self.path).st_ino if os.path.exists(self.path) else None

    def serves(self, old):
        """Is there a new socket? aetherd gives it its name only when it can be connected to."""
        assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}: {self.log()}"
        return self.socket_inode() not in (None, old)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self, number=signal.SIGTERM):
        """Ends the daemon and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(HANG_S)

    def kill(self):
        self.stop(signal.SIGKILL)

    def objects(self):
        """Names of the daemon's objects in /dev/shm, without their prefix."""
        return sorted(name[len(self.prefix):] for name in os.listdir("/dev/shm") if name.startswith(self.prefix))

    def object(self, name):
        return os.path.join("/dev/shm", self.prefix + name)

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def proc(self, key):
        """A number from /proc/PID/status."""
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as f:
            return next(int(line.split()[1]) for line in f if line.startswith(key + ":"))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process is not None:
            self.stop(signal.SIGKILL)
        for name in self.objects():
            os.unlink(self.object(name))
        shutil.rmtree(self.dir)


if __name__ == "__main__":
    helper_main(*sys.argv[1:])
