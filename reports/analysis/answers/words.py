"""The words of an answer: how fast, how accurate, how much to ship, each with how sure that is."""

from __future__ import annotations

from tunebench.reports.analysis.answers.options import Option
from tunebench.reports.formatting.units import clean, significant, size


def times(factor: float) -> str:
    """Return a factor with as many digits as an answer needs.

    >>> times(7.04), times(12.6), times(1.034), times(127.2), times(0.7204), times(1.9999999)
    ('7.0×', '13×', '1.03×', '127×', '0.72×', '2.0×')
    """
    rounded = float(f"{factor:.3g}")
    return f"{significant(rounded, 3 if 1 <= rounded < 2 else 2)}×"


def points(value: float) -> str:
    """Return a difference of accuracy.

    >>> points(0.71), points(-1.4), points(-0.01)
    ('+0.7 points', '−1.4 points', '±0.0 points')
    """
    if abs(value) < 0.05:
        return "±0.0 points"
    return f"{value:+.1f} points".replace("-", "−")


def speed(option: Option, base: str) -> str:
    """Say how fast a method is beside its baseline; the word "faster" stands for a verdict and for nothing else."""
    factor = option.factor
    if factor is None or option.verdict is None:
        return "time not compared"
    if option.verdict == "FASTER":
        return f"{times(factor)} faster than {base}"
    if option.verdict == "SLOWER":
        return f"{times(1 / factor)} the time of {base}"
    if option.verdict == "SAME":
        return f"as fast as {base}"
    return f"{times(factor)} as fast as {base} ({_open(option.verdict)})"


def accuracy(option: Option) -> str:
    """Say how accurate a method is beside its baseline, with how sure that is."""
    metric = clean(option.metric, 30)
    if option.points is None:
        return f"{metric} not compared"
    size_ = points(option.points)
    if option.points_verdict == "SAME":
        return f"at equal {metric} ({size_})"
    if option.points_verdict in {"HIGHER", "LOWER"}:
        return f"{metric} {size_}"
    if (
        option.points_verdict == "UNCLEAR"
        and option.points_low is not None
        and option.points_high is not None
    ):
        low, high = (points(end).removesuffix(" points") for end in (option.points_low, option.points_high))
        return f"{metric} {size_} (open: {low} to {high})"
    return f"{metric} {size_} (no verdict)"


def brief_speed(option: Option) -> str:
    """Say how fast a method is where the baseline is named already."""
    factor = option.factor
    if factor is None or option.verdict is None:
        return "time not compared"
    words = {
        "FASTER": f"{times(factor)} faster",
        "SLOWER": f"{times(1 / factor)} the time",
        "SAME": "as fast",
    }
    return words.get(option.verdict) or f"{times(factor)} as fast, {_open(option.verdict)}"


def brief_points(option: Option) -> str:
    """Say how much accuracy a method gains or loses, without the metric's name."""
    if option.points is None:
        return "not compared"
    settled = option.points_verdict in {"SAME", "HIGHER", "LOWER"}
    return points(option.points) + ("" if settled else f", {_open(option.points_verdict)}")


def _open(verdict: str | None) -> str:
    return "open" if verdict == "UNCLEAR" else "no verdict"


def ship(option: Option) -> str:
    """Say how many bytes an update takes; empty if that is not known."""
    return f"{size(option.update_b, 2)} to ship" if option.update_b is not None else ""


def option_phrase(option: Option, base: str) -> str:
    """Return all that is told of a method in one phrase: speed, accuracy, update, and work that was not equal."""
    beside = accuracy(option)
    first = (
        f"{speed(option, base)} {beside}" if beside.startswith("at ") else f"{speed(option, base)}, {beside}"
    )
    unequal = f"unequal work: {clean(', '.join(option.unequal), 80)}" if option.unequal else ""
    return ", ".join(part for part in (first, ship(option), unequal) if part)
