"""The page of a run in a real browser: it fills itself, what boards say is text, and everybody can read it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tunebench.harness.watch.view import Watch
from tunebench.harness.watch.web import Feed, WatchServer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\x1b[31m\u202e"


def test_the_page_fills_itself_hostile_lines_are_text_and_axe_finds_nothing(written, browser):
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    run = written("pi", blocks=2)
    run.add("pi", "ft-all", 0, 2.0)
    with WatchServer(Feed(Watch(run.path))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            page = browser.new_page(viewport={"width": 390, "height": 800})
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on(
                "console", lambda message: faults.append(message.text) if message.type == "error" else None
            )
            page.goto(server.address)
            page.wait_for_selector("#boards td >> text='1/4'")
            run.add("pi", "lora", 0, 1.0)
            run.add("pi", "lora", 1, 1.0, outcome="failed", outcome_reason=EVIL, verdict="invalid")
            page.wait_for_selector("#boards td >> text='3/4'")
            newest = page.inner_text("#boards li >> nth=0")
            assert (
                "<script>document.title='owned'</script><img src=x" in newest and "\\x1b[31m\\u202e" in newest
            )
            assert page.title() == "tunebench watch"
            assert page.inner_text("#speeds tr").split("\t") == [
                "pi",
                "digits/mlp",
                "lora",
                "2.00",
                "ft-all",
                "1",
            ]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                "a phone scrolls tables alone"
            )
            page.evaluate((Path(axe.__path__[0]) / "axe.min.js").read_text(encoding="utf-8"))
            results = page.evaluate("axe.run({resultTypes: ['violations']})")
            assert results["passes"]
            grave = [v["id"] for v in results["violations"] if v["impact"] in ("serious", "critical")]
            assert (grave, faults) == ([], [])
        finally:
            server.shutdown()
            thread.join()
