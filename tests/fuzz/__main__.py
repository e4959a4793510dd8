"""Fuzz every reader of what others wrote: inventories, suites, journals, exit records, tools' output, tars.

python -m tests.fuzz [--minutes M] [--only NAME] [--engine atheris|hypothesis] [--json] [--keep FOLDER]

Per reader M minutes of CPU time (default 10): four fifths guided by coverage (atheris, where it is installed), the
rest drawn by Hypothesis. A crash is any error but those that the reader documents, a broken promise about what it
returned, an execution of more than 5 s, or more than 3 GiB of memory. Exit code 1 if there was one.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.subjects import SUBJECTS, Subject
from tests.fuzz.watch import Tally

#: A child may take STRETCH times its CPU time plus START_S by the wall clock: it first imports instrumented code.
STRETCH, START_S = 10.0, 120.0
_GUIDED_SHARE = 0.8


def engines(only: str | None) -> dict[str, float]:
    """Return engine -> its share of the time."""
    if only is not None:
        return {only: 1.0}
    if importlib.util.find_spec("atheris") is None:
        return {"hypothesis": 1.0}
    return {"atheris": _GUIDED_SHARE, "hypothesis": 1 - _GUIDED_SHARE}


def fuzz(subject: Subject, engine: str, seconds: float, folder: Path) -> Tally:
    """One engine on one reader, in a child process."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.fuzz.child", subject.name, engine, str(seconds), str(folder)]
    with (folder / "log.txt").open("wb") as log:
        try:
            code = subprocess.run(
                command, stdout=log, stderr=log, timeout=STRETCH * seconds + START_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    tally = Tally(subject.name, engine)
    if (folder / "tally.json").exists():
        tally = Tally(**json.loads((folder / "tally.json").read_text()))
    if code != 0:
        said = (folder / "log.txt").read_text(errors="replace").strip().splitlines()[-3:]
        tally.crashes[f"the process ended with {code}"] = f"{folder}: {' | '.join(said)[:300]}"
    return tally


def fuzz_all(minutes: float, only: str | None, engine: str | None, folder: Path) -> Iterator[Tally]:
    """Fuzz each reader with each engine."""
    for subject in SUBJECTS:
        if only in (None, subject.name):
            for name, share in engines(engine).items():
                yield fuzz(subject, name, minutes * 60 * share, folder / f"{subject.name}-{name}")


def row(tally: Tally) -> str:
    """Return one line of the table."""
    return (
        f"| {tally.name} | {tally.engine} | {tally.executions:,} | {tally.accepted:,} | {tally.seconds:.0f} | "
        f"{tally.slowest_s * 1000:.0f} ms | {tally.peak_mib:.0f} MiB | {tally.new_corpus} | {len(tally.crashes)} |"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 1 if there was a crash, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of CPU time for each reader; default 10")
    parser.add_argument("--only", choices=[candidate.name for candidate in SUBJECTS])
    parser.add_argument("--engine", choices=["atheris", "hypothesis"])
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument(
        "--keep", type=Path, help="folder for corpora, crashes and logs; default: a temporary one"
    )
    options = parser.parse_args(arguments)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="tunebench-fuzz-"))
    said = sys.stderr if options.json else sys.stdout
    print(
        "| reader | engine | executions | accepted | seconds | slowest | peak | new corpus | crashes |",
        file=said,
    )
    print("|---|---|---|---|---|---|---|---|---|", file=said, flush=True)
    tallies = []
    for tally in fuzz_all(options.minutes, options.only, options.engine, folder):
        tallies.append(tally)
        print(row(tally), file=said, flush=True)
        for signature, example in tally.crashes.items():
            print(f"    crash: {signature}: {example}", file=said, flush=True)
    crashes = sum(len(tally.crashes) for tally in tallies)
    print(
        f"{len(tallies)} runs, {sum(t.executions for t in tallies):,} executions, {crashes} crashes",
        file=said,
    )
    if options.json:
        print(json.dumps({"fuzz": [asdict(tally) for tally in tallies]}))
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
