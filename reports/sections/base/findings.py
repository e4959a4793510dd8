"""What was seen, in sentences made from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunebench.reports.analysis.measured import ControlQuantity
from tunebench.reports.analysis.row import MethodResult, SpeedUp, Verdict
from tunebench.reports.formatting.units import clean, factor, percent, significant
from tunebench.reports.sections.base.groups import Group

Rows = Sequence[MethodResult]


def findings(groups: Sequence[Group]) -> list[str]:
    """Return one sentence for each group in which something was compared."""
    return [sentence for group in groups if (sentence := _finding(group)) is not None]


def contenders(rows: Rows) -> list[tuple[MethodResult, SpeedUp]]:
    """Return the rows compared with a baseline, without A/A controls, fastest first."""
    known = [(row, row.speed_up) for row in rows if row.speed_up and not row.aa_control]
    return sorted(known, key=lambda pair: -pair[1].factor)


def _finding(group: Group) -> str | None:
    """Say who was fastest, how sure that is, and what it cost in accuracy."""
    known = contenders(group.rows)
    if not known:
        return None
    best, speed = known[0]
    name, where = clean(best.label, 40), group.heading
    base = clean(str(group.baseline), 40)
    span = f"{significant(speed.low)} to {significant(speed.high)}"
    seen = f"range {span}" if speed.n > 1 else "one value"
    if speed.withheld:
        sentence = f"{where}: no verdict on times is given, since the A/A control failed"
    elif speed.verdict == "NO VERDICT":
        sentence = (
            f"{where}: over {speed.n} block{'s' if speed.n != 1 else ''}, {name} ran "
            f"{factor(speed.factor)} as fast as {base} ({seen}; too few blocks for a verdict)"
        )
    elif speed.verdict == "FASTER":
        sentence = (
            f"{where}: {name} is {factor(speed.factor)} as fast as {base} "
            f"(95% interval {span}, {speed.n} blocks)"
        )
    else:
        sentence = (
            f"{where}: no method is shown to be faster than {base}; nearest is {name} (95% interval {span})"
        )
    return f"{sentence}. {_accuracy_words(best, group)}".rstrip()


def _accuracy_words(best: MethodResult, group: Group) -> str:
    base = next((row for row in group.rows if row.is_baseline), None)
    if not base or not base.accuracy or not best.accuracy:
        return ""
    after, reference = best.accuracy.after_mean, base.accuracy.after_mean
    metric, base_name = clean(best.accuracy.metric, 30), clean(str(group.baseline), 40)
    return f"It ends at {metric} {percent(after)}, {base_name} at {percent(reference)}."


def control_words(quantities: Mapping[str, ControlQuantity]) -> str:
    """Say how the A/A control ended in quantities other than time; those not measured are left out."""
    known = [
        f"{name} {quantity.result}"
        for name, quantity in quantities.items()
        if isinstance(quantity.verdict, Verdict) and name != "time"
    ]
    return f"; {', '.join(known)}" if known else ""
