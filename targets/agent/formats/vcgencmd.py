"""Other answers of ``vcgencmd``: measure_temp, measure_volts, measure_clock, get_mem, get_throttled.

The number in ``frequency(43)=`` is the firmware's name of a clock and differs between models. A clock of 0 Hz is
off (v3d when idle, from Linux 6.18 on), not an error. ``measure_volts`` tells the requested voltage.

Scripts put names before the answers (``arm:<tab>frequency(45)=...``, as the loops of the Raspberry Pi documentation do),
several answers into one line, or a time before it; a shell's session has the question in the line above. A name says
which clock or voltage it is, and so keeps two answers of a kind apart.
"""

import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Pattern, Tuple

from tunebench.targets.agent.formats import pmic, throttled
from tunebench.targets.agent.formats.logs import plain_lines
from tunebench.targets.agent.formats.reading import Json, Reading, body, channel, unlike, without_power


class _Answer(NamedTuple):
    """How one kind of answer is read.

    Attributes:
        site: of an answer that no name stands before.
        subject: what vcgencmd is asked for it; names stand behind it.
    """

    pattern: "Pattern[str]"
    site: str
    kind: str
    unit: str
    factor: float
    subject: str


_START, _END = r"(?<![\w.])", r"(?![\w.])"
_NUMBER = r"(?P<value>-?\d+(?:\.\d+)?)"
_ANSWERS = (
    _Answer(
        re.compile(_START + "temp=" + _NUMBER + r"'C" + _END), "soc", "temperature", "C", 1.0, "measure_temp"
    ),
    _Answer(
        re.compile(_START + "volt=" + _NUMBER + "V" + _END), "core", "voltage", "V", 1.0, "measure_volts"
    ),
    _Answer(
        re.compile(_START + r"frequency\((?P<number>\d+)\)=(?P<value>\d+)" + _END),
        "clock",
        "frequency",
        "Hz",
        1.0,
        "measure_clock",
    ),
    _Answer(
        re.compile(_START + r"(?P<name>arm|gpu|malloc|reloc)=(?P<value>\d+)M" + _END),
        "",
        "memory",
        "B",
        float(1 << 20),
        "get_mem",
    ),
)
_FLAGS = re.compile(r"(?<![\w.=])throttled=(0x[0-9a-fA-F]{1,8})(?!\w)")
#: Right before an answer: what the firmware measures by name (vcgencmd's documentation), and a colon, a blank or a tab.
_NAME = re.compile(
    r"(?:^|[\s\"'(|,;])(arm|core|h264|isp|v3d|uart|pwm|emmc2?|pixel|vec|hdmi|dpi|gpu|sdram_[cip]|pmic|soc|uncached)"
    r"\s*[:=]?\s*$"
)
_QUESTION = re.compile(r"vcgencmd\s+(measure_temp|measure_volts|measure_clock)(?:\s+(\w+))?\s*$")


def parse(text: str) -> Reading:
    """Read a channel for each kind of answer and name; where one comes again, the last counts."""
    if "current(" in text or "volt(" in text:
        return pmic.parse(text)
    channels: Dict[Tuple[str, str], Json] = {}
    details: Json = {"lines": 0}
    for made, flags in _answers(plain_lines(body(text))):
        channels[made["site"], made["kind"]] = made
        details["lines"] += 1
        if flags is not None:
            details.update(throttled.parse(flags).details)
    if not channels:
        return without_power([], pmic.refusal(text) or unlike("an answer of vcgencmd", text))
    return without_power(list(channels.values()), **details)


def _answers(lines: List[str]) -> Iterator[Tuple[Json, Optional[str]]]:
    """Yield each answer's channel; with the throttle flags their text, too."""
    asked: Dict[str, str] = {}
    for line in lines:
        question = _QUESTION.search(line)
        if question:
            asked = {question.group(1): question.group(2) or ""}
            continue
        for flags in _FLAGS.findall(line):
            yield throttled.parse(flags).channels[0], flags
        for answer in _ANSWERS:
            for match in answer.pattern.finditer(line):
                groups = match.groupdict()
                name = groups.get("name") or _name_before(line[: match.start()]) or asked.get(answer.subject)
                site = name or " ".join(filter(None, [answer.site, groups.get("number")]))
                value = float(groups["value"]) * answer.factor
                yield channel(site, answer.kind, answer.unit, value), None
        asked = {}


def _name_before(prefix: str) -> Optional[str]:
    match = _NAME.search(prefix[-40:])
    return match.group(1) if match else None
