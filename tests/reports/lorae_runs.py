"""Runs of the LoRAE study, made up: plausible numbers, input of tests and no claims."""

import random
from dataclasses import dataclass, field

from tunebench.reports.records import Quality, Transfer, Update
from tunebench.reports.results import RunReader, RunWriter, plan_sha256

RUN_ID = "20261121T100000Z-e5f6"
#: data set -> (model, metric, test items, quality before)
TASKS = {
    "mnist": ("resnet-small", "accuracy", 1500, 0.62),
    "bccd": ("detector-small", "mAP50", 72, 0.31),
    "shapes": ("unet-small", "mIoU", 200, 0.55),
}
FULL = 376_471
#: label -> (method, rank, trainable parameters, quality gained, milliseconds of a step)
ROWS = {
    "ft-all": ("ft-all", 4, FULL, 0.20, 150.0),
    "ft-last": ("ft-last", 4, 455, 0.02, 60.0),
    "lorae-r2": ("lorae", 2, 12_772, 0.18, 155.0),
    "lorae-r4": ("lorae", 4, 25_544, 0.19, 157.0),
    "lorae-r32": ("lorae", 32, 204_352, 0.20, 180.0),
}


@dataclass
class LoraeRun:
    """What to write. Change a field, then call :meth:`write`."""

    boards: list = field(default_factory=list)  # FakeBoard
    sets: list = field(default_factory=lambda: list(TASKS))
    labels: list = field(default_factory=lambda: list(ROWS))
    blocks: int = 8
    study: str | None = "lorae"
    candidate: str | None = "lorae-r4"
    points: dict = field(default_factory=dict)  # label -> points more
    noise: float = 0.001
    suite: dict = field(default_factory=dict)  # further keys of the plan's suite
    shipped: bool = False
    rename: dict = field(default_factory=dict)  # label -> label
    change: dict = field(default_factory=dict)  # label -> fields of its records

    def write(self, root, make_record):
        """Write the run and open it."""
        suite = {"name": "lorae-study", "blocks": self.blocks, "delta": {"accuracy": 1.0}}
        suite |= {"study": self.study, "candidate": self.candidate, **self.suite}
        labels = [self.rename.get(label, label) for label in self.labels]
        plan = {
            "suite": suite,
            "boards": [board.id for board in self.boards],
            "tasks": {
                f"{name}/{TASKS[name][0]}": {"baseline": "ft-all", "labels": labels} for name in self.sets
            },
        }
        plan["sha256"] = plan_sha256(plan)
        rng = random.Random(5)
        with RunWriter.create(root, "lab1", RUN_ID, plan) as writer:
            for i, rep in enumerate(self._reps(make_record, rng)):
                writer.append(rep.model_copy(update={"rep_id": f"r{i}", "run_id": RUN_ID}))
        return RunReader(writer.path)

    def _reps(self, make_record, rng):
        for board in self.boards:
            for name in self.sets:
                for block in range(self.blocks):
                    for slot, label in enumerate(self.labels):
                        yield self._rep(make_record, board, name, label, {"block": block, "slot": slot}, rng)

    def _rep(self, make_record, board, name, label, place, rng):
        model, metric, items, before = TASKS[name]
        method, rank, trains, gain, step_ms = ROWS[label]
        after = before + gain + self.points.get(label, 0.0) / 100 + rng.gauss(0, self.noise)
        rep = make_record(
            **place, seed=place["block"], role="timed", task=f"{name}/{model}", dataset=name, model=model,
            method=method, label=self.rename.get(label, label), aa_control=False, engine="torch", engine_build=None,
            board_id=board.id, board_kind=board.kind, board_model=board.model, emulated=board.emulated,
            params={"epochs": 6, "batch": 10, "lr": 0.03, "rank": rank}, steps=54,
            wall_s=54 * step_ms / 1e3 / board.speed * (1 + rng.gauss(0, 0.01)), params_trainable=trains,
            params_total=FULL, update_b=4 * trains, peak_rss_b=400_000_000, reasons=[], verdict="valid", trace=None,
            preds=None, metrics={"mAP50-95": after / 2} if metric == "mAP50" else {},
            updates=[_update(method, trains)] if self.shipped else [],
            quality=Quality(metric=metric, before=before, after=after, n_items=items),
        )  # fmt: skip
        return rep.model_copy(update=self.change.get(label, {}))


def _update(method, trains):
    sent = {"direction": "board-host", "size_b": 4 * trains + 900}
    return Update(
        form="adapter" if method == "lorae" else "delta", dtype="float32", packed=False, size_b=4 * trains + 900,
        safetensors_b=4 * trains + 900, header_b=900, tensor_b=4 * trains, n_tensors=8, n_values=trains,
        max_error=0.0, rms_error=0.0, sha256="0" * 64, base_sha256="1" * 64, made_s=0.01,
        transfers=[
            Transfer(link="own", how="measured", seconds=0.02, **sent),
            Transfer(link="250k", how="computed", seconds=32 * trains / 250_000, **sent),
        ],
    )  # fmt: skip
