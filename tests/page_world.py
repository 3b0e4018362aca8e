#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for aether-metrics: serves the web page's sources, and documents about an instance that doesn't exist.

    page_world.py PORT      serves a busy instance in real time, to work on the page

The documents are as aether-metrics(8) describes them. They advance by one second with each request for all topics.
"""
import base64
import http.server
import json
import math
import os
import pathlib
import random
import re
import socket
import sys
import threading
import time
import urllib.parse

SOURCE = pathlib.Path(os.environ.get("SOURCE", pathlib.Path(__file__).parent.parent))
PAGE = SOURCE / "src" / "export" / "page"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".svg": "image/svg+xml"}
REASONS = ["ring", "lane", "retained", "evicted"]


def policy():
    """The Content-Security-Policy, from page.h."""
    text = (SOURCE / "src" / "export" / "page.h").read_text()
    definition = re.search(r"#define AE_PAGE_POLICY((?:.*\\\n)*.*)", text).group(1)
    return "".join(re.findall(r'"([^"]*)"', definition))


# ---- latencies ----


def floor_of(i):
    """aether_latency_floor()."""
    return i if i < 16 else (16 + i % 16) << (i // 16 - 1)


def bucket_of(ns):
    ns = int(ns)
    if ns < 16:
        return ns
    power = ns.bit_length() - 5
    return 16 * (power + 1) + (ns >> power) - 16


class Latency:
    def __init__(self):
        self.buckets, self.samples, self.odd = {}, 0, [0, 0, 0]

    def add(self, ns, n):
        i = min(623, bucket_of(ns))
        self.buckets[i] = self.buckets.get(i, 0) + n
        self.samples += 1

    def merge(self, other):
        for i, n in other.buckets.items():
            self.buckets[i] = self.buckets.get(i, 0) + n
        self.samples += other.samples

    def quantile(self, q):
        total, at = sum(self.buckets.values()), 0
        for i in sorted(self.buckets):
            at += self.buckets[i]
            if at >= q * total and at > 0:
                return (floor_of(i) + floor_of(i + 1) - 1) / 2
        return None

    def json(self, full=False):
        doc = {"count": sum(self.buckets.values()), "samples": self.samples, "negative": self.odd[0], "missed": self.odd[1],
               "overflow": self.odd[2], "p50_ns": self.quantile(0.5), "p90_ns": self.quantile(0.9),
               "p99_ns": self.quantile(0.99), "p999_ns": self.quantile(0.999), "max_ns": self.quantile(1)}
        if full:
            doc["buckets"] = [[floor_of(i + 1), self.buckets[i]] for i in sorted(self.buckets)]
        return doc


# ---- the instance ----


def named(key, name):
    """A name as the document has it."""
    data = name if isinstance(name, bytes) else name.encode()
    try:
        return {key: data.decode()}
    except UnicodeDecodeError:
        return {f"{key}_b64": base64.b64encode(data).decode()}


class Client:
    def __init__(self, world, name, process="S"):
        world.ids += 1
        self.id, self.name, self.pid, self.process = world.ids, name, 700 + 13 * world.ids % 9000, process

    def owner(self, grant):
        return {"grant_id": grant, "client_id": self.id, **named("client", self.name), "pid": self.pid,
                "process": self.process}


class Peer:
    def __init__(self, world, client):
        world.ids += 1
        self.client, self.grant = client, world.ids


class Publisher(Peer):
    def __init__(self, world, client, rate=0, size=64):
        super().__init__(world, client)
        self.rate, self.size, self.published, self.full, self.stalls, self.stall_ns = rate, size, 0, 0, 0, 0
        self.waits, self.waited_ns, self.waits_subscriber, self.waits_publisher = "nothing", 0, None, None

    def json(self):
        return {**self.client.owner(self.grant), "joined": 0, "next": self.published, "published": self.published,
                "published_bytes": self.published * self.size, "batches": 0, "full": self.full, "stalls": self.stalls,
                "stall_ns": self.stall_ns, "stall_longest_ns": self.stall_ns // 2, "retries": 0, "wakes": 3, "loans": 0,
                "lane_bytes": 0, "lane_used_bytes": 0, "waits": self.waits, "waited_ns": self.waited_ns,
                "tried_ns": None if self.waits == "nothing" else 800, "waits_subscriber": self.waits_subscriber,
                "waits_publisher": self.waits_publisher}


class Subscriber(Peer):
    def __init__(self, world, client, policy="reliable", median_ns=2000, lag=0):
        super().__init__(world, client)
        self.policy, self.median_ns, self.lag, self.state, self.age_ns = policy, median_ns, lag, "behind", 0
        self.delivered, self.aborted, self.skipped, self.lost = 0, 0, 0, dict.fromkeys(REASONS, 0)
        self.latency, self.loses, self.stopped, self.holds_up, self.held_up_ns = Latency(), 0, False, 0, 0

    @property
    def accounted(self):
        return self.delivered + self.aborted + self.skipped + sum(self.lost.values())

    def json(self, full):
        return {**self.client.owner(self.grant), "policy": self.policy, "state": self.state, "joined": 0,
                "next": self.accounted, "delivered": self.delivered, "delivered_bytes": 64 * self.delivered,
                "lost": sum(self.lost.values()), "lost_by": self.lost, "gaps": 0, "aborted": self.aborted,
                "skipped": self.skipped, "evictions": int(self.state == "evicted"), "lag": self.lag, "age_ns": self.age_ns,
                "received_ns": 1000, "sleeps": 10, "woken": 9, "holds_up": self.holds_up, "held_up_ns": self.held_up_ns,
                "latency": self.latency.json(full)}


class Topic:
    def __init__(self, world, name, capacity=16384, type_name=""):
        world.ids += 1
        self.id, self.name, self.capacity, self.type_name = world.ids, name, capacity, type_name
        self.created_ns = world.now_ns - world.random.randrange(10**12, 10**14)
        self.publishers, self.subscribers, self.departed = [], [], []

    def json(self, full):
        pubs, subs = self.publishers, self.subscribers
        latency = Latency()
        for s in subs:
            latency.merge(s.latency)
        total = lambda key: sum(getattr(s, key) for s in subs)
        waiting = [p.waited_ns for p in pubs if p.waits != "nothing"]
        return {**named("topic", self.name), "id": self.id, "created_ns": self.created_ns, "capacity": self.capacity,
                "slot_size": 64, "max_message": 56, "inline_max": 56, "lane_bytes": 0, "evict_lag": 0, "start_seq": 0,
                "next_seq": sum(p.published for p in pubs), "publishers_mode": "shared", "slow": "wait",
                "memory_bytes": self.capacity * 72, "type_name": self.type_name, "type_version": 1, "type_size": 0,
                "published": sum(p.published for p in pubs), "published_bytes": sum(p.published * p.size for p in pubs),
                "waiting": len(waiting), "waited_ns": max(waiting, default=0), "delivered": total("delivered"),
                "delivered_bytes": 64 * total("delivered"), "lost": sum(sum(s.lost.values()) for s in subs),
                "lost_by": {r: sum(s.lost[r] for s in subs) for r in REASONS}, "gaps": 0, "aborted": total("aborted"),
                "skipped": total("skipped"), "accounted": total("accounted"), "lag": max((s.lag for s in subs), default=0),
                "age_ns": max((s.age_ns for s in subs if s.age_ns is not None), default=0),
                "stuck": sum(s.state == "stuck" for s in subs), "latency": latency.json(full),
                "publishers": [p.json() for p in pubs], "subscribers": [s.json(full) for s in subs],
                "departed": self.departed}


class World:
    def __init__(self, draws=400):
        self.random, self.draws = random.Random(1), draws  # draws: samples of latency a subscriber and second
        self.ids, self.time_ns, self.now_ns = 100, 5 * 10**12, time.time_ns()
        self.running, self.stopped, self.topics = True, False, []
        self.left_out, self.other = 0, None
        self.on_step = []  # called with this world
        self.problems = []  # as the server says them, the worst first

    def topic(self, name, **more):
        topic = Topic(self, name, **more)
        self.topics.append(topic)
        return topic

    def problem(self, topic, kind, text):
        self.problems.append((topic, {**named("topic", topic.name), "kind": kind, "text": text}))

    def client(self, name, process="S"):
        return Client(self, name, process)

    def step(self, seconds=1.0):
        self.time_ns += int(seconds * 1e9)
        self.now_ns += int(seconds * 1e9)
        for call in self.on_step:
            call(self)
        for topic in self.topics:
            published = 0
            for p in topic.publishers:
                if p.waits == "nothing":
                    n = int(p.rate * seconds * self.random.uniform(0.93, 1.05) + self.random.random())
                    p.published += n
                    published += n
                else:
                    p.waited_ns += int(seconds * 1e9)
                    p.stall_ns += int(seconds * 1e9)
            for s in topic.subscribers:
                self.receive(s, published, seconds)

    def receive(self, s, published, seconds):
        if s.state == "stuck" or s.stopped:
            s.lag += published
            s.age_ns = (s.age_ns or 0) + int(seconds * 1e9)
            return
        lost = min(published, int(s.loses * seconds * self.random.uniform(0.3, 1.7)))
        s.lost["ring"] += lost
        s.delivered += published - lost
        s.lag = 0 if published == 0 else int(self.random.expovariate(1 / 12))
        s.age_ns = 0 if s.lag == 0 else int(s.lag * 900)
        s.state = s.state if s.state == "evicted" else "behind" if s.lag else "idle"
        draws = min(self.draws, published - lost)
        for _ in range(draws):
            ns = s.median_ns * math.exp(self.random.gauss(0, 0.35))
            if self.random.random() < 0.02:
                ns *= self.random.uniform(4, 60)
            s.latency.add(ns, max(1, (published - lost) // draws))

    def document(self, only=None):
        topics = self.topics if only is None else [t for t in self.topics if raw_name(t) == only]
        clients = {p.client for t in self.topics for p in t.publishers + t.subscribers}
        return {"version": "1.2.3", "time_ns": self.time_ns, "error": None,
                "instance": {"socket": "/run/user/0/aether/aetherd.sock", "pid": 4711, "now_ns": self.now_ns,
                             "running": self.running, "stopped": self.stopped,
                             "started_ns": self.now_ns - 10**13, "topics": len(self.topics),
                             "topics_max": 4096, "clients": len(clients), "clients_max": 1024, "memory_bytes": 73 << 20,
                             "publishers": sum(len(t.publishers) for t in self.topics),
                             "subscribers": sum(len(t.subscribers) for t in self.topics)},
                "topics": [t.json(only is not None) for t in topics], "topics_left_out": self.left_out, "other": self.other,
                "problems": [p for t, p in self.problems if only is None or raw_name(t) == only], "clients": [], "clients_left_out": 0}


def raw_name(topic):
    return topic.name if isinstance(topic.name, bytes) else topic.name.encode()


# ---- the server ----


class Server:
    """mode: "live", "down" (connections end without an answer), "error" (503), "broken" (not JSON), "frozen" (no new
    reading), or "unreadable" (an answer that says why no instance can be read)."""

    def __init__(self, world, port=0, real_time=False):
        self.world, self.mode, self.lock, self.asked, self.seen = world, "live", threading.Lock(), 0, []
        self.real_time, self.at = real_time, time.monotonic()
        self.override = None  # called with the query instead of the world: returns the document
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request):
        path, _, query = request.path.partition("?")
        path = path.removeprefix("/below/a/proxy")
        with self.lock:
            self.seen.append(request.path)
            if self.mode == "down":
                request.connection.shutdown(socket.SHUT_RDWR)
                return
            if path == "/api/topics.json":
                status, kind, data = self.api(query)
            else:
                status, kind, data = self.file(path)
        request.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", len(data)), ("Content-Security-Policy", policy()),
                            ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
                            ("Cache-Control", "no-cache")):
            request.send_header(name, str(value))
        try:
            request.end_headers()
            request.wfile.write(data)
        except OSError:
            pass  # the browser doesn't wait for an answer when it leaves

    def file(self, path):
        names = {"/": "index.html", "/favicon.ico": "icon.svg"}
        file = PAGE / names.get(path, path[1:])
        if "/" in path[1:] or not file.is_file() or file.suffix not in TYPES:
            return 404, "text/plain", b"there is no such page\n"
        return 200, TYPES[file.suffix], file.read_bytes()

    def api(self, query):
        if self.mode == "error":
            return 503, "text/plain", b"no instance at <b>/run/aether</b>\n"
        if self.mode == "broken":
            return 200, "application/json", b'{"topics": ['
        if self.mode == "unreadable":
            doc = {"time_ns": 1, "error": "another layout version: 9", "instance": None, "topics": []}
            return 200, "application/json", json.dumps(doc).encode()
        if self.override is not None:
            self.asked += not query
            return 200, "application/json", json.dumps(self.override(query)).encode()
        only = None
        if query:
            only = urllib.parse.unquote_to_bytes(query.removeprefix("topic="))
            if len(only) > 255:
                return 400, "text/plain", b"the name of a topic has 1 to 255 bytes, not 0\n"
        elif self.mode != "frozen":
            now = time.monotonic()
            self.world.step(now - self.at if self.real_time else 1.0)
            self.at = now
            self.asked += 1
        return 200, "application/json", json.dumps(self.world.document(only)).encode()


# ---- a busy instance ----


def busy(draws=400):
    """Some topics as a trading desk and a robot would have them, with three kinds of trouble."""
    w = World(draws)
    feed, feed2 = w.client("feed-eurex"), w.client("feed-xetra")
    risk, book, gui, rec = w.client("risk", "T"), w.client("book-builder"), w.client("gui"), w.client("recorder")
    quoter, strat, alert = w.client("quoter"), w.client("strategy-7"), w.client("alerter")
    lidar, camera, slam, plan = w.client("lidar"), w.client("camera-front"), w.client("slam"), w.client("planner")

    def topic(name, pubs, subs, **more):
        t = w.topic(name, **more)
        t.publishers = [Publisher(w, c, rate, size) for c, rate, size in pubs]
        t.subscribers = [Subscriber(w, c, policy, ns) for c, policy, ns in subs]
        return t

    topic("market/eurex/trades", [(feed, 1_240_000, 48)], [(book, "reliable", 900), (rec, "best-effort", 4200),
          (strat, "reliable", 1100), (gui, "latest", 60_000)], type_name="Trade")
    topic("market/xetra/trades", [(feed2, 412_000, 48)], [(book, "reliable", 950), (rec, "best-effort", 5100)], type_name="Trade")
    topic("market/eurex/book", [(book, 88_300, 512)], [(quoter, "reliable", 1400), (gui, "latest", 90_000), (alert, "reliable", 3000)])
    topic("orders/out", [(quoter, 1_730, 128), (strat, 640, 128)], [(risk, "reliable", 2500), (rec, "reliable", 7000)], type_name="Order")
    topic("orders/acks", [(risk, 0, 96)], [(quoter, "reliable", 2000), (strat, "reliable", 2100)])
    topic("sensors/lidar/points", [(lidar, 10, 180_000)], [(slam, "reliable", 240_000), (rec, "reliable", 400_000)], capacity=64)
    topic("sensors/camera/front", [(camera, 30, 920_000)], [(slam, "best-effort", 310_000), (gui, "latest", 900_000)], capacity=32)
    topic("robot/pose", [(slam, 200, 96)], [(plan, "reliable", 6000), (gui, "best-effort", 21_000), (rec, "reliable", 9000)])
    topic("robot/commands", [(plan, 50, 64)], [(rec, "reliable", 8000)])
    topic("alerts", [(alert, 0.4, 200)], [(gui, "reliable", 12_000)])
    topic("config/reload", [], [(plan, "reliable", 9000), (quoter, "reliable", 8000)])

    trades, orders = w.topics[0], w.topics[3]
    trades.subscribers[1].loses = 2400
    w.topics[8].departed = [{**plan.owner(77), "role": "reliable", "died": True, "evicted": False, "left_ns": w.now_ns - 4 * 10**9, "ago_ns": 4 * 10**9,
                             "delivered": 51_022, "lost": 0, "aborted": 0, "skipped": 0}]
    orders.departed = [
        {**w.client("strategy-6").owner(66), "role": "publisher", "died": True, "evicted": False,
         "left_ns": w.now_ns - 95 * 10**9, "ago_ns": 95 * 10**9, "published": 1_204_511, "full": 12, "stall_ns": 81_000_000},
        {**w.client("shell").owner(65), "role": "best-effort", "died": False, "evicted": False,
         "left_ns": w.now_ns - 3000 * 10**9, "ago_ns": 3000 * 10**9, "delivered": 801, "lost": 93, "aborted": 0, "skipped": 0}]
    state = {"t": 0}

    def act(world):
        state["t"] += 1
        t = state["t"]
        world.problems.clear()
        for p in trades.publishers:
            p.rate = 1_240_000 * (1 + 0.35 * math.sin(t / 23) + 0.1 * math.sin(t / 5))
        trades.subscribers[0].median_ns = 900 * (1 + 2.2 * (40 < t % 110 < 58))
        orders.subscribers[1].median_ns = 7000 * (1 + 4 * (20 < t % 90 < 31))
        trades.subscribers[1].loses = 2400 if t % 37 < 9 else 0
        if trades.subscribers[1].loses:
            world.problem(trades, "loses", f"subscriber recorder (pid {rec.pid}) loses messages, 2.40 k/s: it was more than "
                          "the ring behind")
        stuck = orders.subscribers[0]
        if t % 160 >= 112:
            stuck.state = "stuck"
            world.problem(orders, "stuck", f"subscriber risk (pid {risk.pid}), which is stopped, is stuck: {stuck.lag:,} messages "
                          "wait")
            if stuck.lag >= 6_000:
                for i, p in enumerate(orders.publishers):
                    if p.waits == "nothing":
                        p.stalls += 1
                        p.waited_ns = 200_000_000 * i
                    p.waits, p.waits_subscriber, p.full = "subscriber", 0, p.full + 9000
                stuck.holds_up, stuck.held_up_ns = 2, orders.publishers[0].waited_ns
        elif stuck.state == "stuck":
            stuck.state, stuck.holds_up, stuck.held_up_ns = "behind", 0, 0
            for p in orders.publishers:
                p.waits, p.waits_subscriber, p.waited_ns = "nothing", None, 0

    w.on_step.append(act)
    return w


# ---- the widest figures ----

MINUTES, DAY = 3_599 * 10**9, 86_340 * 10**9  # "59 min 59 s", the widest latency, and "23 h 59 min", the widest time
FRACTION = 99_900_000                         # a second: "99.9 M/s"
FLOW = 1023 << 30                             # a second: "1023 GiB/s"
COUNT = 999_999                               # "999,999": larger ones are "1.00 M"
SIZE = 1023 << 10                             # "1023 KiB"
PID = 4_194_304                               # the kernel's largest


class Widest(World):
    """Topics each of whose figures is as wide as it can be, with a short and a long name."""

    def __init__(self, names=("mkt/evict", "market/eurex/trades", "x/" * 127 + "y")):
        super().__init__()
        clients = [self.client("risk"), self.client("c" * 120, "D"), self.client("aether-cli sub market/eurex", "T")]
        for name in names:
            t = self.topic(name, type_name="T" * 60)
            t.publishers = [Publisher(self, c) for c in clients]
            t.subscribers = [Subscriber(self, c) for c in clients]
            self.problem(t, "waits", "publisher feed (pid 4194304) has waited 23 h 59 min for subscriber risk (pid 4194303), "
                         "which is stopped, 999,999 behind, of them 999,998 already overwritten, which it will lose; 7 more "
                         "publishers wait for it, too; it loses messages, 99.9 M/s: it was more than the ring behind")
        self.problem(self.topics[0], "throttled", "publisher feed (pid 1) has no room for 40 % of the time")

    def document(self, only=None):
        doc = super().document(only)
        seconds = self.time_ns // 10**9 % 1000
        latency = {f"{key}_ns": MINUTES for key in ("p50", "p90", "p99", "p999", "max")}
        latency.update(count=COUNT, samples=COUNT, negative=COUNT, missed=COUNT, overflow=COUNT)
        if only is not None:
            latency["buckets"] = [[floor_of(bucket_of(MINUTES) + 1), COUNT + seconds]]
        peer = {"pid": PID, "published": FRACTION * seconds, "published_bytes": FLOW * seconds, "loans": COUNT,
                "stall_longest_ns": DAY, "stall_ns": DAY + 999_000_000 * seconds, "full": COUNT, "stalls": COUNT,
                "lane_bytes": SIZE, "lane_used_bytes": SIZE, "waits": "subscriber", "waited_ns": DAY, "lag": COUNT,
                "age_ns": DAY, "holds_up": COUNT, "held_up_ns": DAY, "lost": COUNT, "aborted": COUNT, "skipped": COUNT,
                "delivered": FRACTION * seconds, "policy": "best-effort", "state": "evicted", "latency": latency}
        for t in doc["topics"]:
            t.update({key: value for key, value in peer.items() if key in t}, waiting=COUNT, stuck=COUNT, lost_by={
                "ring": COUNT + seconds})
            for i, p in enumerate(t["publishers"]):
                p.update({key: value for key, value in peer.items() if key in p}, waits_subscriber=i)
            for s in t["subscribers"]:
                s.update({key: value for key, value in peer.items() if key in s}, lost_by={"ring": COUNT + seconds})
            t["departed"] = [{**owner, "role": "best-effort", "died": True, "evicted": True, "left_ns": self.now_ns - DAY, "ago_ns": DAY,
                              "delivered": COUNT, "lost": COUNT, "aborted": COUNT, "skipped": COUNT, "stall_ns": DAY}
                             for owner in t["publishers"]]
        return doc


if __name__ == "__main__":
    server = Server(busy(), int(sys.argv[1]), real_time=True)
    print(server.url, flush=True)
    threading.Event().wait()
