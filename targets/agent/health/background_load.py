"""Who else uses the board: CPU time of others, people at terminals, programs known to disturb, a scaling clock.

Reads only below ``root``; a simulated tree holds what its author put there. Sources: proc_stat(5),
proc_pid_stat(5), pts(4), sd-login (/run/systemd/sessions), Documentation/admin-guide/pm/cpufreq.rst.
"""

import os
import time
from typing import Dict, List, Optional, Tuple

from tunebench.targets.agent.linux.sysfs import find, text_of

#: How long idle time is measured for: at ticks of 10 ms a hundredth of a core can be told.
WINDOW_S = 1.0
#: A terminal in which nothing was typed or printed for so long has nobody at it.
IDLE_TERMINAL_S = 900.0
#: Names (as in /proc/PID/comm, 15 characters) of programs that are at work whenever they run.
_WORKING = (
    "apt",
    "apt-get",
    "aptitude",
    "dpkg",
    "unattended-upgr",
    "apt.systemd.dai",
    "mandb",
    "updatedb",
    "fstrim",
)
#: Those that stay resident.
_RESIDENT = ("packagekitd", "jtop", "jtop.service", "tegrastats")
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK") or 100


def users(root: str = "/", now_s: Optional[float] = None) -> List[str]:
    """Return who is logged in: ``name on pts/0`` for terminals in use, ``name at seat0`` for desktops and consoles."""
    now_s = time.time() if now_s is None else now_s
    logins = []
    for path in find(root, "dev/pts/[0-9]*"):
        try:
            state = os.stat(path)
        except OSError:
            continue
        if now_s - max(state.st_atime, state.st_mtime) <= IDLE_TERMINAL_S:
            logins.append("%s on pts/%s" % (_name(root, state.st_uid), os.path.basename(path)))
    for path in find(root, "run/systemd/sessions/*"):
        session = _assignments(text_of(path))
        # A session over SSH has no seat (a terminal of its own is among those above); a greeter is nobody.
        if session.get("SEAT") and session.get("CLASS") == "user" and session.get("ACTIVE") == "1":
            logins.append("%s at %s" % (session.get("USER", "somebody"), session["SEAT"]))
    return logins


def disturbers(root: str = "/") -> Dict[str, List[str]]:
    """Return programs that disturb, ``name (pid)``: under ``fail`` those at work, under ``warn`` resident ones."""
    names = {"fail": [], "warn": []}  # type: Dict[str, List[str]]
    for path in find(root, "proc/[0-9]*/comm"):
        name = text_of(path)
        if name not in _WORKING and name not in _RESIDENT:
            continue
        pid = os.path.basename(os.path.dirname(path))
        words = (text_of(os.path.join(os.path.dirname(path), "cmdline")) or "").replace("\0", " ")
        if name == "unattended-upgr" and "shutdown" in words:
            continue  # Ubuntu's and Debian's: waits for the power-off, does nothing
        names["fail" if name in _WORKING else "warn"].append("%s (%s)" % (name, pid))
    return names


def scaling(root: str = "/") -> Optional[List[str]]:
    """Return clusters whose frequency may change, ``policy0: ondemand 600-1500 MHz``; ``None`` if there is no cpufreq."""
    policies = find(root, "sys/devices/system/cpu/cpufreq/policy*")
    if not policies:
        return None
    notes = []
    for policy in policies:
        governor = text_of(os.path.join(policy, "scaling_governor"))
        low, high = (_mhz(os.path.join(policy, "scaling_%s_freq" % edge)) for edge in ("min", "max"))
        if governor == "performance" or (low is not None and low == high):
            continue
        span = " %s-%s MHz" % (low or "?", high or "?")
        notes.append("%s: %s%s" % (os.path.basename(policy), governor or "unknown governor", span))
    return notes


def background(root: str, window_s: float) -> Tuple[Optional[float], List[str]]:
    """Return CPU time that others use, in cores, over ``window_s``; and the busiest of them.

    This process' own time is left out. ``None`` where the counters cannot be read or do not move.
    """
    before, own, started = _times(root), _own_s(), _by_process(root)
    since_s = time.monotonic()
    time.sleep(window_s)
    ended = _by_process(root)
    after, elapsed_s = _times(root), time.monotonic() - since_s
    if before is None or after is None or after[1] <= before[1]:
        return None, []
    cores = max(0.0, (after[0] - before[0]) - (_own_s() - own)) / elapsed_s
    used = [(ticks - started.get(key, ticks), key) for key, ticks in ended.items()]
    busiest = sorted((usage for usage in used if usage[0] > 0), reverse=True)[:3]
    return cores, [
        "%s (%s) %.2f" % (key[1], key[0], ticks / _CLOCK_TICKS / elapsed_s) for ticks, key in busiest
    ]


def _times(root: str) -> Optional[Tuple[float, float]]:
    """Return seconds that all CPUs together were busy, and that passed (idle and waiting included)."""
    words = (text_of(os.path.join(root, "proc/stat")) or "").split("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None
    try:
        user, nice, system, idle, iowait, irq, softirq, steal = (int(word) for word in words[1:9])
    except ValueError:
        return None
    busy = user + nice + system + irq + softirq + steal  # guest time is part of user time
    return busy / _CLOCK_TICKS, (busy + idle + iowait) / _CLOCK_TICKS


def _own_s() -> float:
    used = os.times()
    return used[0] + used[1]


def _by_process(root: str) -> Dict[Tuple[str, str], int]:
    """Return ticks of CPU time by (pid, name), but for this process."""
    ticks = {}
    for path in find(root, "proc/[0-9]*/stat"):
        text = text_of(path) or ""
        name, fields = text[text.find("(") + 1 : text.rfind(")")], text[text.rfind(")") + 2 :].split()
        pid = os.path.basename(os.path.dirname(path))
        if len(fields) > 12 and pid != str(os.getpid()):
            ticks[(pid, name)] = int(fields[11]) + int(fields[12])
    return ticks


def _assignments(text: Optional[str]) -> Dict[str, str]:
    pairs = (line.partition("=") for line in (text or "").splitlines())
    return {name: value for name, _, value in pairs}


def _mhz(path: str) -> Optional[int]:
    text = text_of(path)
    return int(text) // 1000 if text and text.isdigit() else None


def _name(root: str, uid: int) -> str:
    """Return the user's name in this board's own passwd file, else the number."""
    for line in (text_of(os.path.join(root, "etc/passwd")) or "").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(uid):
            return fields[0]
    return "uid %d" % uid
