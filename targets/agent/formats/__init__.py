"""What the outputs of boards' tools and of mains plugs mean: one module a format, each with ``parse(text)``."""

from typing import Callable, Dict, Optional

from targets.agent.formats import (
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
from targets.agent.formats.reading import Json, Reading, without_power

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


def read(kind: str, text: str) -> Reading:
    """Parse whatever came over a wire; never raises for what the text holds.

    Args:
        kind: a key of ``KINDS``.
        text: the output; its start may be comment lines.
    """
    try:
        found = KINDS[kind](text)
    except (ValueError, OverflowError, RecursionError) as error:
        return without_power([], "damaged: a number or a nesting that cannot be (%s)" % type(error).__name__)
    channels = [_sane(each) for each in found.channels]
    if _beyond(found.total_w):
        return Reading(channels, None, None, "damaged: a total of %r W" % found.total_w, found.details)
    return found._replace(channels=channels)


def _sane(channel: Json) -> Json:
    if _beyond(channel["value"]):
        return dict(channel, value=None, reason="damaged: %r" % channel["value"])
    return channel


def _beyond(value: Optional[float]) -> bool:
    return value is not None and not abs(value) < _SANE
