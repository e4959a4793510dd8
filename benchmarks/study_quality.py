"""Measure the quality of a study's suite in this process: its blocks, bases, seeds and test set, without boards.

    python -m benchmarks.study_quality skip2-quality-damage1 --keep damage1.json    # goes on where it was stopped

A repetition of ``tunebench run`` costs a second of processor time beside the fine-tuning: an agent, a Python and SSH
for each. Where a fine-tuning takes a tenth of that, 50 bases are mostly overhead. Quality does not depend on it: what a
repetition is told (``workload_spec``), its data and start weights are the same here, and ``--against RUN`` compares each
score with that of a run of the suite. Times are not told. Judged as in the report: Hodges-Lehmann, exact 95% signed-rank
interval, margin.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tunebench.harness.artifacts.gather import data_dir_from_env, prepare_bases
from tunebench.harness.config.suite import Suite, Workload, load_suite
from tunebench.harness.planning.job import workload_spec
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.formatting.output import write_output
from tunebench.reports.results import RunReader
from tunebench.reports.stats.non_inferiority import as_score, judge_non_inferiority, points_apart
from tunebench.reports.stats.sample import mean_sd
from tunebench.workloads import artefact
from tunebench.workloads.engines import load_engine
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import make_task

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Measured:
    """What came out of one fine-tuning: scores 0..1, ``after`` None where it diverged; loss of the last epoch."""

    before: float
    after: float | None
    loss: float | None


def key_text(key: Key) -> str:
    """Return a key as it stands in the file.

    >>> key_text(("digits/mlp", "ft-all", 3))
    'digits/mlp | ft-all | 3'
    """
    return " | ".join(map(str, key))


def wanted(suite: Suite, labels: Sequence[str] = ()) -> Iterator[tuple[Workload, int]]:
    """Yield every row of a suite (with labels: those rows) with every block of it, block by block."""
    for block in range(suite.header.blocks):
        for row in suite.workloads:
            if labels and row.label not in labels:
                continue
            if not (row.own or row.aa_control) and block < (row.blocks or suite.header.blocks):
                yield row, block


def measure(row: Workload, block: int, base: int) -> Measured:
    """Fine-tune as a timed repetition of the block does, and evaluate on the suite's test set."""
    data, weights = _artefacts(str(row.dataset), str(row.model), base)
    parsed = spec.parse(workload_spec(Planned("here", "host", block, 0, "timed", block, row)))
    task = make_task(parsed, data, weights)
    session = load_engine(parsed.engine, parsed.model).Session(task)
    before = float(session.evaluate().accuracy)
    losses = [float(loss) for loss in session.train_epochs(0, parsed.epochs)]
    diverged = not all(map(math.isfinite, losses))
    after = None if diverged else float(session.evaluate().accuracy)
    return Measured(before, after, losses[-1] if losses and not diverged else None)


@lru_cache(maxsize=4)
def _artefacts(dataset: str, model: str, base: int) -> tuple[artefact.Artefact, artefact.Artefact]:
    """Return the data and the start weights of a base; they are trained where they are missing."""
    (prepared,) = prepare_bases(dataset, model, [base], data_dir=data_dir_from_env())
    return artefact.read(str(prepared.data)), artefact.read(str(prepared.weights))


def measure_all(suite: Suite, keep: Path, labels: Sequence[str] = ()) -> dict[Key, Measured]:
    """Measure what the file lacks, writing it after every repetition."""
    scores = json.loads(keep.read_text()) if keep.exists() else {}
    known: dict[Key, Measured] = {}
    for row, block in wanted(suite, labels):
        key = (row.task, row.label, block)
        if key_text(key) not in scores:
            made = measure(row, block, block % suite.header.bases)
            scores[key_text(key)] = [made.before, made.after, made.loss]
            write_output(keep, json.dumps(scores).encode(), "--keep")
        known[key] = Measured(*scores[key_text(key)])
    return known


def show(suite: Suite, known: Mapping[Key, Measured]) -> Iterator[str]:
    """Yield a line a row: score, difference to the task's baseline with its verdict, loss."""
    for row in suite.workloads:
        mine = of_row(known, row.task, row.label)
        if not mine:
            continue
        scores = {block: item.after for block, item in mine.items()}
        mean, sd = mean_sd([100 * as_score(score) for score in scores.values()])
        losses = [item.loss for item in mine.values() if item.loss is not None]
        cells = [
            f"{row.task} {row.label}",
            f"n {len(mine)}",
            f"diverged {sum(score is None for score in scores.values())}",
            f"before {100 * sum(item.before for item in mine.values()) / len(mine):.2f}",
            f"{mean:.2f} +- {sd or 0:.2f}",
            f"loss {sum(losses) / len(losses):.3g}" if losses else "loss -",
            *versus(suite, known, row, scores),
        ]
        yield "; ".join(cells)


def of_row(known: Mapping[Key, Measured], task: str, label: str) -> dict[int, Measured]:
    """Return what was measured of a row, by block."""
    return {key[2]: item for key, item in known.items() if key[:2] == (task, label)}


def versus(
    suite: Suite, known: Mapping[Key, Measured], row: Workload, scores: Mapping[int, float | None]
) -> Iterator[str]:
    """Yield the differences to the other rows of a task: of the candidate with the verdict at the margin."""
    others = [other for other in suite.workloads if other.task == row.task and other.label != row.label]
    for other in others:
        theirs = {block: item.after for block, item in of_row(known, other.task, other.label).items()}
        shift = points_apart(theirs, scores)
        if shift is None or row.label != suite.header.candidate:
            continue
        judged = judge_non_inferiority(theirs, scores, suite.header.margin or 1.0)
        word = f" {judged.verdict}" if judged and other.label == suite.header.baseline else ""
        yield f"minus {other.label} {shift.shift:+.2f} [{shift.low:+.2f}, {shift.high:+.2f}]{word}"


def differing(known: Mapping[Key, Measured], run: RunReader) -> tuple[int, list[str]]:
    """Return how many repetitions of a run were compared, and those whose score is another."""
    compared, unequal = 0, []
    for rep in run.repetitions:
        here = known.get((rep.task, rep.label, rep.block))
        if rep.role == "timed" and rep.outcome == "ok" and here is not None:
            compared += 1
            if rep.quality.after != here.after:
                unequal.append(f"{rep.task} {rep.label} block {rep.block}: {rep.quality.after} {here.after}")
    return compared, unequal


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("suite")
    parser.add_argument(
        "--row", action="append", default=[], metavar="LABEL", help="only this row; repeatable"
    )
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--against", type=Path, help="a run of the suite, to compare scores with")
    given = parser.parse_args(arguments)
    suite = load_suite(given.suite)
    unknown = set(given.row) - {row.label for row in suite.workloads}
    if unknown:
        parser.error(f"{given.suite} has no row {', '.join(sorted(unknown))}")
    known = measure_all(suite, given.keep, given.row)
    print("\n".join(show(suite, known)))
    if given.against:
        compared, unequal = differing(known, RunReader(given.against))
        print(f"{compared} scores of the run compared, {len(unequal)} differ", *unequal, sep="\n")


if __name__ == "__main__":
    main()
