"""Pages for the browser; one that is opened must stay silent and offline."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.reports.analysis.two_runs.comparison import compare_runs
from tunebench.reports.render.html import render, render_comparison
from tunebench.reports.results import RunReader

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31mred\x1b]0;t\x07\u202e{{7*7}}"
LONG = "x" * 1_000_000


@pytest.fixture(scope="package")
def pages(tmp_path_factory, answer_run, lab_run, study_run, lorae_run):
    """Files by name: the pages of a lab's campaign, two studies, and two runs compared."""
    root = tmp_path_factory.mktemp("pages")

    def write(name: str, html: str) -> Path:
        path = root / f"{name}.html"
        path.write_text(html, encoding="utf-8", errors="replace")
        return path

    lab, study = RunReader(lab_run), RunReader(study_run)
    return {
        "answer_run": write("answer", render(RunReader(answer_run))),
        "lab_run": write("lab", render(lab)),
        "study_run": write("study", render(study)),
        "lorae_run": write("lorae", render(RunReader(lorae_run))),
        "comparison": write("comparison", render_comparison(compare_runs(lab, lab))),
    }


@pytest.fixture
def hostile(campaign, tmp_path, fake_board):
    """The page of a run whose names, logs and reasons are attacks or a megabyte long."""
    campaign.boards = [fake_board(f"b{EVIL}", "linux", EVIL), fake_board("long" + LONG, "linux", LONG)]
    campaign.rename = {"lora-all": f"m{EVIL}", "ft-all": f"f{EVIL}", "lora-last": "l" + LONG}
    campaign.task = f"d{EVIL}/{EVIL}"
    campaign.failed, campaign.invalid = {"b0-t0-m2", "b1-t1-m3"}, {"b0-t1-m1"}
    campaign.log = f"log {EVIL} }}}} {{{{ 7*7 }}}}".encode() + b"\xff\xfe" + LONG.encode()
    path = tmp_path / "hostile.html"
    path.write_text(
        render(RunReader(campaign.write(tmp_path / "results"))), encoding="utf-8", errors="replace"
    )
    return path


@pytest.fixture
def visit(browser):
    """Function that opens a file; fails afterwards if it wrote to the console or used the network."""
    contexts, messages, asked, files = [], [], [], set()

    def open_with(path: Path, hash_: str = "", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: (messages.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        files.add(path.as_uri())
        page.goto(path.as_uri() + hash_)
        return page

    yield open_with
    for context in contexts:
        context.close()
    assert messages == []
    # A blob: URL is a download that the page itself has made.
    assert [u for u in asked if u.split("#")[0] not in files and not u.startswith(("data:", "blob:"))] == []
