"""Runs of the Skip2-LoRA study, made up: plausible numbers, input of tests and no claims."""

import random
from dataclasses import dataclass, field

from tunebench.reports.records import Quality
from tunebench.reports.results import RunReader, RunWriter, plan_sha256

RUN_ID = "20261121T090000Z-c3d4"
EIGHT = ["ft-all", "ft-last", "ft-bias", "ft-all-lora", "lora-all", "lora-last", "skip-lora", "skip2-lora"]
#: data set -> (samples, epochs, accuracy before)
SETS = {
    "fan-damage1": (470, 100, 0.55),
    "fan-damage2": (470, 60, 0.61),
    "har-hapt": (885, 200, 0.78),
}
#: (engine, build) -> microseconds of a step: (every method's fixed cost, of one million multiply-adds)
SPEEDS = {
    ("torch", None): (420.0, 480.0),
    ("native", "x86-64"): (5.0, 130.0),
    ("native", "v3"): (7.0, 60.0),
    ("native", "cortex_a53"): (60.0, 800.0),
}
#: method -> multiply-adds a sample on 256-96-96-3 and 561-96-96-6: (forward, backward, update)
_MADDS = {
    "ft-all": ((34080, 9504, 34080), (63648, 9792, 63648)),
    "ft-last": ((34080, 0, 288), (63648, 0, 576)),
    "ft-bias": ((34080, 9504, 0), (63648, 9792, 0)),
    "ft-all-lora": ((36652, 11052, 36652), (67452, 11352, 67452)),
    "lora-all": ((36652, 11052, 2572), (67452, 11352, 3804)),
    "lora-last": ((34476, 12, 396), (64056, 24, 408)),
    "skip-lora": ((35908, 36, 1828), (66732, 72, 3084)),
    "skip2-lora": ((1828, 36, 1828), (3084, 72, 3084)),
    "untrained": ((0, 0, 0), (0, 0, 0)),
}
#: method -> accuracy gained, in shares of what is missing before
_GAIN = {
    "ft-all": 0.94, "ft-last": 0.80, "ft-bias": 0.86, "ft-all-lora": 0.94, "lora-all": 0.91, "lora-last": 0.78,
    "skip-lora": 0.90, "skip2-lora": 0.90,
    "untrained": 0.0,
}  # fmt: skip


@dataclass
class StudyRun:
    """What to write. Change a field, then call :meth:`write`."""

    boards: list = field(default_factory=list)  # FakeBoard
    engines: list = field(default_factory=lambda: [("torch", None), ("native", "x86-64")])
    sets: list = field(default_factory=lambda: list(SETS))
    methods: list = field(default_factory=lambda: list(EIGHT))
    blocks: int = 10
    suite: dict = field(default_factory=dict)  # further keys of the plan's suite
    madds: bool = True
    instrumented: bool = True
    study: str | None = "skip2-lora"
    rename: dict = field(default_factory=dict)  # data set -> name in the records
    points: dict = field(default_factory=dict)  # method -> accuracy points more
    change: dict = field(default_factory=dict)  # method -> fields of its records
    tracks: dict = field(default_factory=lambda: {"": {}})  # end of the task's name -> keys of training

    def write(self, root, make_record):
        """Write the run and open it."""
        suite = {
            "name": "skip2-paper",
            "level": "paper",
            "blocks": self.blocks,
            "delta": {"time": 0.02},
            **self.suite,
        }
        if self.study:
            suite["study"] = self.study
        plan = {
            "suite": suite,
            "boards": [board.id for board in self.boards],
            "tasks": {
                self._task(name, engine) + track: {"baseline": "lora-all", "labels": self.methods}
                for engine in self.engines
                for name in self.sets
                for track in self.tracks
            },
        }
        plan["sha256"] = plan_sha256(plan)
        rng = random.Random(3)
        with RunWriter.create(root, "lab1", RUN_ID, plan) as writer:
            reps = [
                rep.model_copy(update={"task": rep.task + track, "params": {**rep.params, **keys}})
                for track, keys in self.tracks.items()
                for rep in self._reps(make_record, rng)
            ]
            for i, rep in enumerate(reps):
                writer.append(rep.model_copy(update={"rep_id": f"r{i}", "run_id": RUN_ID}))
        return RunReader(writer.path)

    def _task(self, name, engine):
        usual = engine[0] == "torch"
        task = f"{self.rename.get(name, name)}/mlp"
        return task if usual else f"{task} [{engine[0]} cpu x1 float32 {engine[1]}]"

    def _reps(self, make_record, rng):
        for board in self.boards:
            for engine in self.engines:
                for name in self.sets:
                    for block in range(self.blocks):
                        for slot, method in enumerate(self.methods):
                            place = {"block": block, "slot": slot, "seed": block}
                            yield self._rep(make_record, board, engine, name, method, place, "timed", rng)
                    for method in self.methods if self.instrumented else ():
                        place = {"block": 0, "slot": 0, "seed": 0}
                        yield self._rep(make_record, board, engine, name, method, place, "instrumented", rng)

    def _rep(self, make_record, board, engine, name, method, place, role, rng):
        samples, epochs, before = SETS[name]
        sample_madds = _MADDS[method][name == "har-hapt"]
        steps = epochs * -(-samples // 20)
        fixed_us, per_million_us = SPEEDS[engine]
        parts_us = [fixed_us / 3 + 20 * count / 1e6 * per_million_us for count in sample_madds]
        step_s = sum(parts_us) / 1e6 / board.speed
        wall_s = steps * step_s * (1 + rng.gauss(0, 0.01))
        trains = method != "untrained"
        shares = dict(
            zip(("forward", "backward", "update"), (p / sum(parts_us) * 0.9 for p in parts_us), strict=True)
        )
        shares["gather"] = 0.06
        if method == "skip2-lora":
            shares["cache_fill"] = 0.02
        gain = _GAIN[method] * (1 - before)
        after = min(1.0, before + gain + self.points.get(method, 0.0) / 100 + rng.gauss(0, 0.003))
        marked = role == "instrumented"
        rep = make_record(
            **place, role=role, task=self._task(name, engine), dataset=self.rename.get(name, name), model="mlp",
            method=method, label=method, aa_control=False, engine=engine[0], engine_build=engine[1],
            board_id=board.id, board_kind=board.kind, board_model=board.model, emulated=board.emulated,
            params={"epochs": epochs, "batch": 20, "lr": 0.02, "rank": 4}, wall_s=wall_s if trains else None,
            steps=steps if trains else 0,
            window_phases_s={name: share * wall_s for name, share in shares.items()} if marked else {"finetune": wall_s},
            madds=_counts(sample_madds, samples * epochs) if self.madds else None,
            peak_rss_b=40_000_000, reasons=[], verdict="valid", trace=None,
            quality=Quality(
                before=before, after=after, n_items=samples,
                losses=[0.02 + 1.1 * 0.93**e * (1.2 - _GAIN[method]) * 3 for e in range(epochs)],
                curve=[(e + 1, wall_s * (e + 1) / epochs, after - (after - before) * 0.9**e) for e in range(epochs)]
                if marked else [],
            ),
        )  # fmt: skip
        return rep.model_copy(update=self.change.get(method, {}))


def _counts(sample_madds, samples):
    return dict(
        zip(("forward", "backward", "update"), (count * samples for count in sample_madds), strict=True)
    )
