"""The lab's pages: what they list, that links lead somewhere, and that only what changed is written."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tunebench.harness.cli import site as cli
from tunebench.reports.history import decisions
from tunebench.reports.history.simulated import SimulatedLab, seal
from tunebench.reports.stores.address import address_of
from tunebench.reports.stores.pushing import push

HOSTILE = "<script>alert(1)</script> \"x'"


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.hrefs += [value or "" for name, value in attrs if tag == "a" and name == "href"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six nights, one with a report beside it, and a decision with a hostile reason."""
    root = tmp_path_factory.mktemp("site") / "results"
    lab = SimulatedLab(boards=2, cells=2, repetitions=3)
    folders = [lab.write_night(root, night) for night in range(6)]
    for folder in folders:
        seal(folder)
    folders[2].with_name(f"{folders[2].name}.html").write_text("<title>report</title>")
    decisions.append(
        root,
        decisions.Decision(
            t_utc="2026-01-03T12:00:00Z", who="a", kind="quarantine", reason=HOSTILE, board_id="board-01"
        ),
    )
    return root


def _site(root: object, out: Path, *more: str) -> str:
    done = CliRunner().invoke(cli.app, ["--store", str(root), "--out", str(out), *more])
    assert done.exit_code == 0, done.output
    return done.stdout


def _pages(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): path.read_text(encoding="utf-8") for path in out.rglob("*.html")
    }


def test_every_board_series_and_night_has_a_page_and_every_link_leads_to_a_file(root, tmp_path):
    assert "(13 pages, 13 written, 0 unchanged, 0 removed" in _site(root, tmp_path / "public")
    pages = _pages(tmp_path / "public")
    assert len(pages) == 1 + 2 + 4 + 6
    reports = 0
    for name, html in pages.items():
        links = _Links()
        links.feed(html)
        assert links.hrefs and "script" not in links.tags
        for href in links.hrefs:
            target = (tmp_path / "public" / name).parent / href
            assert target.is_file(), (name, href)
            reports += target.read_text(encoding="utf-8") == "<title>report</title>"
    assert reports == 2, "on the first page and on the night's"


def test_the_trend_has_the_decision_and_its_reason_is_text(root, tmp_path):
    _site(root, tmp_path)
    pages = _pages(tmp_path)
    assert not any("<script" in html for html in pages.values())
    (board,) = [html for name, html in pages.items() if name.startswith("boards/board-01")]
    assert "quarantine" in board and "&lt;script&gt;" in board
    assert "quarantined: " in pages["index.html"]
    assert sum("quarantine: " in html for name, html in pages.items() if name.startswith("series/")) == 2


def test_a_new_night_writes_its_pages_and_what_it_changes_and_an_old_one_is_left(root, tmp_path):
    _site(root, tmp_path)
    night = tmp_path / "nights" / "20260101T020000Z-000000.html"
    os.utime(night, (1, 1))
    assert "13 pages, 0 written, 13 unchanged" in _site(root, tmp_path)
    (tmp_path / "nights" / "gone.html").write_text("old")
    names = tmp_path / ".tunebench-site.json"
    names.write_text(names.read_text().replace("[", '["nights/gone.html",', 1))
    (tmp_path / "mine.txt").write_text("mine")
    assert "0 written, 13 unchanged, 1 removed" in _site(root, tmp_path)
    assert night.stat().st_mtime == 1
    assert (tmp_path / "mine.txt").exists() and not (tmp_path / "nights" / "gone.html").exists()


def test_a_store_gives_the_same_pages_and_reports_where_they_are_published(root, tmp_path):
    store = address_of(f"parquet://{tmp_path}/share")
    push([root], store)
    words = ("--reports", "https://lab.example/reports/")
    _site(root, tmp_path / "a", *words)
    _site(store, tmp_path / "b", *words)
    assert _pages(tmp_path / "a") == _pages(tmp_path / "b")
    link = "https://lab.example/reports/simulated/2026/01/06/20260106T020000Z-000005.html"
    assert link in _pages(tmp_path / "a")["index.html"]


def test_pages_that_are_not_a_sites_are_not_written_over(root, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    done = CliRunner().invoke(cli.app, ["--store", str(root), "--out", str(tmp_path)])
    assert "holds pages that tunebench did not write" in str(done.exception)
    assert (tmp_path / "index.html").read_text() == "mine"
    done = CliRunner().invoke(cli.app, ["--store", str(root), "--out", str(root)])
    assert "is the store itself" in str(done.exception)
