"""Whether the predicted best cut is the measured best: ``python -m benchmarks.partition [--slower 200] [--blocks 3]``.

Five shaped links on loopback. A board that is this machine is as fast as its host, so that no cut could ever win: the
board is therefore slowed down. Its interpreter finds another ``onnxruntime`` before the real one; each run of a session
then lasts so many times as long, in a loop that waits. That is a stand-in for a slow board, and no time of one. All else
is as in any run: real SSH, the proxy that shapes, the suite, the records, the report's own numbers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tunebench.harness.campaign.progress import Silent
from tunebench.harness.campaign.session import Request, open_session
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.reports.analysis.row import PartitionNumbers
from tunebench.reports.results import RunReader
from tunebench.reports.summary import summarise
from tunebench.targets.transport.traffic_shaping import PROFILES

_SUITE = """
[suite]
name = "partition"
blocks = {blocks}
instrumented = false
aa = false

[compress]
tune = {{ epochs = 1, batch = 50 }}
rates = [0.005]
calls = 50

[[workload]]
dataset = "{dataset}"
model = "{model}"
runtime = "onnxruntime"
chains = {{ "plain" = ["tune"] }}
partition = "auto"
links = [{links}]
"""
_SLOWER = '''
"""Stands for onnxruntime on a board that is {factor:g} times as slow."""
import importlib, os, sys, time
sys.path.remove(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
del sys.modules["onnxruntime"]
real = importlib.import_module("onnxruntime")


class Slower(real.InferenceSession):
    def run(self, *arguments, **options):
        begun_s = time.perf_counter()
        outputs = super().run(*arguments, **options)
        until_s = begun_s + {factor!r} * (time.perf_counter() - begun_s)
        while time.perf_counter() < until_s:
            pass
        return outputs


real.InferenceSession = Slower
'''


def slow_interpreter(folder: Path, factor: float, python: str = sys.executable) -> Path:
    """Write a Python whose onnxruntime is so many times as slow, and return its path."""
    package = folder / "slower" / "onnxruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(_SLOWER.format(factor=factor))
    program = folder / "slow-python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{package.parent}" exec {python} "$@"\n')
    program.chmod(0o755)
    return program


def suite_text(dataset: str, model: str, links: Sequence[str] = tuple(PROFILES), blocks: int = 1) -> str:
    """Return a suite that cuts one network; links are names, or tables as they stand in a suite."""
    written = ", ".join(link if link.startswith("{") else f'"{link}"' for link in links)
    return _SUITE.format(blocks=blocks, dataset=dataset, model=model, links=written)


def shaped_best(reader: RunReader) -> list[tuple[str, str | None, str | None, float | None]]:
    """Return link, predicted best, measured best and what the predicted one costs more, of each shaped link."""
    known: list[PartitionNumbers] = [row.partition for row in summarise(reader).rows if row.partition]
    return [
        (link.link, link.predicted_best, link.measured_best, link.excess)
        for numbers in known
        for link in numbers.links
        if link.how == "shaped"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slower", type=float, default=200.0, help="the board against this host")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--model", default="resnet-small")
    parser.add_argument("--out", type=Path, help="keep the run here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.toml").write_text(suite_text(options.dataset, options.model, blocks=options.blocks))
        python = slow_interpreter(folder, options.slower)
        (folder / "lab.toml").write_text(
            f'[lab]\nname = "bench"\n[[board]]\nid = "slow"\nkind = "loopback"\nworkdir = "{folder}/work"\n'
            f'interpreter = "{python}"\n'
        )
        inventory = load_inventory(folder / "lab.toml")
        suite = load_suite(str(folder / "suite.toml"))
        out = options.out or folder / "results"
        session = open_session(
            Request(suite, inventory.boards, "bench", out, False, ["benchmarks.partition"])
        )
        session.close(session.campaign(Silent()).run())
        best = shaped_best(RunReader(session.writer.path))
    print(f"{'link':8} {'predicted':20} {'measured':20} costs more")
    for link, predicted, measured, excess in best:
        print(f"{link:8} {predicted!s:20} {measured!s:20} {'' if excess is None else f'{excess:+.1%}'}")
    right = sum(predicted == measured for _, predicted, measured, _ in best)
    print(f"the predicted best cut is the measured best on {right} of {len(best)} shaped links")


if __name__ == "__main__":
    main()
