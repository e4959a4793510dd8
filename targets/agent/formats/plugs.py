"""What the parsers of mains plugs share: one meter or several, and their sum at the wall."""

from typing import List, NamedTuple, Optional

from tunebench.targets.agent.formats.reading import Json, Reading, channel, with_total, without_power

SCOPE = "wall_ac"


class Meter(NamedTuple):
    """One metered outlet (or phase), in W, V, A and J; what it does not tell is ``None``."""

    site: str
    power_w: Optional[float]
    voltage_v: Optional[float] = None
    current_a: Optional[float] = None
    energy_j: Optional[float] = None
    reason: Optional[str] = None


def scaled(value: Optional[float], factor: float) -> Optional[float]:
    """Convert a value to another unit; a missing one stays missing."""
    return None if value is None else value * factor


def reading(meters: List[Meter], extra: List[Json], **details: object) -> Reading:
    """Return the channels of some meters, and their sum as the total if every one of them is known."""
    channels = []
    for meter in meters:
        channels.append(channel(meter.site, "power", "W", meter.power_w, SCOPE, reason=meter.reason))
        for kind, unit, value in (
            ("voltage", "V", meter.voltage_v),
            ("current", "A", meter.current_a),
            ("energy", "J", meter.energy_j),
        ):
            if value is not None:
                channels.append(channel(meter.site, kind, unit, value, SCOPE if kind == "energy" else None))
    channels += extra
    lost = [meter for meter in meters if meter.power_w is None]
    if lost:
        why = "; ".join("%s: %s" % (meter.site, meter.reason or "no power told") for meter in lost)
        return without_power(channels, why, **details)
    total_w = sum(meter.power_w or 0.0 for meter in meters)
    if total_w < 0:
        return without_power(
            channels, "negative power (%g W): it feeds in, or is wired backwards" % total_w, **details
        )
    return with_total(channels, total_w, SCOPE, total_of=[meter.site for meter in meters], **details)
