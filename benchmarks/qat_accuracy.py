"""Hold the accuracy of training through 8 bits, as torch rounds, against that of its file in each runtime that is here.

    python -m benchmarks.qat_accuracy --dataset mnist --model resnet-small --bases 3

A chain ``qat, tune`` from each start weights. torch rounds as in training, with the file's fixed scales, and computes in
float32 between; a runtime computes in whole numbers. Beside it the float parent: what 8 bits cost.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.workloads import artefact
from tunebench.workloads.compress import TRANSFORMS
from tunebench.workloads.compress.chain import Chains, Domains, float_parent
from tunebench.workloads.compress.deployed import FORMS
from tunebench.workloads.compress.keys import settled
from tunebench.workloads.compress.state import State, state_of
from tunebench.workloads.compress.steps import Settings, Step
from tunebench.workloads.compress.train import Part, accuracy_and_loss, part_of
from tunebench.workloads.deploy import RUNTIMES
from tunebench.workloads.models import graph_of
from tunebench.workloads.prepare.artefacts import Prepared, prepare_bases
from tunebench.workloads.prepare.pretrain import shape_of

QAT = Step("qat", "quantize", "qat", settled("qat", {}, TRANSFORMS["quantize", "qat"].keys, False))
TUNE = Step("tune", "tune")


@dataclass(frozen=True)
class Accuracy:
    """Shares of right classes of one network on the test set.

    Attributes:
        base: which start weights.
        float32: of the float parent.
        torch: rounded by torch, as in training.
        runtimes: runtime -> of its file.
    """

    base: int
    float32: float
    torch: float
    runtimes: dict[str, float]


def trained_through_8_bits(files: Prepared, model: str, epochs: int, base: int) -> tuple[State, Part]:
    """Return a network after the chain, and the test set."""
    data = artefact.read(str(files.data))
    graph = graph_of(model, shape_of(data.meta), data.meta["n_classes"])
    settings = Settings(tune_epochs=epochs)
    start = state_of(graph, artefact.read(str(files.weights)))
    chains = Chains(start, Domains(part_of(data, "finetune", graph)), settings, base)
    return chains.run([QAT, TUNE]), part_of(data, "test", graph)


def accuracy_of(state: State, test: Part, runtime: str) -> float:
    """Return the share of right classes of a network's file in a runtime of this machine."""
    raw = artefact.encode("deployed", {}, dict(FORMS[runtime](state, "model")))
    model = RUNTIMES[runtime].load().load(artefact.decode(bytearray(raw)), "model", 1)
    calls = (model.call(model.prepare(row.reshape(-1).tolist(), state.graph.shape)) for row in test.inputs)
    return float(np.mean([int(np.argmax(row)) == wanted for row, wanted in zip(calls, test.y, strict=True)]))


def measured(files: Prepared, model: str, epochs: int, base: int) -> Accuracy:
    """Train one network, and look at it everywhere."""
    state, test = trained_through_8_bits(files, model, epochs, base)
    parent = float_parent(state)
    assert parent is not None
    here = [
        name for name, about in RUNTIMES.items()
        if state.numbers.kind in about.numbers and not about.nowhere and importlib.util.find_spec(about.packages[0])
    ]  # fmt: skip
    return Accuracy(
        base,
        accuracy_and_loss(parent, test)[0],
        accuracy_and_loss(replace(state, rounded=True), test)[0],
        {name: accuracy_of(state, test, name) for name in here},
    )


def lines(rows: list[Accuracy], n_items: int) -> Iterator[str]:
    """Yield a table in Markdown: percent, and points between torch and each runtime."""
    runtimes = list(rows[0].runtimes)
    yield "| base | float32 | 8 bits in torch | " + " | ".join(runtimes) + " |"
    yield "|---|---|---|" + "---|" * len(runtimes)
    for row in rows:
        shares = [f"{100 * share:.2f} ({100 * (share - row.torch):+.2f})" for share in row.runtimes.values()]
        yield f"| {row.base} | {100 * row.float32:.2f} | {100 * row.torch:.2f} | " + " | ".join(shares) + " |"
    yield f"\n{n_items} test items: one is {100 / n_items:.2f} points."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--bases", type=int, default=3, help="start weights")
    parser.add_argument("--epochs", type=int, default=4, help="of the fine-tuning")
    parser.add_argument("--cache", type=Path, required=True, help="folder in which start weights are kept")
    chosen = parser.parse_args()
    prepared = prepare_bases(
        chosen.dataset,
        chosen.model,
        range(chosen.bases),
        cache_dir=chosen.cache,
        data_dir=data_dir_from_env(),
    )
    rows = [measured(files, chosen.model, chosen.epochs, base) for base, files in enumerate(prepared)]
    data = artefact.read(str(prepared[0].data))
    print("\n".join(lines(rows, data.need("test_y").shape[0])))


if __name__ == "__main__":
    main()
