"""What the outputs of boards' tools and of mains plugs mean: one module a format, each with ``parse(text)``."""

from typing import Any, Callable, Dict, Optional

from tunebench.targets.agent.formats import (
    ina3221,
    kasa,
    nvpmodel,
    pmic,
    shelly,
    tasmota,
    tegrastats,
    throttled,
    vcgencmd,
)
from tunebench.targets.agent.formats.reading import Json, Reading, without_power

#: Name of the format -> its parser; what a parser cannot read is a reading with a reason.
KINDS: Dict[str, Callable[[str], Reading]] = {
    "ina3221": ina3221.parse,
    "kasa": kasa.parse,
    "nvpmodel": nvpmodel.parse,
    "pmic": pmic.parse,
    "shelly": shelly.parse,
    "tasmota": tasmota.parse,
    "tegrastats": tegrastats.parse,
    "throttled": throttled.parse,
    "vcgencmd": vcgencmd.parse,
}

#: What a value of these outputs may be at most (a clock in Hz, a memory in bytes): beyond is damage.
_SANE = 1e15

#: Longer outputs are refused: the tools print a few hundred bytes, their logs some thousand lines.
MAX_CHARACTERS = 256 * 1024


def read(kind: str, text: str) -> Reading:
    """Parse whatever came over a wire; never raises for what the text holds.

    Args:
        kind: a key of ``KINDS``.
        text: the output; its start may be comment lines.
    """
    if len(text) > MAX_CHARACTERS:
        return without_power([], "damaged: %d characters, at most %d are read" % (len(text), MAX_CHARACTERS))
    try:
        reading = KINDS[kind](text)
    except (ValueError, OverflowError, RecursionError) as error:
        return without_power([], "damaged: a number or a nesting that cannot be (%s)" % type(error).__name__)
    channels, details = [_sane(channel) for channel in reading.channels], _finite(reading.details)
    if _beyond(reading.total_w):
        return Reading(channels, None, None, "damaged: a total of %r W" % reading.total_w, details)
    return reading._replace(channels=channels, details=details)


def _sane(channel: Json) -> Json:
    if _beyond(channel["value"]):
        return dict(channel, value=None, reason="damaged: %r" % channel["value"])
    return channel


def _finite(details: Any) -> Any:
    """Replace numbers beyond all reason by ``None``: details are stored as they are, and JSON has no infinity."""
    if isinstance(details, dict):
        return {name: _finite(value) for name, value in details.items()}
    if isinstance(details, list):
        return [_finite(value) for value in details]
    return None if isinstance(details, float) and _beyond(details) else details


def _beyond(value: Optional[float]) -> bool:
    return value is not None and not abs(value) < _SANE
