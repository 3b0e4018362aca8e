#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""metrics_page_real.py - the web page of the real aether-metrics, with real publishers and subscribers: a test (TAP)."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import urllib.parse

sys.dont_write_bytecode = True
import page_lib  # noqa: E402
from daemon_lib import Daemon, await_true, run  # noqa: E402
from metrics_lib import CLI, Metrics, cli  # noqa: E402
from page_lib import stage, state, table  # noqa: E402

SOURCE = pathlib.Path(os.environ.get("SOURCE", pathlib.Path(__file__).parent.parent))


class Program:
    """A process of aether-cli."""

    def __init__(self, daemon, *arguments):
        self.process = subprocess.Popen([CLI, *arguments, "--socket", daemon.path], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid

    def send(self, number):
        self.process.send_signal(number)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def publisher(daemon, topic, rate=3000):
    return Program(daemon, "pub", topic, "--size", "64", "--rate", str(rate))


def subscriber(daemon, topic, *options):
    return Program(daemon, "sub", topic, *(options or ("--policy", "reliable")))


def real(metrics, hash=""):
    return stage(None, url=metrics.where.rstrip("/"), hash=hash)


def number(text):
    return int(re.sub(r"[^0-9]", "", text)) if re.search(r"[0-9]", text or "") else None


def documents(s, query=False):
    """All documents that the page has received, the latest last."""
    found = []
    for method, params in s.page.events():
        if method == "Network.responseReceived" and "/api/topics.json" in params["response"]["url"] and \
                ("?" in params["response"]["url"]) == query:
            try:
                found.append(json.loads(s.page.call("Network.getResponseBody", requestId=params["requestId"])["body"]))
            except AssertionError:
                pass  # it hasn't come in whole, or the browser keeps it no more
    return found


def embedded_files():
    """The program has the files of the source tree, each with its type"""
    with Daemon() as daemon, Metrics(daemon.path) as metrics:
        page = SOURCE / "src" / "export" / "page"
        for file in page.iterdir():
            if file.suffix != ".md":
                path = "/" if file.name == "index.html" else f"/{file.name}"
                response = metrics.request(path)
                assert (response.status, response.body) == (200, file.read_bytes()), path
        s = real(metrics)
        with s:
            s.live()
            s.page.wait("!document.querySelector('#none').hidden")
            text = s.page.js("document.querySelector('#none').textContent")
            assert text == "There are no topics. A topic begins when a program opens it.", text


def equal_to_the_api():
    """Under load the page shows what /api/topics.json says"""
    with Daemon() as daemon, Metrics(daemon.path) as metrics, subscriber(daemon, "load/a") as reliable, \
            subscriber(daemon, "load/a", "--policy", "best-effort") as loose, subscriber(daemon, "load/b") as other, \
            publisher(daemon, "load/a") as feed, publisher(daemon, "load/b", 200) as slow:
        programs = {p.pid for p in (reliable, loose, other, feed, slow)}
        with real(metrics) as s:
            s.page.wait("rows().length === 2 && rows().every((r) => /[1-9]/.test(r.rate.text) && r.p99.text !== '–')")
            s.page.key("p")
            s.page.wait("document.body.dataset.link === 'paused'")
            shown, docs = {row["name"]: row for row in table(s)}, documents(s)

            def fits(before, doc):
                for t in doc["topics"]:
                    row, seconds = shown[t["topic"]], (doc["time_ns"] - before["time_ns"]) / 1e9
                    old = next((o for o in before["topics"] if o["topic"] == t["topic"]), None)
                    if old is None or number(row["lag"]["title"]) != t["lag"] or \
                            abs(number(row["rate"]["title"]) - (t["published"] - old["published"]) / seconds) > 1 or \
                            any(abs(number(row[column]["title"]) - t["latency"][key]) > 1 for column, key in
                                (("p50", "p50_ns"), ("p99", "p99_ns"), ("p999", "p999_ns"), ("max", "max_ns"))):
                        return False
                return len(doc["topics"]) == 2
            assert any(fits(*pair) for pair in zip(docs, docs[1:])), (shown, docs[-2:])
            s.page.js("location.hash = '#topic=load%2Fa'")
            s.page.key("p")
            s.page.wait("rows('subs').length === 2 && rows('subs').every((r) => /[1-9]/.test(r.rate.text)) && "
                        "/of the last [0-9]+ s/.test(rows('quantiles')[0].of.text) && rows('quantiles')[0].p99.text !== '–'")
            s.page.key("p")
            s.page.wait("document.body.dataset.link === 'paused'")
            subs, pubs = table(s, "subs"), table(s, "pubs")
            assert {number(row["pid"]["text"]) for row in subs + pubs} <= programs and len(subs + pubs) == 3
            assert sorted(row["policy"]["text"] for row in subs) == ["best-effort", "reliable"], subs
            docs = [doc["topics"][0] for doc in documents(s, query=True)]
            values = [(number(row["delivered"]["title"]), number(row["lag"]["title"])) for row in subs]
            assert any(values == [(p["delivered"], p["lag"]) for p in t["subscribers"]] for t in docs), (values, docs[-2:])
            p50, p99 = (number(table(s, "quantiles")[0][column]["title"]) for column in ("p50", "p99"))
            assert 0 < p50 <= p99 < 60 * 10**9
            ledger = s.page.js("document.querySelector('#ledger').textContent")
            assert "each is accounted for" in ledger, ledger
            assert s.page.js("document.querySelectorAll('#near .edge.flow').length") == 3


def who_holds_up_whom():
    """A stopped subscriber is named as what its publisher waits for; it goes on, and that ends; a loss is shown"""
    with Daemon() as daemon, Metrics(daemon.path) as metrics, subscriber(daemon, "t") as risk, \
            subscriber(daemon, "t", "--policy", "best-effort") as loose, publisher(daemon, "t", 20000) as feed:
        with real(metrics) as s:
            s.page.wait("rows().length === 1 && rows()[0].rate.text !== '–'")
            loose.send(signal.SIGSTOP)
            s.page.wait(f"says('slow').some((t) => /^Subscriber aether-cli sub .pid {loose.pid}., which is stopped, is/.test(t))")
            loose.send(signal.SIGCONT)
            s.page.wait("/[1-9]/.test(rows()[0].lost.text)", "its loss is shown")
            assert s.page.js("rows()[0].lost.title").startswith("messages lost: ring "), table(s)
            risk.send(signal.SIGSTOP)
            said = s.page.wait(f"says('slow').find((t) => t.startsWith('Publisher aether-cli pub (pid {feed.pid}) has waited '))")
            assert re.search(rf" for subscriber aether-cli sub \(pid {risk.pid}\), which is stopped, [\d,]+ behind", said), said
            assert s.page.js("document.querySelectorAll('#graph .edge.waits').length") == 1
            risk.send(signal.SIGCONT)
            s.page.wait("!says('slow').some((t) => t.includes('has waited') || t.includes('stuck'))", "nobody waits any more")


def without_a_daemon():
    """aetherd is killed: topics go on, and the page says so; a publisher dies: it is among the departed"""
    with Daemon() as daemon, Metrics(daemon.path) as metrics, subscriber(daemon, "t"), publisher(daemon, "t") as feed:
        with real(metrics, "#topic=t") as s:
            s.page.wait("rows('pubs').length === 1 && rows('pubs')[0].rate.text !== '–'")
            daemon.kill()
            s.page.wait("!document.querySelector('#banner-daemon').hidden")
            before = number(table(s, "pubs")[0]["published"]["title"])
            s.page.wait(f"digits(rows('pubs')[0].published.title) > {before + 1000}", "messages go on")
            assert s.page.js("document.body.dataset.link") == "live"
            daemon.start()
            s.page.wait("document.querySelector('#banner-daemon').hidden")
            daemon.process.send_signal(signal.SIGSTOP)
            s.page.wait("document.querySelector('#banner-daemon').textContent.includes('is stopped: kill -CONT')")
            daemon.process.send_signal(signal.SIGCONT)
            s.page.wait("document.querySelector('#banner-daemon').hidden")
            feed.send(signal.SIGKILL)
            s.page.wait("rows('pubs').length === 0 && rows('gone').length === 1")
            gone = table(s, "gone")[0]
            assert (number(gone["pid"]["text"]), gone["end"]["text"], gone["role"]["text"]) == (feed.pid, "died", "publisher"), gone


def server_comes_and_goes():
    """aether-metrics ends: the figures are stale; it comes again: they are live"""
    with Daemon() as daemon, subscriber(daemon, "t"), publisher(daemon, "t"):
        with Metrics(daemon.path) as metrics:
            s = real(metrics)
            s.page.wait("rows().length === 1 && rows()[0].rate.text !== '–'")
        s.page.wait("document.body.dataset.link === 'lost'")
        assert len(table(s)) == 1
        host, port = metrics.address
        with Metrics(daemon.path, listen=f"{host}:{port}"):
            s.page.wait("document.body.dataset.link === 'live' && rows()[0].rate.text !== '–'")
            s.page.js("location.hash = '#topic=t'")
            s.page.wait("rows('subs').length === 1 && rows('subs')[0].p50.text !== '–'")
            s.clean(but=("ERR_CONNECTION", "ERR_EMPTY_RESPONSE"))
            state["browser"].events.clear()
            with s:
                pass


def real_hostile_names():
    """Topics with hostile names, of real bytes, are shown and opened"""
    names = [b'<img src=x onerror="window.pwned=1">', b"\xff\xfe raw", "\u202egnp.exe".encode(), b"x" * 255, b"a?b=c&d;e:f",
             b"line\nbreak\x1b[31m", b"100%25", "مرحبا".encode(), b"__proto__"]
    with Daemon() as daemon, Metrics(daemon.path) as metrics:
        for name in names:
            cli(daemon, "pub", name, "hello")
        with real(metrics) as s:
            s.page.wait(f"rows().length === {len(names)}")
            hrefs = s.page.js("[...document.querySelectorAll('#topics tbody a')].map((a) => a.getAttribute('href'))")
            assert {urllib.parse.unquote_to_bytes(href.removeprefix("#topic=")) for href in hrefs} == set(names)
            for href in hrefs:
                s.page.js(f"location.hash = {json.dumps(href)}")
                s.page.wait("/created /.test(document.querySelector('#topic-facts').textContent) && "
                            "document.querySelector('#topic-gone').hidden", f"{href} is open")
                asked = href.replace("#", "?")
                await_true(lambda: s.page.js("1") and any(url.endswith(asked) for url in s.page.requests()), "it is asked for")
            s.page.wait("rows('quantiles').length === 2")
            assert s.page.js("document.querySelector('#topic-gone').hidden && window.pwned === undefined && "
                             "!document.querySelector('main img')")


CASES = [embedded_files, equal_to_the_api, who_holds_up_whom, without_a_daemon, server_comes_and_goes, real_hostile_names]

try:
    run([case for case in CASES if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]])
finally:
    page_lib.close()
