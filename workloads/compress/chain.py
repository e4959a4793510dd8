"""Run a chain: transforms in their order, equal training for every chain of a suite, and a rate of its own for each.

Every chain spends :attr:`Settings.source_steps` on the source domain: a transform takes its share to recover (or to learn
from a teacher), plain training takes the rest before the first transform. Then comes ``tune``, the fine-tuning on the
target domain, with the same epochs for all; its rate is chosen on one half of the fine-tuning samples after training on
the other. The test set is never looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tunebench.workloads.compress import TRANSFORMS, TUNE
from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.state import Numbers, State, TransformError, checked
from tunebench.workloads.compress.steps import Settings, Step
from tunebench.workloads.compress.train import Part, accuracy_and_loss, ranges_of, trained


@dataclass(frozen=True)
class Domains:
    """The samples of a chain: of the source domain (None where nothing trains there), and to fine-tune on."""

    finetune: Part
    source: Part | None = None


class Chains:
    """Run chains from one network; what two chains begin with is done once."""

    def __init__(self, base: State, domains: Domains, settings: Settings, seed: int) -> None:
        self.base, self.domains, self.settings, self.seed = base, domains, settings, seed
        self._done: dict[str, State] = {}
        random = np.random.default_rng([seed, 18])
        order = random.permutation(len(domains.finetune))
        half = len(order) // 2
        self._halves = (
            domains.finetune.take(np.sort(order[:half])),
            domains.finetune.take(np.sort(order[half:])),
        )
        picked = random.permutation(len(domains.finetune))[: settings.calibration]
        self._calibration = domains.finetune.take(np.sort(picked))

    def run(self, steps: Sequence[Step], on_step: Callable[[str], None] | None = None) -> State:
        """Return the network at the end of a chain.

        Raises:
            TransformError: a step cannot be done to this network; names the step.
        """
        fill = self.settings.source_steps - sum(step.steps for step in steps)
        key = f"fill {fill}"
        state = self._once(key, lambda: self._filled(fill))
        teacher = state
        for step in steps:
            if on_step is not None:
                on_step(step.ident)
            key = f"{key} {json.dumps(step.as_dict(), sort_keys=True)}"
            state = self._once(key, partial(self._step, step, state, teacher))
        return self._written(state) if state.rounded else state

    def _written(self, state: State) -> State:
        """Return a network that was trained through 8 bits in 8 bits: its scales are those of its weights now."""
        ranges = ranges_of(replace(state, rounded=False), self._calibration.inputs)
        return replace(state, rounded=False, numbers=Numbers("int8-static", ranges=ranges))

    def _once(self, key: str, make: Callable[[], State]) -> State:
        if key not in self._done:
            self._done[key] = make()
        return self._done[key]

    def _on_source(self, state: State, steps: int) -> State:
        if not steps:
            return state
        if self.domains.source is None:
            raise TransformError("this chain trains on the source domain, whose samples are not there")
        return trained(
            state, self.domains.source, steps=steps, batch=self.settings.batch, rate=self.settings.source_rate,
            seed=self.seed,
        )  # fmt: skip

    def _filled(self, steps: int) -> State:
        return self._on_source(self.base, steps).noted(
            id="plain", kind="train", steps=steps, **_counts(self.base)
        )

    def _step(self, step: Step, state: State, teacher: State) -> State:
        if step.kind == TUNE:
            return self._tuned(state)
        module = TRANSFORMS[step.kind, step.how].load()
        context = Context(
            self._calibration,
            self.domains.source,
            teacher,
            self.settings.batch,
            self.settings.source_rate,
            self.seed,
        )
        try:
            changed = checked(module.apply(state, step.keys, context))
        except TransformError as error:
            raise TransformError(f"step {step.ident!r}: {error}") from None
        if not getattr(module, "OWN_STEPS", False):
            changed = self._on_source(changed, step.steps)
        return changed.noted(**step.as_dict(), **_counts(changed))

    def _tuned(self, state: State) -> State:
        settings, (first, second) = self.settings, self._halves
        epoch = -(-len(self.domains.finetune) // settings.tune_batch)
        scores: dict[str, list[float]] = {}
        rate = settings.rates[0]
        if len(settings.rates) > 1:
            best: tuple[float, float] | None = None
            steps = settings.tune_epochs * -(-len(first) // settings.tune_batch)
            for candidate in settings.rates:
                model = trained(
                    state, first, steps=steps, batch=settings.tune_batch, rate=candidate, seed=self.seed
                )
                accuracy, loss = accuracy_and_loss(model, second)
                scores[f"{candidate:g}"] = [round(accuracy, 6), round(min(loss, 1e9), 6)]
                if best is None or (accuracy, -loss) > best:
                    best, rate = (accuracy, -loss), candidate
        steps = settings.tune_epochs * epoch
        tuned = trained(
            state, self.domains.finetune, steps=steps, batch=settings.tune_batch, rate=rate, seed=self.seed
        )
        return tuned.noted(id=TUNE, kind=TUNE, steps=steps, rate=rate, held_out=scores, **_counts(tuned))


def _counts(state: State) -> dict[str, int]:
    return {"params": state.n_params, "zeros": state.n_zeros, "madds": state.madds}


def float_parent(state: State) -> State | None:
    """Return the same network in float32, with which a board compares; None of one that is in float32 itself."""
    return None if state.numbers.claimed is None else replace(state, numbers=Numbers())
