#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""For the tests of the web page of aether-metrics: a page of the one browser, and what is checked after each case."""
import json

import browser
import page_world
from daemon_lib import Skip, await_true

# Timers of the page run so much faster where a case needs many documents.
FASTER = "const set = window.setTimeout; window.setTimeout = (f, ms, ...more) => set(f, ms <= 1000 ? ms / 200 : ms, ...more);"

state = {}


class Stage:
    """A page in the browser, and the stand-in that serves it."""

    def __init__(self, world, fast=False, hash="", url=None, width=1440):
        if not browser.find():
            raise Skip("chromium isn't installed")
        if "browser" not in state:
            state["browser"] = browser.Browser()
        state["browser"].events.clear()
        self.server = page_world.Server(world) if url is None else None
        self.url = url or self.server.url
        self.page = browser.Page(state["browser"], width)
        if fast:
            self.page.call("Page.addScriptToEvaluateOnNewDocument", source=FASTER)
        self.page.goto(self.url + "/" + hash)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.clean()
        finally:
            self.page.close()
            if self.server:
                self.server.close()

    def clean(self, but=()):
        """The console is empty, nothing violated the policy, and nothing was asked of another origin."""
        found = [text for text in self.page.complaints() if not any(word in text for word in but)]
        assert not found, found
        foreign = [url for url in self.page.requests() if not url.startswith((self.url, "data:", "about:"))]
        assert not foreign, foreign
        assert not [m for m, _ in self.page.events() if m == "Page.javascriptDialogOpening"]

    def asked(self, n):
        """Waits until the page has asked n more times."""
        wanted = self.server.asked + n
        while self.server.asked < wanted:
            asked = self.server.asked
            await_true(lambda: self.server.asked != asked, f"document {asked + 1} of {wanted}")

    def live(self):
        self.page.wait("document.body.dataset.link === 'live'", "the page is live")

    def freeze(self):
        """No more readings; returns the document that the page shows from now on."""
        with self.server.lock:
            self.server.mode = "frozen"
            doc = self.server.world.document()
        lag = {t["topic"]: t["lag"] for t in doc["topics"]}
        self.page.wait(f"(() => {{ const lag = {json.dumps(lag)}; return rows().length > 0 && rows().every((r) => "
                       "!(r.name in lag) || digits(r.lag.title) === lag[r.name]); })()", "the last document is shown")
        return doc


HELPERS = """
    window.digits = (text) => text === null || text === '' ? null : Number(text.replace(/[^0-9]/g, ''));
    window.cells = (row) => Object.fromEntries([...row.children].map((cell) => [cell.dataset.col,
        {text: cell.innerText.trim(), title: cell.title, node: cell}]));
    window.rows = (id = 'topics') => [...document.querySelectorAll(`#${id} tbody tr`)].map((row) => {
        const all = cells(row);
        return {...Object.fromEntries(Object.entries(all).map(([k, v]) => [k, {text: v.text, title: v.title}])),
                name: (all.name ?? all.client ?? all.of).title};
    });
    window.says = (id) => [...document.querySelectorAll(`#${id} .says`)].map((node) => node.textContent);
"""


def stage(*args, **more):
    s = Stage(*args, **more)
    s.page.js(HELPERS)
    s.page.call("Page.addScriptToEvaluateOnNewDocument", source=HELPERS)
    return s


def table(s, id="topics"):
    """The rows of a table: {column: {"text", "title"}, "name": the name in the first column}."""
    return s.page.js(f"rows('{id}')")


def close():
    if "browser" in state:
        state["browser"].close()
