"""Sentences and cells of the LoRAE study, generated from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.formatting.units import clean, factor, number, percent, seconds, size
from tunebench.reports.studies.lorae.model import AnyDifference, Chosen, Difference, Method, Quality, Unit
from tunebench.reports.studies.skip2_lora.sentences import conditions, reservation, unit_name

COUNTED = (
    "Updated parameters are all that training changes, the head's included: weights and biases of convolutions and of "
    "Linear layers, and BatchNorm's scale and shift. Those of an adapter are extractor and mapper. A reduction is taken "
    "against the parameters that ft-all updates. BatchNorm's statistics change in no method and are not counted."
)
RULE = (
    "The row that is judged, and every learning rate, were fixed beforehand on parts of the fine-tuning images, without "
    "the test set; that one comparison stands alone. Verdicts of the other rows are after Holm's correction over all."
)
SEEDS = (
    "Blocks differ in the fine-tuning's seed (order of the data, start of the adapters); all begin from the same start "
    "weights, trained once."
)


def seeds(units: Sequence[Unit]) -> str:
    """Return in what blocks differ."""
    bases = max((unit.bases for unit in units), default=1)
    if bases == 1:
        return SEEDS
    return (
        "Blocks differ in the fine-tuning's seed (order of the data, start of the adapters) and in their start weights, "
        f"which come from {bases} pretrainings; within a block all methods begin from the same."
    )


def task_name(unit: Unit) -> str:
    """Return ``shapes/unet-small``."""
    return clean(f"{unit.dataset}/{unit.model}", 60)


def place(unit: Unit) -> str:
    """Return board, engine and the other fixed conditions, in words."""
    return f"{unit_name(unit)}, {conditions(unit)}"


def notes(unit: Unit) -> list[str]:
    """Say what limits this unit's figures."""
    sentences = []
    reason = reservation(unit)
    if reason:
        sentences.append(f"{reason[:1].upper()}{reason[1:]}.")
    if unit.shared_machine:
        sentences.append(
            "Other programs may have run beside it: times here are noisy, quality is not touched by that."
        )
    if unit.metric not in (None, "accuracy") and unit.n_items:
        sentences.append(
            f"Intervals hold for other seeds and these {unit.n_items} test images; what other images would do "
            "is not in them."
        )
    if unit.chosen_missing:
        sentences.append(f"No row was judged alone: {clean(unit.chosen_missing, 200)}.")
    return sentences


def share(value: float | None) -> str:
    """Return a reduction: percent with two digits where it is near 100."""
    if value is None:
        return "–"
    return percent(value, 2 if value > 0.99 else 1).replace("-", "−")


def points(difference: AnyDifference | None) -> str:
    """Return ``−0.12 [−0.40, +0.20]``, with a star for a range."""
    if difference is None:
        return "–"
    if not isinstance(difference, Difference):
        return f"– ({clean(difference.missing, 80)})"
    if difference.n == 1:
        return f"{signed(difference.value)} one block"
    star = "*" if difference.interval == "range" else ""
    return f"{signed(difference.value)} [{signed(difference.low)}, {signed(difference.high)}]{star}"


def verdict(difference: AnyDifference | None, *, alone: bool) -> str:
    """Return the verdict's word, after Holm's correction; with ``alone``, or for a further metric, without it."""
    if not isinstance(difference, Difference):
        return "–"
    if alone or difference.verdict is None:
        return difference.verdict_alone
    return difference.verdict


def signed(value: float) -> str:
    """Return points with their sign: ``−1.20``."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def quality(value: Quality | None) -> str:
    """Return ``91.23 ± 0.40``, in percent."""
    if value is None:
        return "–"
    return f"{100 * value.mean:.2f}" + (f" ± {100 * value.sd:.2f}" if value.sd is not None else "")


def count(value: int | None) -> str:
    """Return a count, or a dash."""
    return "–" if value is None else number(value)


def bytes_of(value: float | None) -> str:
    """Return bytes, or a dash."""
    return "–" if value is None else size(value)


def step(method: Method) -> str:
    """Return the time of a training step and its ratio to the baseline's."""
    if method.step_s is None:
        return f"– ({clean(method.step_missing or 'not measured', 60)})"
    ratio = method.time_ratio
    return seconds(method.step_s) + (f" ({factor(ratio.value)})" if ratio else "")


def shipping(method: Method) -> str:
    """Return ``16.6 KiB: own 0.02 s measured, lte 0.2 s shaped``, or why there is nothing."""
    sent = method.shipped
    if sent is None:
        return f"– ({clean(str(method.shipped_missing), 80)})"
    links = [f"{clean(link.link, 20)} {seconds(link.seconds)} {link.how}" for link in sent.links]
    return f"{size(sent.size_b)} {sent.form}: {', '.join(links) or 'no transfer succeeded'}"


def training_memory(method: Method) -> str:
    """Return measured beside predicted, or dashes."""
    return f"{bytes_of(method.memory.train_peak_b)} / {bytes_of(method.memory.predicted_step_b)}"


def reached(chosen: Chosen | None, target: float | None) -> str:
    """Say whether the least reduction was reached."""
    if chosen is None or chosen.reduction_met is None:
        return "–"
    word = "reached" if chosen.reduction_met else "missed"
    return f"{share(chosen.reduction)} (at least {100 * (target or 0):g}%: {word})"
