"""Sentences and cells of the LoRAE study, generated from its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench.reports.formatting.units import clean, factor, number, percent, seconds, size
from tunebench.reports.studies.skip2_lora.sentences import conditions, reservation, unit_name

Unit = Mapping[str, Any]
One = Mapping[str, Any]

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


def task_name(unit: Unit) -> str:
    """``shapes/unet-small``."""
    return clean(f"{unit['dataset']}/{unit['model']}", 60)


def place(unit: Unit) -> str:
    """Board, engine and what else stands fixed."""
    return f"{unit_name(unit)}, {conditions(unit)}"


def notes(unit: Unit) -> list[str]:
    """What limits this unit's figures."""
    found = []
    told = reservation(unit)
    if told:
        found.append(f"{told[:1].upper()}{told[1:]}.")
    if unit["shared_machine"]:
        found.append(
            "Other programs may have run beside it: times here are noisy, quality is not touched by that."
        )
    if unit["metric"] not in (None, "accuracy") and unit["n_items"]:
        found.append(
            f"Intervals hold for other seeds and these {unit['n_items']} test images; what other images would do "
            "is not in them."
        )
    if unit["chosen_missing"]:
        found.append(f"No row was judged alone: {clean(unit['chosen_missing'], 200)}.")
    return found


def share(value: float | None) -> str:
    """A reduction: percent with two digits where it is near 100."""
    if value is None:
        return "–"
    return percent(value, 2 if value > 0.99 else 1).replace("-", "−")


def points(one: One | None) -> str:
    """``−0.12 [−0.40, +0.20]``, with a star for a range."""
    if one is None:
        return "–"
    if one["missing"]:
        return f"– ({clean(one['missing'], 80)})"
    star = "*" if one["interval"] == "range" else ""
    return f"{signed(one['value'])} [{signed(one['low'])}, {signed(one['high'])}]{star}"


def verdict(one: One | None, *, alone: bool) -> str:
    """The word; of the row fixed beforehand and of further metrics the one of a comparison by itself."""
    if one is None or one["missing"]:
        return "–"
    if alone or one["verdict"] is None:
        return str(one["verdict_alone"])
    return str(one["verdict"])


def signed(value: float) -> str:
    """Points with their sign: ``−1.20``."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def quality(one: One | None) -> str:
    """``91.23 ± 0.40``, in percent."""
    if one is None:
        return "–"
    return f"{100 * one['mean']:.2f}" + (f" ± {100 * one['sd']:.2f}" if one["sd"] is not None else "")


def count(value: int | None) -> str:
    """A count, or a dash."""
    return "–" if value is None else number(value)


def bytes_of(value: float | None) -> str:
    """Bytes, or a dash."""
    return "–" if value is None else size(value)


def step(one: One) -> str:
    """Time of a training step and its ratio to the baseline's."""
    if one["step_s"] is None:
        return f"– ({clean(one['step_missing'] or 'not measured', 60)})"
    ratio = one["time_ratio"]
    return seconds(one["step_s"]) + (f" ({factor(ratio['value'])})" if ratio else "")


def shipping(one: One) -> str:
    """``16.6 KiB: own 0.02 s measured, lte 0.2 s shaped``, or why there is nothing."""
    sent = one["shipped"]
    if sent is None:
        return f"– ({clean(one['shipped_missing'], 80)})"
    told = [f"{clean(link['link'], 20)} {seconds(link['seconds'])} {link['how']}" for link in sent["links"]]
    return f"{size(sent['size_b'])} {sent['form']}: {', '.join(told) or 'no transfer succeeded'}"


def training_memory(one: One) -> str:
    """Measured beside predicted, or dashes."""
    return f"{bytes_of(one['train_peak_b'])} / {bytes_of(one['predicted_step_b'])}"


def reached(chosen: One | None, target: float | None) -> str:
    """Whether the least reduction was reached."""
    if chosen is None or chosen["reduction_met"] is None:
        return "–"
    word = "reached" if chosen["reduction_met"] else "missed"
    return f"{share(chosen['reduction'])} (at least {100 * (target or 0):g}%: {word})"
