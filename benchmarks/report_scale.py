"""How long index, trend and report take on a year of a lab, how heavy the page is, and how soon a browser has it.

    python -m benchmarks.report_scale [--store DIR] [--nights 365] [--boards 8] [--cells 12]

The store is simulated (:mod:`tunebench.reports.history.simulated`): 365 nights x 8 boards x 12 cells x 5 repetitions
are 175,200 repetitions in 365 files; its last night has traces, phases, energy and learning curves (96 repetitions
more). With ``--store DIR`` it is written there once and used again. The report is made by the command, as a user
starts it; without playwright and a Chromium in PATH the browser's part is left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tunebench.reports.history import index
from tunebench.reports.history.series import all_series, nights_of, opened
from tunebench.reports.history.simulated import SimulatedLab
from tunebench.reports.history.simulated.details import fill_up
from tunebench.reports.results import layout

#: What the browser tells of a page: milliseconds since the navigation began.
_TIMES = """() => { const [n] = performance.getEntriesByType('navigation');
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  return { paint: paint ? paint.startTime : null, ready: n.domContentLoadedEventEnd, loaded: n.loadEventEnd,
           packed: document.querySelectorAll("script[id^='data-trace'], script[id^='data-joules']").length,
           decoded: document.querySelectorAll('script[data-decoded]').length }; }"""


def main() -> None:
    """Print the figures as a Markdown table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--store", type=Path)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--boards", type=int, default=8)
    parser.add_argument("--cells", type=int, default=12)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = asked.store or Path(scratch) / "store"
        if not store.is_dir():
            write_store(store, boards=asked.boards, cells=asked.cells, nights=asked.nights)
        print("| what | figure |\n|---|---|")
        for what, figure in measured(store, Path(scratch)):
            print(f"| {what} | {figure} |", flush=True)


def write_store(store: Path, *, boards: int, cells: int, nights: int) -> None:
    """A simulated lab's nights, the last one with everything that a real run has."""
    lab = SimulatedLab(boards=boards, cells=cells, repetitions=5)
    for night in range(nights):
        folder = lab.write_night(store, night)
    fill_up(folder)


def measured(store: Path, scratch: Path) -> list[tuple[str, str]]:
    """(what, figure) of every step."""
    rows = []
    begun = time.monotonic()
    made = index.build(store)
    rows.append(("index", f"{time.monotonic() - begun:.2f} s: {made.repetitions:,} in {made.runs} files"))
    begun = time.monotonic()
    with opened(made.path) as database:
        keys = [series.series_key for series in all_series(database)]
        nights = sum(map(len, nights_of(database, keys).values()))
    rows.append(("trend query", f"{time.monotonic() - begun:.2f} s: {nights:,} nights of {len(keys)} series"))
    page = scratch / "report.html"
    last = layout.run_folders(store)[-1]
    command = [
        sys.executable,
        "-m",
        "tunebench.harness.cli.app",
        "report",
        str(last),
        "--store",
        str(store),
        "--html",
        str(page),
    ]
    begun = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    rows.append(("report of the last run, --store", f"{time.monotonic() - begun:.2f} s"))
    rows.append(("page", f"{page.stat().st_size / 1e6:.2f} MB"))
    return rows + in_browser(page)


def in_browser(page: Path, tries: int = 3) -> list[tuple[str, str]]:
    """How soon Chromium has the page; the median of ``tries`` fresh browsers' contexts."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        return [("in Chromium", "not measured: playwright or a Chromium is missing")]
    loads = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(tries):
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            tab = context.new_page()
            tab.goto(page.as_uri(), wait_until="load")
            tab.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
            loads.append(tab.evaluate(_TIMES))
            context.close()
        browser.close()
    loads.sort(key=lambda times: times["loaded"])
    middle = loads[len(loads) // 2]
    rows = [
        (f"Chromium: {what}", f"{middle[key]:.0f} ms")
        for what, key in (("first paint", "paint"), ("loaded", "loaded"))
    ]
    return [*rows, ("traces decoded on opening", f"{middle['decoded']} of {middle['packed']}")]


if __name__ == "__main__":
    main()
