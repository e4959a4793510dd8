"""When a board said that it was throttled or short of voltage: stretches of a trace."""

from __future__ import annotations

from tunebench.reports.formatting.units import clean, significant
from tunebench.reports.results.timeseries import Channel, Trace

#: Bits 0-3 of the firmware's flags tell what is so now (raspberrypi documentation, get_throttled).
_NOW = ((0, "under-voltage"), (1, "frequency capped"), (2, "throttled"), (3, "soft temperature limit"))

Mark = tuple[float, float, str]


def throttle_marks(trace: Trace, start_ns: int) -> list[Mark]:
    """Return the stretches (from ns, to ns, words) in which the board reported throttling or low voltage."""
    marks: list[Mark] = []
    for channel, values in zip(trace.channels, trace.values, strict=True):
        if channel.kind != "throttle":
            continue
        before = ""
        for i, (t, value) in enumerate(zip(trace.t_ns, values, strict=True)):
            words = _words(channel, value)
            until = trace.t_ns[i + 1] if i + 1 < len(trace.t_ns) else t
            if words and words == before:
                marks[-1] = (marks[-1][0], until - start_ns, words)
            elif words:
                marks.append((t - start_ns, until - start_ns, words))
            before = words
    return sorted(marks)


def _words(channel: Channel, value: float | None) -> str:
    if not value:
        return ""
    if channel.unit == "bits":
        return ", ".join(words for bit, words in _NOW if int(value) >> bit & 1)
    return f"{clean(channel.id, 40)} {significant(value)}" if value != 1 else clean(channel.id, 40)
