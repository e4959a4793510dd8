"""Folders, Parquet and PostgreSQL side by side: ``python -m benchmarks.stores [--runs 20] [--writers 1]``.

Writes a simulated lab's sealed nights, pushes them into a Parquet folder and into a PostgreSQL server that it starts
for itself (Debian's package, a Unix socket, stock settings with fsync on), and asks each of the three the same: the
index, the gate's verdict on the last night, queries in SQL, and the lab's pages. A year of a lab is ``--runs 350``:
175,000 repetitions, ten minutes on two busy cores. CPU seconds are of the processes that push or write, not the server.
It ends with 1 if the three do not agree.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.cpu_time import cpu_s
from tests.reports.stores.postgres_server import PostgresServer, why_not
from tunebench.harness.nightly.gate import gate
from tunebench.reports.history import decisions, index
from tunebench.reports.history.gate_text import as_json_value
from tunebench.reports.history.simulated import SimulatedLab, seal
from tunebench.reports.render.site import write_site
from tunebench.reports.stores.address import Address, address_of
from tunebench.reports.stores.pushing import push
from tunebench.reports.stores.store import opened

_MEDIANS = (
    "SELECT board_id, label, count(*), {median} FROM {table} WHERE outcome = 'ok' GROUP BY 1, 2 ORDER BY 1, 2"
)
_SERIES = "SELECT run_id, {median} FROM {table} WHERE series_key = 'board-00-method-01' GROUP BY 1 ORDER BY 1"


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=500, help="of a run, about")
    parser.add_argument("--writers", type=int, default=1, help="processes that push at the same time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunebench-stores-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        rows, agree = _measure(folder, options.runs, max(1, options.repetitions // 20), options.writers)
    if options.json:
        print(json.dumps({"rows": rows, "agree": agree}, indent=2))
    else:
        for row in rows:
            print("  ".join(f"{cell!s:>14}" for cell in row.values()))
        print("the three agree" if agree else "THE THREE DO NOT AGREE")
    return 0 if agree else 1


def _measure(folder: Path, runs: int, cells: int, writers: int) -> tuple[list[dict[str, object]], bool]:
    root = folder / "results"
    lab = SimulatedLab(boards=4, cells=cells, repetitions=5)
    # The last night was the last: the gate says of one that is to come what the clock says now.
    first = (datetime.now(UTC) - timedelta(days=runs)).replace(hour=2, minute=0, second=0, microsecond=0)
    for night in range(runs):
        seal(lab.write_night(root, night, started=first + timedelta(days=night)))
    last = max(root.glob("*/*/*/*/*"), key=lambda path: path.name)
    places: dict[str, Path | Address] = {"folders": root, "parquet": address_of(f"parquet://{folder}/share")}
    reason = why_not()
    server = None
    if reason is None:
        server = PostgresServer(folder / "postgres")
        places["postgres"] = address_of(server.address)
    else:
        print(f"postgres left out: {reason}", file=sys.stderr)
    try:
        measured = [_row(name, place, root, last, writers) for name, place in places.items()]
    finally:
        if server is not None:
            server.stop()
    answers = [answer for _, answer in measured]
    head = {"store": "store", "repetitions": "repetitions", "push_s": "push s", "push_rows_s": "push rows/s",
            "push_cpu_s": "push CPU s", "repeat_s": "repeat s", "index_s": "index s", "gate_s": "gate s",
            "medians_ms": "medians ms", "series_ms": "series ms", "site_s": "site s", "site_cpu_s": "site CPU s",
            "site_mb": "site MB"}  # fmt: skip
    return [head, *(row for row, _ in measured)], all(answer == answers[0] for answer in answers)


def _row(
    name: str, place: Path | Address, root: Path, last: Path, writers: int
) -> tuple[dict[str, object], object]:
    pushed = repeated = push_cpu_s = None
    if isinstance(place, Address):
        begun_cpu_s = cpu_s()
        pushed = _seconds(lambda: _pushed_by(place, root, writers))
        push_cpu_s = cpu_s() - begun_cpu_s
        repeated = _seconds(lambda: push([root], place))
    with tempfile.TemporaryDirectory(prefix="tunebench-index-") as folder:
        report = None

        def make() -> None:
            nonlocal report
            report = index.build(place, Path(folder) / "index.duckdb")

        index_s = _seconds(make)
        assert report is not None
        judged: list[object] = []
        gate_s = _seconds(lambda: judged.append(as_json_value(gate(last, place))))
        medians_ms, series_ms = _queries(place, report.path)
        decided, _ = decisions.read(place)
        public = Path(folder) / "public"
        begun_s, begun_cpu_s = time.perf_counter(), cpu_s()
        pages = write_site(report.path, decided, public, lambda _: None)
        site_s, site_cpu_s = time.perf_counter() - begun_s, cpu_s() - begun_cpu_s
    row = {
        "store": name,
        "repetitions": report.repetitions,
        "push_s": "-" if pushed is None else round(pushed, 2),
        "push_rows_s": "-" if pushed is None else round(report.repetitions / pushed),
        "push_cpu_s": "-" if push_cpu_s is None else round(push_cpu_s, 2),
        "repeat_s": "-" if repeated is None else round(repeated, 2),
        "index_s": round(index_s, 2),
        "gate_s": round(gate_s, 2),
        "medians_ms": medians_ms,
        "series_ms": series_ms,
        "site_s": round(site_s, 2),
        "site_cpu_s": round(site_cpu_s, 2),
        "site_mb": round(pages.bytes / 1e6, 1),
    }
    return row, (report.runs, report.repetitions, judged)


def _pushed_by(address: Address, root: Path, writers: int) -> None:
    """Push all runs by so many processes, each its own share of them."""
    folders = sorted(root.glob("*/*/*/*/*"))
    if writers == 1:
        push(folders, address)
        return
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=push, args=(folders[i::writers], address)) for i in range(writers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a writer failed")


def _queries(place: Path | Address, made: Path) -> tuple[float, float]:
    """Time two queries where the rows are: in the index, in the files, on the server (ms, the middle of 5)."""
    if isinstance(place, Address) and place.scheme == "postgres":
        with opened(place) as store:
            connection = store._connection  # type: ignore[attr-defined]
            median = "percentile_cont(0.5) WITHIN GROUP (ORDER BY wall_s)"
            medians = _MEDIANS.format(table="tunebench.repetitions", median=median)
            series = _SERIES.format(table="tunebench.repetitions", median=median)
            return (
                _middle_ms(lambda: connection.execute(medians).fetchall()),
                _middle_ms(lambda: connection.execute(series).fetchall()),
            )
    table = f"'{place.folder}/dt=*/*.parquet'" if isinstance(place, Address) else "repetitions"
    with duckdb.connect(str(made), read_only=True) as database:
        return (
            _middle_ms(
                lambda: database.execute(_MEDIANS.format(table=table, median="median(wall_s)")).fetchall()
            ),
            _middle_ms(
                lambda: database.execute(_SERIES.format(table=table, median="median(wall_s)")).fetchall()
            ),
        )


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _middle_ms(call: Callable[[], object]) -> float:
    return round(1000 * statistics.median(_seconds(call) for _ in range(5)), 1)


if __name__ == "__main__":
    sys.exit(main())
