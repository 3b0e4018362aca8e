#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""metrics_page.py [CASE ...] - the web page of aether-metrics in a real browser: a test (TAP).

A stand-in serves the sources of the page and documents that show each state on purpose. metrics_page_real.py has the
cases with the real aether-metrics.
"""
import copy
import json
import random
import re
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
import browser  # noqa: E402
import page_lib  # noqa: E402
import page_world  # noqa: E402
from daemon_lib import await_true, run  # noqa: E402
from page_lib import stage, state, table  # noqa: E402

def page_name(topic):
    return topic["topic"]


def digits(text):
    return int(re.sub(r"[^0-9]", "", text)) if re.search(r"[0-9]", text or "") else None


def small():
    """One topic with a publisher and two subscribers."""
    w = page_world.World()
    t = w.topic("t")
    t.publishers = [page_world.Publisher(w, w.client("feed"), 5000)]
    t.subscribers = [page_world.Subscriber(w, w.client("risk")), page_world.Subscriber(w, w.client("log"), "best-effort")]
    return w


# ---- values ----


def numbers_and_units():
    """Numbers have three digits and a unit"""
    with stage(small()) as s:
        got = s.page.js("""import('/format.js').then((f) => ({
            rate: [0, 0.004, 0.4, 9.996, 48, 999.6, 1234, 1.24e6, 9.9996e8].map((v) => f.text(f.rate(v))),
            time: [0, 999, 999.6, 1234, 5e5, 12.34e6, 3.2e9, 59.99e9, 125e9, 7384e9, 4e14].map((v) => f.text(f.duration(v))),
            bytes: [0, 56, 1023.9, 1024, 1.5 * 2 ** 20, 2 ** 40].map((v) => f.text(f.bytes(v))),
            count: [0, 7, 65536, 999999, 1e6, 1.5e13].map((v) => f.text(f.count(v))),
            num: [1, 0, -1, NaN, Infinity, '7', null, undefined, true].map(f.num),
        }))""")
        thin = "\u202f"
        assert got["rate"] == ["0/s", "<0.01/s", "0.40/s", "10.0/s", "48/s", f"1.00{thin}k/s", f"1.23{thin}k/s", f"1.24{thin}M/s",
                               f"1.00{thin}G/s"], got["rate"]
        assert got["time"] == [f"0{thin}s", f"999{thin}ns", f"1.00{thin}µs", f"1.23{thin}µs", f"500{thin}µs", f"12.3{thin}ms",
                               f"3.20{thin}s", f"1 min 00{thin}s", f"2 min 05{thin}s", f"2 h 03{thin}min",
                               f"4 d 15{thin}h"], got["time"]
        assert got["bytes"] == [f"0{thin}B", f"56{thin}B", f"1.00{thin}KiB", f"1{thin}KiB", f"1.50{thin}MiB",
                                f"1{thin}TiB"], got["bytes"]
        assert got["count"] == ["0", "7", "65,536", "999,999", f"1{thin}M", f"15{thin}T"], got["count"]
        assert got["num"] == [1, 0, None, None, None, None, None, None, None], got["num"]


def topics_as_in_the_document():
    """The table of topics shows the document's values and rates"""
    world = page_world.busy()
    with stage(world) as s:
        s.asked(2)
        before = {}
        with s.server.lock:
            before = {page_name(t): t for t in world.document()["topics"]}
        s.asked(1)
        doc = s.freeze()
        shown = {row["name"]: row for row in table(s)}
        assert set(shown) == {page_name(t) for t in doc["topics"]}
        for t in doc["topics"]:
            row = shown[page_name(t)]
            assert digits(row["lag"]["title"]) == t["lag"], (row, t["lag"])
            assert digits(row["publishers"]["text"]) == len(t["publishers"])
            assert digits(row["subscribers"]["text"]) == len(t["subscribers"])
            assert (digits(row["lost"]["title"]) or 0) == t["lost"], row
            for column, key in (("p50", "p50_ns"), ("p99", "p99_ns"), ("p999", "p999_ns"), ("max", "max_ns")):
                value = t["latency"][key]
                if value is None:
                    assert row[column]["text"] == "–", row
                else:
                    assert abs(digits(row[column]["title"]) - value) <= 1, (column, row, value)
            assert t["published"] >= before[page_name(t)]["published"]
            assert row["rate"]["text"] != "–"
        total = s.page.js("document.querySelector('[data-tile=waiting] .figure').textContent")
        assert digits(total) == sum(t["waiting"] for t in doc["topics"])


def rates_are_differences():
    """A rate is the difference of a counter divided by the time between two readings"""
    world = small()
    base = world.document()
    published, step = [1000, 3000, 13000], 2 * 10**9

    def document(query):
        if "/?again" not in s.server.seen:  # the page from before still asks
            return base
        n = min(state["steps"], len(published) - 1)
        state["steps"] += 1
        doc = json.loads(json.dumps(base))
        doc["time_ns"] += (n + 1) * step
        doc["topics"][0].update(published=published[n], published_bytes=64 * published[n])
        return doc

    state["steps"] = 0
    with stage(world) as s:
        s.server.override = document
        s.page.goto(s.url + "/?again")
        s.page.wait("rows().length && rows()[0].rate.title === '5,000 messages/s'", "10,000 messages in 2 s")
        assert table(s)[0]["bytes"]["text"].replace("\u202f", "").replace("\n", "") == "313KiB/s", table(s)[0]["bytes"]


def unknown_is_a_dash():
    """An unknown value is a dash that says why, and never 0"""
    world = small()
    bare = {"time_ns": 1, "instance": {"running": True}, "topics": [
        {"topic": "bare", "id": 1, "created_ns": 5, "publishers": [{"client": "p", "pid": None, "grant_id": 1}],
         "subscribers": [{"client": "s", "grant_id": 2, "age_ns": None, "latency": {"p50_ns": None}}], "lag": None}]}
    with stage(world) as s:
        s.server.override = lambda query: bare
        s.page.goto(s.url + "/?again")
        s.page.wait("rows().length === 1 && rows()[0].name === 'bare'")
        row = table(s)[0]
        for column in ("rate", "bytes", "lag", "age", "p50", "p99", "p999", "max", "lost"):
            assert row[column]["text"] == "–", (column, row)
        why = s.page.js("[...document.querySelectorAll('#topics .unknown')].map((n) => [n.title, n.getAttribute('aria-label')])")
        assert len(why) == 9 and all(title.startswith("unknown: ") and title == label for title, label in why), why
        s.page.js("location.hash = '#topic=bare'")
        s.page.wait("rows('subs').length === 1")
        sub = table(s, "subs")[0]
        for column in ("pid", "rate", "lag", "age", "p50", "lost", "delivered", "state", "policy"):
            assert sub[column]["text"] == "–", (column, sub)


def junk_in_documents():
    """A document with any junk in it neither stops the page nor becomes a figure"""
    world = small()
    world.step()
    rng = random.Random(7)
    junk = [None, True, -1, 1e300, 2**63, "x", "", [], {}, [[1, 2], None], {"length": 9}, 0, 0.5, "<b>"]

    def mutated(doc):
        doc = json.loads(json.dumps(doc))
        for _ in range(rng.randrange(1, 9)):
            node, path = doc, []
            while isinstance(node, (dict, list)) and node and (not path or rng.random() < 0.8):
                key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
                path.append((node, key))
                node = node[key]
            parent, key = rng.choice(path)
            parent[key] = copy.deepcopy(rng.choice(junk))
        return doc

    with stage(world, fast=True, hash="#topic=t") as s:
        def document(query):
            doc = mutated(world.document(b"t" if query else None))
            return doc if isinstance(doc, dict) else {}

        s.server.override = document
        s.asked(40)  # and as often for the open topic
        s.page.js("location.hash = ''")
        s.asked(60)
        s.server.override = None
        s.page.wait("document.body.dataset.link === 'live' && rows().some((r) => r.name === 't')", "the page has recovered")


# ---- hostile names ----

HOSTILE = [
    '<img src=x onerror="window.pwned=1">',
    "\"'><script>window.pwned=1</script>",
    "javascript:window.pwned=1",
    "\u202egnp.exe\u2066 x",
    "مرحبا/بالعالم",
    "x" * 255,
    "line\nbreak\ttab\x1b[31mred",
    b"\xff\xfe raw \x80",
    b'we"ird\\<b>\x01\xff{\xc3\xa9}',
    "__proto__",
    "constructor",
    "&lt;b&gt;&amp;",
    "../../etc/passwd",
    "a?topic=b&c=d;e:f@g,h",
    "100%25 %zz",
    "  two  spaces  ",
    "zero\u200bwidth\ufeff",
    "emoji 👩‍🚀 ok",
    "${1+1} {{7*7}} `x`",
]


def hostile_names():
    """Hostile names of topics, clients and types are text, and each topic opens"""
    world = page_world.World()
    for i, name in enumerate(HOSTILE):
        t = world.topic(name, type_name=name if isinstance(name, str) else "raw")
        t.publishers = [page_world.Publisher(world, world.client(name), 100 + i)]
        t.subscribers = [page_world.Subscriber(world, world.client(name, "T"))]
        t.subscribers[0].state = "stuck"
        world.problem(t, "stuck", "subscriber x is stuck")
        t.departed = [{**world.client(name).owner(1), "role": "publisher", "died": True, "evicted": False,
                       "left_ns": world.now_ns, "ago_ns": 0, "published": 1}]
    with stage(world) as s:
        s.page.wait(f"rows().length === {len(HOSTILE)}")
        check = """(() => ({pwned: window.pwned ?? null, proto: ({}).polluted ?? null,
            tags: [...document.querySelectorAll('main img, main script, main b b, main iframe')].length,
            control: /[\\u0000-\\u0008\\u000b-\\u001f\\u202a-\\u202e\\u2066-\\u2069\\u200b\\ufeff]/.test(document.body.innerText),
            styles: document.querySelectorAll('[style]').length, title: document.title}))()"""
        clean = {"pwned": None, "proto": None, "tags": 0, "control": False, "styles": 0}
        got = s.page.js(check)
        assert {k: got[k] for k in clean} == clean, got
        names = [row["name"] for row in table(s)]
        for name in ('<img src=x onerror="window.pwned=1">', "\\xe2\\x80\\xaegnp.exe\\xe2\\x81\\xa6 x", "\\xff\\xfe raw \\x80",
                     "line\\nbreak\\ttab\\x1b[31mred", 'we"ird\\\\<b>\\x01\\xff{é}'):
            assert name in names, (name, names)
        isolated = s.page.js("[...document.querySelectorAll('#topics th.name')].slice(1).every((n) => n.querySelector('bdi'))")
        assert isolated
        links = s.page.js("[...document.querySelectorAll('#topics tbody a')].map((a) => [a.textContent, a.getAttribute('href')])")
        raw = {(n if isinstance(n, bytes) else n.encode()) for n in HOSTILE}
        assert {urllib.parse.unquote_to_bytes(href.removeprefix("#topic=")) for _, href in links} == raw
        for shown, href in links:
            s.page.js(f"location.hash = {json.dumps(href)}")
            s.page.wait("rows('pubs').length === 1 && document.querySelector('#topic-name').textContent === "
                        + json.dumps(shown), f"{shown} is open")
            await_true(lambda: f"/api/topics.json?topic={href.removeprefix('#topic=')}" in s.server.seen, "it is asked for")
            got = s.page.js(check)
            assert {k: got[k] for k in clean} == clean, (shown, got)
            assert shown in got["title"] or len(shown) > 100 or "  " in shown, got
        s.page.size(360, 740, True)
        for hash in ("", "#topic=" + "x" * 255, links[0][1]):
            s.page.js(f"location.hash = {json.dumps(hash)}")
            s.page.wait("document.documentElement.scrollWidth <= 360", f"no horizontal scroll at {hash[:30]}")


def names_as_everywhere():
    """Names are escaped as ae_escape() does it, for labels and terminals: each character, and bytes that aren't UTF-8"""
    source = (page_world.SOURCE / "src" / "view" / "escape.c").read_text()
    condition = re.search(r"static bool harmful\(uint32_t c\) \{\s*return (.*?);", source, re.DOTALL).group(1)
    harmful = eval("lambda c: " + " ".join(condition.replace("||", "or").replace("&&", "and").split()))
    short = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}

    def expected(c):
        return short.get(c) or ("".join(f"\\x{byte:02x}" for byte in chr(c).encode()) if harmful(c) else chr(c))

    # Characters whose text isn't themselves, found by the page and by the C source; surrogates aren't characters.
    want = {c: expected(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000 and expected(c) != chr(c)}
    assert 150 < len(want) < 500 and want[0x202e] == "\\xe2\\x80\\xae", len(want)
    broken = [b"\xff\xc3", b"\xc0\x80", b"\xe2\x82", b"\xe2\x82(", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98", b"\x80\x80x",
              b"\xf5\x80\x80\x80", b"\xe0\x80\x80", b"\xc3\xa9\xc3", b"\xef\xbb\xbfx\xff", b"\xf0\x9f\x98\x80\xff"]
    shown = ["\\xff\\xc3", "\\xc0\\x80", "\\xe2\\x82", "\\xe2\\x82(", "\\xed\\xa0\\x80", "\\xf4\\x90\\x80\\x80", "\\xf0\\x9f\\x98",
             "\\x80\\x80x", "\\xf5\\x80\\x80\\x80", "\\xe0\\x80\\x80", "é\\xc3", "\\xef\\xbb\\xbfx\\xff", "😀\\xff"]
    with stage(small()) as s:
        got = {}
        # Each character of the planes with harmful ones, in parts that don't take long; of the others each 64th one.
        for first in range(0, 0x110000, 0x2000):
            step = 1 if first >> 16 in (0, 1, 14) else 64
            got.update(s.page.js(f"""import('/format.js').then((f) => {{
                const other = [];
                for (let c = {first}; c < {first + 0x2000}; c += {step}) {{
                    const name = String.fromCodePoint(c), {{shown}} = f.nameOf({{topic: name}}, 'topic');
                    if (shown !== name && (c < 0xd800 || c >= 0xe000))
                        other.push([c, shown]);
                }}
                return other;
            }})"""))
        assert got == want, [pair for pair in set(got.items()) ^ set(want.items())][:9]
        got = s.page.js(f"""import('/format.js').then((f) => {json.dumps([page_world.named('n', name) for name in broken])}
            .map((doc) => f.nameOf(doc, 'n').shown))""")
        assert got == shown, list(zip(got, shown))
        queries = ["".join(f"%{byte:02X}" for byte in name) for name in broken]
        assert s.page.js(f"import('/format.js').then((f) => {json.dumps(queries)}.map(f.shownQuery))") == shown


def policy_holds():
    """The page works under its strict policy, which does block scripts and styles in the page"""
    with stage(small()) as s:
        s.live()
        s.clean()
        s.page.js("""(() => { const script = document.createElement('script'); script.textContent = 'window.pwned = 1';
            document.body.append(script); document.body.setAttribute('style', 'color: red');
            document.body.insertAdjacentHTML('beforeend', '<img src="http://192.0.2.1/x">'); })()""")
        assert s.page.js("window.pwned") is None
        assert s.page.js("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
        await_true(lambda: s.page.js("1") and len(s.page.complaints()) >= 3, "three violations are reported")
        assert all("Content Security Policy" in text for text in s.page.complaints()), s.page.complaints()
        state["browser"].events.clear()


# ---- sorting, filtering, pausing, keys ----


def sorts_and_filters():
    """Headings sort, the filter finds topics and clients, and the picture follows"""
    world = page_world.busy()
    with stage(world) as s:
        s.asked(3)
        s.freeze()
        rates = [digits(row["rate"]["title"]) for row in table(s)]
        assert rates == sorted(rates, reverse=True), rates
        assert s.page.js("document.querySelector('#topics [aria-sort]').textContent") == "Published"
        for column in ("lag", "p99", "lost", "rate"):
            s.page.click(f"#topics [data-sort={column}]")
            values = [digits(row[column]["title"]) or 0 for row in table(s)]
            assert values == sorted(values, reverse=True), (column, values)
            assert s.page.js("document.querySelector('#topics [aria-sort]').getAttribute('aria-sort')") == "descending"
        s.page.click("#topics [data-sort=rate]")
        values = [digits(row["rate"]["title"]) for row in table(s)]
        assert values == sorted(values), values
        s.page.click("#topics [data-sort=name]")
        names = [row["name"] for row in table(s)]
        assert names == sorted(names), names
        s.page.key("/")
        assert s.page.js("document.activeElement.id") == "filter"
        s.page.type("LIDAR")
        assert [row["name"] for row in table(s)] == ["sensors/lidar/points"]
        assert s.page.js("document.querySelectorAll('#graph a').length") == 1
        s.page.key("Enter")
        s.page.wait("document.querySelector('#topic-name').textContent === 'sensors/lidar/points' && "
                    "document.activeElement.id === 'topic-name'")
        s.page.key("Escape")
        s.page.wait("location.hash === '' && document.querySelector('#topic').hidden")
        s.page.key("/")
        s.page.key("Escape")
        assert s.page.js("document.querySelector('#filter').value") == "" and len(table(s)) == 11
        s.page.type("planner")
        assert sorted(row["name"] for row in table(s)) == ["config/reload", "robot/commands", "robot/pose"]


def slow_press():
    """A press on the picture opens its topic, also if readings come while the button is down"""
    with stage(page_world.busy()) as s:
        s.asked(2)
        at = s.page.press("#graph a")
        s.asked(3)
        s.page.release(at)
        s.page.wait("location.hash.startsWith('#topic=')", "the topic is open")
        s.clean()


def keyboard_alone():
    """Everything works with the keyboard alone"""
    with stage(page_world.busy()) as s:
        s.asked(2)
        s.page.key("Tab")
        assert s.page.js("document.activeElement.className") == "skip"
        seen = set()
        for _ in range(60):
            s.page.key("Tab")
            seen.add(s.page.js("document.activeElement.id || document.activeElement.dataset.sort || document.activeElement.hash"))
        assert {"home", "pause", "theme", "help", "filter", "rate", "p99", "#topic=robot%2Fpose"} <= seen, seen
        s.page.js("document.activeElement.blur()")
        s.page.key("p")  # or else the order of the rows may change between a key and the look at its effect
        s.page.wait("document.body.dataset.link === 'paused'")
        s.page.key("j")
        assert s.page.js("document.querySelector('#topics tbody a') === document.activeElement")
        s.page.key("ArrowDown")
        s.page.key("k")
        s.page.key("j")
        assert s.page.js("document.querySelectorAll('#topics tbody a')[1] === document.activeElement")
        s.page.key("p")
        s.live()
        outline = s.page.js("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", outline
        name = s.page.js("document.activeElement.textContent")
        # The order changes under the focus, and each document updates the rows: the focus stays.
        s.asked(3)
        assert s.page.js("document.activeElement.textContent") == name
        s.page.key("Enter")
        s.page.wait("!document.querySelector('#topic').hidden && document.activeElement.id === 'topic-name'")
        s.page.wait("rows('quantiles').length === 2 && rows('quantiles')[0].p50.text !== '–'")
        s.page.js("document.querySelector('#heat').focus()")
        s.asked(4)
        s.page.key("p")  # or else the moment that is read moves on each second
        s.page.wait("document.body.dataset.link === 'paused'")
        s.page.key("ArrowLeft")
        value = s.page.js("document.querySelector('#heat').getAttribute('aria-valuetext')")
        assert re.match(r"\d\d:\d\d:\d\d: p50 [\d.]+\u202f.s, p99 ", value), value
        assert s.page.js("document.querySelector('#heat-read').textContent") == value
        s.page.key("p")
        s.live()
        s.page.key("Escape")
        s.page.wait("document.querySelector('#topic').hidden && document.activeElement.textContent === " + json.dumps(name),
                    "the focus is on the topic again")
        s.page.key("?")
        assert s.page.js("document.querySelector('#keys').open")
        s.page.js("document.querySelector('#keys-on').click()")
        s.page.key("Escape")
        s.page.wait("!document.querySelector('#keys').open")
        s.page.key("p")
        assert s.page.js("document.body.dataset.link") == "live", "keys of one letter are off"


def below_a_path():
    """The page works below a path of a proxy"""
    with stage(small()) as s:
        s.page.goto(s.url + "/below/a/proxy/#topic=t")
        s.page.wait("rows('subs').length === 2")
        s.live()
        s.page.key("Escape")
        s.page.wait("rows().length === 1 && !document.querySelector('#overview').hidden")
        seen = [path for path in s.server.seen[s.server.seen.index("/below/a/proxy/"):] if not path.startswith("/below/a/proxy/")]
        assert not [path for path in seen if path != "/api/topics.json"], seen


def pauses():
    """Paused figures stay, are shown as paused, and go on"""
    with stage(page_world.busy()) as s:
        s.asked(2)
        s.page.click("#pause")
        s.page.wait("document.body.dataset.link === 'paused'")
        assert s.page.js("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"
        assert re.match(r"paused at \d\d:\d\d:\d\d", s.page.js("document.querySelector('#link-text').textContent"))
        assert s.page.js("document.title").startswith("(paused)")
        asked, shown = s.server.asked, table(s)
        # What was asked before may still come in; it isn't shown. A topic can be opened, from the figures that there are.
        s.page.js("location.hash = '#topic=robot%2Fpose'")
        s.page.wait("rows('subs').length === 3")
        s.page.js("location.hash = ''")
        s.page.wait("!document.querySelector('#overview').hidden")
        assert table(s) == shown and s.server.asked <= asked + 1
        s.page.key("p")
        s.live()
        s.asked(2)
        s.page.wait(f"JSON.stringify(rows()) !== {json.dumps(json.dumps(shown))}")


# ---- the slow, the dead, the gone ----


def the_slow_by_name():
    """The sentences of the server, the worst first, say what is wrong"""
    world = small()
    t = world.topics[0]
    feed, risk, log = t.publishers[0], *t.subscribers
    with stage(world) as s:
        s.asked(2)
        s.page.wait("document.querySelector('#slow').textContent.startsWith('No publisher waits')")
        with s.server.lock:
            feed.waits, feed.waited_ns, feed.waits_subscriber, feed.rate = "subscriber", 2_200_000_000, 0, 0
            risk.state, risk.lag, risk.age_ns, risk.holds_up, risk.held_up_ns = "stuck", 65536, 10**9, 1, 3_200_000_000
            risk.client.process = "T"
            log.state, log.lost["ring"] = "evicted", 70
            world.problem(t, "waits", "publisher feed (pid 812) has waited 3.20 s for subscriber risk (pid 790), which is "
                          "stopped, 65,536 behind")
            world.problem(t, "loses", "subscriber log (pid 791) loses messages, 70/s: it was more than the ring behind")
            world.problem(t, "new kind", "subscriber <b>x\\\\y</b>\u202e (pid 1) is odd")
        want = "Publisher feed (pid 812) has waited 3.20 s for subscriber risk (pid 790), which is stopped, 65,536 behind."
        s.page.wait(f"says('slow')[0] === {json.dumps(want)}", want)
        assert s.page.js("says('slow')")[1:] == [
            "Subscriber log (pid 791) loses messages, 70/s: it was more than the ring behind.",
            "Subscriber <b>x\\\\y</b>\\xe2\\x80\\xae (pid 1) is odd."], s.page.js("says('slow')")
        kinds = s.page.js("[...document.querySelectorAll('#slow li')].map((li) => li.dataset.kind)")
        assert kinds == ["waits", "loses", "new kind"], kinds
        s.page.wait("document.querySelector('#spoken').textContent === '1 publisher waits, 1 subscriber lost messages'",
                    "it is said aloud")
        with s.server.lock:
            log.state, log.client.process, log.lag, log.stopped = "behind", "T", 16384 + 1000, True
            t.publishers.append(page_world.Publisher(world, world.client("second")))
            t.publishers[1].waits, t.publishers[1].waited_ns, t.publishers[1].waits_subscriber = "subscriber", 10**9, 0
            for i in range(20):
                world.problem(world.topic(f"other{i}"), "stuck", f"subscriber s (pid {i}) is stuck: 1 message waits")
        s.page.wait("says('slow').length === 12 && document.querySelector('#slow').textContent.endsWith('and 11 more')")
        s.page.js("location.hash = '#topic=t'")
        s.page.wait("says('topic-slow').length === 3")
        row = table(s, "pubs")[0]
        assert re.match(r"\d+.\d+\u202fs for risk", row["waits"]["text"]), row
        assert s.page.js("document.querySelectorAll('#near .edge.waits, #near .edge.stuck').length") == 4


def dead_daemon():
    """A banner says that aetherd is dead and that topics go on"""
    world = small()
    with stage(world) as s:
        s.asked(1)
        assert s.page.js("document.querySelector('#banner-daemon').hidden")
        world.running = False
        s.page.wait("!document.querySelector('#banner-daemon').hidden")
        text = s.page.js("document.querySelector('#banner-daemon').textContent")
        assert text.startswith("aetherd is not running. Topics go on without it"), text
        s.asked(2)
        assert s.page.js("document.body.dataset.link") == "live", "its figures are live"
        world.running = True
        s.page.wait("document.querySelector('#banner-daemon').hidden")
        world.stopped = True
        s.page.wait("!document.querySelector('#banner-daemon').hidden")
        text = s.page.js("document.querySelector('#banner-daemon').textContent")
        assert text.startswith("aetherd (pid 4711) is stopped: kill -CONT 4711. Topics go on: "), text
        assert s.page.js("document.querySelector('#daemon').textContent").startswith("aetherd (pid 4711) is stopped ")
        world.stopped = None  # unknown
        s.page.wait("document.querySelector('#banner-daemon').hidden")


def stale_is_never_live():
    """Without a server, or without new readings, the figures are shown as stale"""
    with stage(page_world.busy()) as s:
        s.asked(2)
        for mode, words in (("down", "aether-metrics can't be reached. "),
                            ("error", "aether-metrics can't read the instance: no instance at <b>/run/aether</b>. "),
                            ("broken", "aether-metrics can't be reached. "),
                            ("unreadable", "aether-metrics can't read the instance: another layout version: 9. "),
                            ("frozen", "aether-metrics answers, but gives no new figures. ")):
            s.server.mode = mode
            s.page.wait("document.body.dataset.link === 'lost'", f"{mode}: stale")
            banner = s.page.js("document.querySelector('#banner-link').textContent")
            assert banner.startswith(words), banner
            assert re.search(r"All figures below are old: they are of \d\d:\d\d:\d\d, [\d.:]+\u202f\w+ ago\.$", banner), banner
            assert s.page.js("document.title").startswith("(stale)")
            assert s.page.js("document.querySelector('#link-text').textContent") == "stale"
            assert s.page.js("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
            assert s.page.js("document.querySelector('#banner-link b')") is None
            s.server.mode = "live"
            s.live()
            assert s.page.js("document.querySelector('#banner-link').hidden")
            assert s.page.js("getComputedStyle(document.querySelector('main')).filter") == "none"
        s.clean(but=("503", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION"))
        state["browser"].events.clear()


def removed_topic():
    """A topic that is removed while it is open keeps its last figures, and the page says so"""
    world = page_world.busy()
    with stage(world, hash="#topic=alerts") as s:
        s.page.wait("rows('subs').length === 1")
        with s.server.lock:
            removed = [t for t in world.topics if t.name == "alerts"]
            world.topics = [t for t in world.topics if t.name != "alerts"]
        s.page.wait("!document.querySelector('#topic-gone').hidden")
        assert s.page.js("document.querySelector('#topic-gone').textContent").startswith("This topic has been removed")
        assert len(table(s, "subs")) == 1
        world.topics += removed
        s.page.wait("document.querySelector('#topic-gone').hidden")
        s.page.js("location.hash = '#topic=nowhere'")
        s.page.wait("document.querySelector('#topic-gone').textContent === 'There is no topic of this name.'")
        s.page.js("location.hash = '#topic=' + 'x'.repeat(300)")
        s.page.wait("document.querySelector('#topic-name').textContent.length === 300 && "
                    "!document.querySelector('#topic-gone').hidden")
        s.live()
        s.clean(but=("400",))
        state["browser"].events.clear()


# ---- the open topic ----


def one_topic():
    """The open topic: quantiles of the last minute, heat map, lag, loss, peers, departed, ledger"""
    world = page_world.busy(draws=20)
    with stage(world, hash="#topic=orders%2Fout", fast=True) as s:
        s.asked(75)
        with s.server.lock:
            doc = world.document(b"orders/out")
            s.server.mode = "frozen"
        t = doc["topics"][0]
        s.page.wait(f"rows('quantiles').length === 2 && digits(rows('quantiles')[1].count.title) === {t['latency']['count']}")
        recent, all_time = table(s, "quantiles")
        # A minute, and as much more as a reading took that the page missed.
        assert re.fullmatch(r"of the last 6\d s", recent["of"]["text"]), recent
        for column in ("p50", "p99", "p999", "max"):
            assert abs(digits(all_time[column]["title"]) - t["latency"][f"{column}_ns"]) <= 1, (all_time, t["latency"])
        assert 0 < digits(recent["count"]["title"]) < t["latency"]["count"]
        p50, p99 = digits(recent["p50"]["title"]), digits(recent["p99"]["title"])
        assert 1000 < p50 < p99 < 10**7, recent
        colours = s.page.js("""(() => { const c = document.querySelector('#heat'), d = c.getContext('2d')
            .getImageData(0, 0, c.width, c.height).data, seen = new Set();
            for (let i = 0; i < d.length; i += 4) if (d[i + 3]) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
            return seen.size; })()""")
        assert colours > 30, colours
        for key, row in zip(t["publishers"], table(s, "pubs")):
            assert row["name"] == key["client"] and digits(row["pid"]["text"]) == key["pid"], row
            assert digits(row["published"]["title"]) == key["published"], (row, key)
        for key, row in zip(t["subscribers"], table(s, "subs")):
            assert (row["name"], row["policy"]["text"], row["state"]["text"]) == (key["client"], key["policy"], key["state"]), row
            assert digits(row["delivered"]["title"]) == key["delivered"] and digits(row["lag"]["title"]) == key["lag"]
            assert abs(digits(row["p99"]["title"]) - key["latency"]["p99_ns"]) <= 1
        gone = table(s, "gone")
        assert [(row["name"], row["end"]["text"]) for row in gone] == [("strategy-6", "died"), ("shell", "closed")], gone
        ledger = s.page.js("document.querySelector('#ledger').textContent")
        assert ledger == f"{t['delivered']:,} delivered + {t['lost']:,} lost + 0 aborted + 0 skipped = {t['accounted']:,} " \
                         "sequences passed: each is accounted for.", ledger
        legend = s.page.js("[...document.querySelectorAll('#lag-legend li')].map((l) => l.textContent)")
        assert sorted(legend) == sorted(f"{p['client']} (pid {p['pid']})" for p in t["subscribers"]), legend
        assert s.page.js("document.querySelectorAll('#near a.open').length") == 1
        s.page.js("location.hash = '#topic=market%2Feurex%2Ftrades'")
        s.page.wait("document.querySelector('#loss-legend').textContent.startsWith('ring: ')")
        s.page.click("#near a:not(.open)")
        s.page.wait("location.hash !== '#topic=market%2Feurex%2Ftrades'", "the picture's topics are links")


def recent_quantiles():
    """Quantiles of the last minute forget what was before it"""
    world = small()
    with stage(world, hash="#topic=t", fast=True) as s:
        sub = world.topics[0].subscribers
        s.asked(70)
        for x in sub:
            x.median_ns = 4_000_000
        s.page.wait("digits(rows('quantiles')[0].p50.title) > 3000000", "the median of the last minute is that of the new load")
        assert digits(table(s, "quantiles")[1]["p50"]["title"]) < 3_000_000 or s.server.asked > 140
        s.asked(70)
        s.page.wait("digits(rows('quantiles')[0].p50.title) < 5000000")


# ---- large, long ----


def many_topics():
    """A thousand topics: the table grows on demand, and the picture stays small"""
    world = page_world.World()
    client, reader = world.client("hub"), world.client("spoke")
    for i in range(1000):
        t = world.topic(f"t/{i:04}")
        t.publishers = [page_world.Publisher(world, client, 0)]
        t.subscribers = [page_world.Subscriber(world, reader)]
    world.left_out = 3000
    world.other = {**world.document()["topics"][0], "published": 12, "lag": 7}
    with stage(world) as s:
        s.page.wait("rows().length === 100")
        s.page.wait("document.querySelector('#shown').textContent === "
                    "'1,000 topics; 3,000 more topics not shown by name, with 0/s'")
        s.page.click("#more")
        s.page.wait("rows().length === 200")
        assert s.page.js("document.querySelectorAll('#graph a').length") == 8
        s.page.key("/")
        s.page.type("no/such")
        s.page.wait("rows().length === 0")
        s.page.key("Enter")
        s.page.wait("location.hash === '#topic=no%2Fsuch'", "Enter opens a topic that isn't shown by name")


def many_peers():
    """A topic with 64 publishers and 100 subscribers"""
    world = page_world.World()
    t = world.topic("wide")
    t.publishers = [page_world.Publisher(world, world.client(f"p{i}"), 10) for i in range(64)]
    t.subscribers = [page_world.Subscriber(world, world.client(f"s{i}"), lag=i) for i in range(100)]
    with stage(world, hash="#topic=wide") as s:
        s.page.wait("rows('pubs').length === 64 && rows('subs').length === 100")
        s.asked(1)
        s.page.wait("document.querySelector('#lag-note').textContent === 'messages; the worst 6 of 100'")
        more = s.page.js("[...document.querySelectorAll('#near .node-name')].map((n) => n.textContent)")
        assert more.count("49 more clients") == 1 and more.count("85 more clients") == 1 and len(more) == 33, more


def bounded_memory():
    """What the page holds doesn't grow with time"""
    world = page_world.busy(draws=5)
    with stage(world, hash="#topic=orders%2Fout", fast=True) as s:
        def used():
            for _ in range(2):
                s.page.call("HeapProfiler.collectGarbage")
            metrics = s.page.call("Performance.getMetrics")["metrics"]
            return {m["name"]: m["value"] for m in metrics if m["name"] in ("Nodes", "JSHeapUsedSize", "JSEventListeners")}

        s.page.call("Performance.enable")
        t = world.topics[3]

        def come_and_go(world):  # clients that come and go are forgotten
            t.subscribers[2:] = [page_world.Subscriber(world, world.client(f"guest {world.ids}"))]
            world.topics[11:] = [page_world.Topic(world, f"guest {world.ids}")]

        world.on_step.append(come_and_go)
        s.asked(60)
        state["browser"].events.clear()
        s.page.js("location.hash = ''")
        s.asked(10)
        first = used()
        for hash in ("#topic=orders%2Fout", "", "#topic=robot%2Fpose", "#topic=orders%2Fout", ""):
            s.page.js(f"location.hash = '{hash}'")
            s.asked(25)
            state["browser"].events.clear()
        s.asked(10)
        last = used()
        assert last["Nodes"] <= first["Nodes"] * 1.2 + 200, (first, last)
        assert last["JSEventListeners"] <= first["JSEventListeners"] + 5, (first, last)
        assert last["JSHeapUsedSize"] <= first["JSHeapUsedSize"] + 2_000_000, (first, last)


# ---- looks ----


def narrow_and_dark():
    """360 pixels without horizontal scroll; light, dark and the reader's choice; no motion"""
    with stage(page_world.busy()) as s:
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        s.asked(1)
        for width in (360, 412, 768, 1024, 1280, 1920):
            s.page.size(width, 800, width < 500)
            for hash in ("", "#topic=orders%2Fout"):
                s.page.js(f"location.hash = '{hash}'")
                s.page.wait(f"document.querySelector('{'#near' if hash else '#graph'} svg')?.getAttribute('width') <= {width} && "
                            f"document.documentElement.scrollWidth <= {width}", f"{width} pixels, {hash or 'all topics'}")
        s.page.js("location.hash = ''")
        light, dark = "rgb(245, 246, 245)", "rgb(15, 18, 20)"
        for scheme, colour in (("light", light), ("dark", dark)):
            s.page.media(prefers_color_scheme=scheme)
            s.page.wait(f"{ground} === '{colour}'", f"the page is {scheme} as the system is")
        s.page.key("t")
        assert s.page.js(ground) == light and s.page.js("document.querySelector('#theme').textContent") == "Theme: light"
        s.page.goto(s.url + "/?again")
        assert s.page.js(ground) == light, "the choice is kept"
        s.page.media(prefers_color_scheme="light")
        s.page.key("t")
        assert s.page.js(ground) == dark
        s.page.key("t")
        assert s.page.js(ground) == light and s.page.js("document.querySelector('#theme').textContent") == "Theme: auto"
        s.page.media(prefers_reduced_motion="reduce")
        moving = s.page.js("[...document.querySelectorAll('*')].filter((n) => { const c = getComputedStyle(n);"
                           "return c.animationName !== 'none' || c.transitionDuration !== '0s'; }).length")
        assert moving == 0, moving


# Each text in `main` that doesn't fit where it is: in a box that scrolls or hides it, or outside of its table's cell.
# Only a name that is long may be cut, and then a title has it whole.
MISFITS = """window.misfits = () => {
    const bad = [], shown = (n) => n.checkVisibility() && n.getBoundingClientRect().width > 1;
    const say = (n, why) => bad.push(`${why}: ${n.tagName}.${n.className} ${n.dataset.col ?? n.id} ${n.textContent.slice(0, 50)}`);
    const long = (n) => [n, ...n.querySelectorAll('bdi')].some((m) => m.tagName === 'BDI' && m.textContent.length > 100 &&
        m.closest('[title]')?.title.includes(m.textContent));
    for (const n of document.querySelectorAll('main *')) {
        if (!shown(n) || n.closest('svg, .graph, .unseen') || n.textContent === '')
            continue;
        if (getComputedStyle(n).overflowX !== 'visible' && !long(n) &&
            (n.scrollWidth > n.clientWidth || n.scrollHeight > n.clientHeight + 1))
            say(n, 'cut');
    }
    for (const cell of document.querySelectorAll('main :is(th, td)')) {
        if (!shown(cell))
            continue;
        const box = cell.getBoundingClientRect(), around = cell.closest('.panel').getBoundingClientRect();
        const range = document.createRange(), texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            const name = texts.currentNode.parentElement.closest('bdi');
            range.selectNode(texts.currentNode);
            for (const r of (name !== null && long(name) ? name : range).getClientRects())
                if (r.left < box.left - 1 || r.right > Math.min(box.right + 1, around.right) || r.top < box.top - 1 ||
                    r.bottom > box.bottom + 1)
                    say(cell, 'outside');
        }
    }
    return bad;
}"""

# Each text on a canvas that isn't whole, or that another one touches.
SMEARED = """(() => {
    const draw = CanvasRenderingContext2D.prototype, {fillText, clearRect} = draw;
    draw.clearRect = function (...at) {
        this.canvas.texts = [];
        return clearRect.apply(this, at);
    };
    draw.fillText = function (text, x, y, most) {
        const width = Math.min(this.measureText(text).width, most ?? Infinity);
        const left = this.textAlign === 'right' ? x - width : this.textAlign === 'center' ? x - width / 2 : x;
        this.canvas.texts.push({text, left, right: left + width, y});
        return fillText.apply(this, most === undefined ? [text, x, y] : [text, x, y, most]);
    };
    window.smeared = () => [...document.querySelectorAll('canvas')].flatMap((canvas) => {
        const texts = canvas.texts.filter(({text}) => !['p50', 'p99', 'the whole ring'].includes(text));
        return texts.filter((a, i) => a.left < 0 || a.right > canvas.clientWidth || texts.some((b, k) => k !== i &&
            Math.abs(a.y - b.y) < 9 && a.left < b.right + 3 && b.left < a.right + 3))
            .map(({text}) => `${canvas.id}: ${text}`);
    });
})()"""

WIDTHS = [360, 375, 412, 480, 600, 760, 761, 768, 960, 961, 1024, 1180, 1181, 1270, 1271, 1280, 1366, 1440, 1560, 1920]


def settles(s, expression, what):
    """Waits until a list of what is wrong is empty: the page lays itself out anew some moments after its width changed."""
    end = time.monotonic() + browser.DEADLINE_S
    while True:
        over = time.monotonic() > end
        bad = s.page.js(expression)
        if not bad:
            return
        assert not over, (what, bad[:5])
        time.sleep(0.1)


def widest_figures():
    """All tables fit into each window from 360 pixels with the widest figures, and short names aren't cut"""
    world = page_world.Widest()
    with stage(world) as s:
        s.page.js(MISFITS)
        s.page.js(SMEARED)
        s.page.wait("rows().length === 3 && document.querySelector('#topics [data-col=rate]').textContent === '99.9M/s'")
        texts = s.page.js("Object.fromEntries([...document.querySelector('#topics tbody tr').cells].map((c) => "
                          "[c.dataset.col, c.textContent.replace(/\u202f/g, ' ')]))")
        want = {"state": "waits 23 h 59 min", "rate": "99.9M/s", "bytes": "1023GiB/s", "lag": "999,999", "age": "23 h 59min",
                "p50": "59 min 59s", "max": "59 min 59s", "lost": "999,999"}
        assert {key: texts[key] for key in want} == want, texts
        for width in WIDTHS:
            s.page.size(width, 800, width < 500)
            s.page.js("location.hash = ''")
            s.page.wait(f"document.querySelector('#topics').checkVisibility() && document.documentElement.scrollWidth <= {width}")
            settles(s, """[...document.querySelectorAll('#topics [data-sort]')].flatMap((button) => {
                button.click();  // the arrow at the heading needs room, too
                return misfits().map((words) => `by ${button.dataset.sort}: ${words}`);
            })""", width)
            if width >= 1280:
                lines = s.page.js("[...document.querySelectorAll('#topics bdi')].map((n) => n.offsetHeight / 13 > 2 ? 2 : 1)")
                assert sorted(lines) == [1, 1, 2], (width, lines)
        s.page.js("location.hash = '#topic=mkt%2Fevict'")
        s.page.wait("rows('subs').length === 3 && rows('quantiles')[0].p50.text !== '–' && "
                    "rows('pubs').every((r) => /M/.test(r.rate.text))")
        for width in WIDTHS:
            s.page.size(width, 800, width < 500)
            s.page.wait(f"document.querySelector('#near svg').getAttribute('width') <= {width} && "
                        f"document.documentElement.scrollWidth <= {width}")
            settles(s, """[...document.querySelectorAll('#span button')].flatMap((button) => {
                button.click();
                return smeared();
            }).concat(misfits())""", width)
            settles(s, "[...document.querySelectorAll('#topic tbody :is(th, td)')].filter((c) => !c.checkVisibility())"
                    ".map((c) => c.dataset.col)", width)


def readable_aloud():
    """Screen readers find headings, tables, names of all controls, and few live regions"""
    with stage(page_world.busy()) as s:
        s.asked(2)
        for hash in ("", "#topic=orders%2Fout"):
            s.page.js(f"location.hash = '{hash}'")
            s.page.wait("rows('subs').length === 2" if hash else "rows().length === 11")
            tree = s.page.ax()
            nameless = [role for role, name in tree if role in ("button", "link", "textbox", "searchbox", "combobox", "slider",
                                                                "table", "image") and not name and role != "table"]
            assert not nameless, nameless
            roles = [role for role, _ in tree]
            for role in ("heading", "table", "columnheader", "row", "main", "alert", "status"):
                assert role in roles, (role, set(roles))
            live = s.page.js("document.querySelectorAll('[aria-live]:not([aria-live=off]), [role=alert], [role=status]').length")
            assert live == 2, live
        s.page.size(360, 740, True)
        s.page.js("location.hash = ''")
        s.page.wait("rows().length === 11")
        roles = [role for role, _ in s.page.ax()]
        assert roles.count("rowheader") == 11, "rows that are blocks are still rows"
        contrast = s.page.js("""(() => {
            const rgb = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
            const light = (c) => rgb(c).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const ground = (n) => { for (; n; n = n.parentElement) { const c = getComputedStyle(n).backgroundColor;
                if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
            const bad = [];
            for (const theme of ['light', 'dark']) {
                document.documentElement.dataset.theme = theme;
                for (const n of document.querySelectorAll('body *')) {
                    if (![...n.childNodes].some((c) => c.nodeType === 3 && c.data.trim()) || n.closest('svg') || !n.offsetParent)
                        continue;
                    const [a, b] = [light(getComputedStyle(n).color), light(ground(n))].sort((x, y) => y - x);
                    if ((a + 0.05) / (b + 0.05) < 4.5)
                        bad.push([theme, n.tagName, n.className, n.textContent.slice(0, 20), (a + 0.05) / (b + 0.05)]);
                }
            }
            delete document.documentElement.dataset.theme;
            return bad;
        })()""")
        assert not contrast, contrast[:5]


CASES = [numbers_and_units, topics_as_in_the_document, rates_are_differences, unknown_is_a_dash, junk_in_documents, hostile_names,
         names_as_everywhere, policy_holds, sorts_and_filters, slow_press, keyboard_alone, below_a_path, pauses, the_slow_by_name, dead_daemon, stale_is_never_live,
         removed_topic, one_topic, recent_quantiles, many_topics, many_peers, bounded_memory, narrow_and_dark, widest_figures,
         readable_aloud]

try:
    run([case for case in CASES if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]])
finally:
    page_lib.close()
