"""Take out of a board's texts what names the board, its network or its people; keep what says how it measures.

Every rule errs on the side of taking out too much: a bundle goes to strangers.
"""

import os
import pwd
import re
from collections import Counter
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Optional, Pattern, Set, Tuple

from tunebench.targets.agent.linux.sysfs import find, text_of

GONE = "REDACTED"


def _set(words: str) -> FrozenSet[str]:
    return frozenset(words.split())


#: Names that a million boards have; they stand in device trees too, where they must stay.
_COMMON = _set(
    "raspberrypi raspberry pi ubuntu debian nvidia jetson tegra tegra-ubuntu linux localhost root nobody user "
    "localhost.localdomain ip6-localhost ip6-loopback ip6-allnodes ip6-allrouters ip6-localnet"
)
#: Kernel parameters whose values say how the board measures and nothing of whose it is.
_CMDLINE_KEYS = _set(
    "console cgroup_disable cgroup_enable cgroup_memory cma coherent_pool isolcpus nohz nohz_full rcu_nocbs maxcpus "
    "nr_cpus mitigations swapaccount systemd.unified_cgroup_hierarchy psi cpufreq.default_governor cpuidle.off "
    "intel_pstate amd_pstate processor.max_cstate idle numa numa_balancing transparent_hugepage hugepages "
    "fsck.repair rootfstype elevator nvme_core.default_ps_max_latency_us pcie_aspm clocksource tsc audit "
    "usbcore.autosuspend l4tver pcie_port_pm nospectre_v2 efi video fbcon net.ifnames loglevel"
)
_CMDLINE_WORDS = _set(
    "quiet splash ro rw rootwait noswap nosmt nohz debug single nomodeset threadirqs preempt=full"
)
_OS_RELEASE_KEYS = _set(
    "NAME PRETTY_NAME ID ID_LIKE VERSION VERSION_ID VERSION_CODENAME UBUNTU_CODENAME VARIANT VARIANT_ID"
)

_KEYED = re.compile(
    r"(?i)((?:[\w.-]*(?:serial|uuid|macaddr|mac_addr|hwaddr|hostname|password|passwd|passphrase|secret|token|api_?key|"
    r"psk|wwn|imei|ssid)[\w.-]*|\b(?:user|username|login|mac|host)\b)[\"']?[ \t]*[:=][ \t]*)(?!\s)([^\s,;]+)"
)
_RULES: List[Tuple[str, Pattern[str]]] = [
    ("mac", re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Za-z])")),
    ("uuid", re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")),
    (
        "ip",
        re.compile(
            r"(?<![\w:])(?=[0-9A-Fa-f:]*::|(?:[0-9A-Fa-f]{1,4}:){4})[0-9A-Fa-f:]{3,39}(?![\w:])"
            r"|(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"
        ),
    ),
    ("id", re.compile(r"(?<![0-9A-Za-z])(?=\d*[A-Fa-f])(?=[A-Fa-f]*\d)[0-9A-Fa-f]{12,}(?![0-9A-Za-z])")),
]
#: For what people write and programs print; numbers of the kernel would be hit by them.
_TEXT_RULES: List[Tuple[str, Pattern[str]]] = [
    ("id", re.compile(r"(?<![\w.])\d{12,}(?![\w.])")),
    (
        "token",
        re.compile(r"(?<![\w/])(?=[^\s]*[a-z])(?=[^\s]*[A-Z])(?=[^\s]*\d)[A-Za-z0-9_+=-]{24,}(?![\w/])"),
    ),
    ("mail", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")),
    ("home", re.compile(r"(?<=/home/)[^/\s\"':]+")),
]
#: The VideoCore firmware's commit: the one hash that says how a board measures.
_FIRMWARE = re.compile(r"^version [0-9a-f]{8,40}\b.*$", re.MULTILINE)


class Redactor:
    """Rules with the names of one board.

    Args:
        root: where its file system starts.

    Attributes:
        counts: kind -> how often something was taken out.
    """

    def __init__(self, root: str = "/") -> None:
        self.counts: Dict[str, int] = Counter()
        names = _names(root) | _own_names()
        self._names = _any_of(name for name in names if len(name) > 1 and name.lower() not in _COMMON)
        self._known = _any_of(_values(root))

    def attribute(self, text: str) -> str:
        """Redact a value of the kernel's own (sysfs files): names of people and hosts cannot be in it."""
        text = self._without(self._known, "known", text)
        if re.match(r"[-+0-9.\s]*\Z", text):
            return text
        return self._apply(self._keyed(text), _RULES)

    def words(self, text: str) -> str:
        """Redact what people write and programs print."""
        kept: List[str] = []

        def keep(match: Any) -> str:
            kept.append(match.group(0))
            return "\0%d\0" % (len(kept) - 1)

        text = self._without(self._known, "known", _FIRMWARE.sub(keep, text))
        text = self._apply(self._keyed(text), _RULES + _TEXT_RULES)
        text = self._without(self._names, "name", text)
        return re.sub("\0(\\d+)\0", lambda match: kept[int(match.group(1))], text)

    def cmdline(self, text: str) -> str:
        """Redact the kernel's command line: only values of known parameters stay."""
        return " ".join(self._parameter(word) for word in text.split()) + "\n"

    def _parameter(self, word: str) -> str:
        key, equals, _ = word.partition("=")
        if word in _CMDLINE_WORDS or (equals and key in _CMDLINE_KEYS):
            return self.words(word)
        self._count("parameter", 1)
        # A key with no value may be anything that someone typed.
        return "%s=%s" % (self.words(key), GONE) if equals else GONE

    def os_release(self, text: str) -> str:
        """Return name and version of the distribution."""
        lines = [line for line in text.splitlines() if line.partition("=")[0] in _OS_RELEASE_KEYS]
        return self.words("\n".join(lines) + "\n")

    def cpuinfo(self, text: str) -> str:
        """Drop the line that holds the board's serial number."""
        lines = [line for line in text.splitlines() if not line.lower().startswith(("serial", "uuid"))]
        self._count("serial", len(text.splitlines()) - len(lines))
        return self.attribute("\n".join(lines) + "\n")

    def _without(self, pattern: Optional[Pattern[str]], kind: str, text: str) -> str:
        if pattern is None:
            return text
        text, n = pattern.subn(GONE, text)
        self._count(kind, n)
        return text

    def _keyed(self, text: str) -> str:
        text, n = _KEYED.subn(lambda match: match.group(1) + GONE, text)
        self._count("value", n)
        return text

    def _apply(self, text: str, rules: List[Tuple[str, Pattern[str]]]) -> str:
        for kind, pattern in rules:
            text = self._without(pattern, kind, text)
        return text

    def _count(self, kind: str, n: int) -> None:
        if n:
            self.counts[kind] += n


def _any_of(words: Iterable[str]) -> Optional[Pattern[str]]:
    """Return a pattern that matches the words as whole words, in any case; it tries the longest first."""
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(r"(?<![A-Za-z0-9])(?:%s)(?![A-Za-z0-9])" % pattern, re.IGNORECASE) if pattern else None


def _names(root: str) -> Set[str]:
    """Return host and user names that a board's own files give."""

    def lines(path: str) -> List[str]:
        return (text_of(os.path.join(root, path)) or "").splitlines()

    names = set(lines("etc/hostname")[:1] + lines("proc/sys/kernel/hostname")[:1])
    for line in lines("etc/hosts"):
        names.update(line.partition("#")[0].split()[1:])
    for line in lines("etc/passwd"):
        fields = line.split(":")
        if len(fields) > 5 and fields[2].isdigit() and 1000 <= int(fields[2]) < 65000:
            # The fifth field is the full name, first of a list.
            names.update([fields[0], os.path.basename(fields[5])] + fields[4].split(",")[0].split())
    names.update(name.partition(".")[0] for name in list(names))
    return {name.strip() for name in names if name.strip()}


def _values(root: str) -> Set[str]:
    """Return this board's serial numbers, addresses and secrets, none of which may appear in a capture."""

    def text(path: str) -> str:
        return text_of(os.path.join(root, path)) or ""

    values = {text("proc/device-tree/serial-number"), text("etc/machine-id")}
    values.update(re.findall(r"(?im)^serial\s*:\s*(\S+)", text("proc/cpuinfo")))
    values.update(value for _, value in _KEYED.findall(text("proc/cmdline")))
    values.update(text_of(path) or "" for path in find(root, "sys/class/net/*/address"))
    # Shorter ones are words that stand in many places, and name nothing.
    return {value for value in values if len(value) >= 6 and value.strip("0:-")}


def _own_names() -> Set[str]:
    """Return the names of the machine and of the user that run this process."""
    names = {os.uname().nodename, os.uname().nodename.partition(".")[0]}
    names.update(os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER"))
    try:
        names.add(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        pass
    return {name for name in names if name}


#: File of a bundle -> the rule for it; all others are the kernel's attributes.
RULES: Dict[str, Callable[[Redactor, str], str]] = {
    "proc/cmdline": Redactor.cmdline,
    "proc/cpuinfo": Redactor.cpuinfo,
    "proc/swaps": Redactor.words,
    "etc/os-release": Redactor.os_release,
    "usr/lib/os-release": Redactor.os_release,
    "etc/nvpmodel.conf": Redactor.words,
    "etc/nv_tegra_release": Redactor.words,
    "var/lib/nvpmodel/status": Redactor.words,
}
