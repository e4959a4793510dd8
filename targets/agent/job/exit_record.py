"""The exit record: how a repetition ended, under what conditions, and the hashes of its files."""

import errno
import hashlib
import os
import signal
import time
from typing import Any, Dict, List, Optional, Tuple

from tunebench.targets.agent import workdir
from tunebench.targets.agent.health import counters
from tunebench.targets.agent.job import job_files
from tunebench.targets.agent.job.log import last_line
from tunebench.targets.agent.job.sampler import Sampler, summary
from tunebench.targets.agent.linux import kernel_log
from tunebench.targets.agent.linux.mounts import why_not_startable
from tunebench.targets.agent.protocol import EXIT_SCHEMA, monotonic_ns
from tunebench.targets.agent.sensors import throttled

#: Words by which an allocation that failed inside the process is known from its last line.
_OOM_WORDS = ("MemoryError", "out of memory", "can't allocate memory", "Cannot allocate memory")


class Record:
    """Collects what the exit record says."""

    def __init__(self, job: Dict[str, Any], job_dir: str) -> None:
        self._job = job
        self._dir = job_dir
        self._start_ns = monotonic_ns()
        self._end_ns = self._start_ns
        self._cpu_s = 0.0
        self._utc_start = _utc()
        self._returncode: Optional[int] = None
        self._root = str(job.get("root", "/"))
        self._before = counters.read(self._root)
        self._after = self._before
        self._during: counters.Strain = {}
        self._peak_rss_b: Optional[int] = None
        self._sampler: Optional[Dict[str, Any]] = None
        self._conditions: Dict[str, Any] = dict.fromkeys(_CONDITIONS)
        self._found: Dict[str, Any] = job.get("found") or {}
        self._warnings: List[Dict[str, str]] = list(self._found.get("warnings") or [])
        self._watchdog: Optional[Dict[str, Any]] = None
        self._pulses: Dict[str, Any] = {}
        self._stressor: Optional[Dict[str, Any]] = None
        self.missing: Dict[str, str] = {}
        self.outcome = "lost"
        self.reason: Optional[str] = None

    def started(self) -> None:
        """Call right before the workload is started."""
        self._utc_start = _utc()
        self._cpu_s = time.process_time()
        self._start_ns = self._end_ns = monotonic_ns()

    def unstartable(self, program: str, error: OSError, cwd: str = "/") -> None:
        """Record that the workload could not be started at all; ``cwd`` is where it would have run."""
        self.outcome = "failed"
        reason = why_not_startable(program, cwd) if error.errno == errno.EACCES else None
        self.reason = "cannot start %s: %s%s" % (program, error, "; " + reason if reason else "")
        with open(os.path.join(self._dir, "log.txt"), "a", encoding="utf-8") as file:
            file.write(self.reason + "\n")

    def not_stressed(self, reason: str) -> None:
        """Record that the workload was not started: what the suite puts around it could not be had."""
        self.outcome = "failed"
        self.reason = "stressor %s: %s" % ((self._job.get("stressor") or {}).get("id"), reason)

    def ended(
        self,
        returncode: Optional[int],
        deadline_hit: bool,
        stop_reason: Optional[str],
        shut_down: bool = False,
        pid: int = 0,
    ) -> None:
        """Call when the workload has been reaped; decides the outcome.

        Args:
            shut_down: the supervisor itself was told to end, as when the board shuts down.
            pid: of the workload, for the kernel's line on its end.
        """
        self._end_ns = monotonic_ns()
        self._cpu_s = time.process_time() - self._cpu_s
        self._after = counters.read(self._root)
        self._returncode = returncode
        if deadline_hit:
            self.outcome, self.reason = "deadline", stop_reason
        elif stop_reason is not None:
            self.outcome, self.reason = "lost" if shut_down else "killed", stop_reason
        elif returncode == 0:
            self.outcome = "ok"
        elif returncode is not None and returncode < 0:
            self.outcome, self.reason = self._killed(-returncode, pid)
        else:
            self.outcome = "failed"

    def _killed(self, number: int, pid: int) -> "tuple[str, str]":
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "signal %d" % number
        if number == signal.SIGKILL:
            return self._by_sigkill(pid)
        if number == signal.SIGILL:
            return "killed", "SIGILL: this build does not run on this CPU"
        return "killed", "the workload was killed by %s" % name

    def _by_sigkill(self, pid: int) -> "tuple[str, str]":
        """Tell the kernel's kill for want of memory from anybody else's, by its counter, else by its own line.

        The counter is there from Linux 4.13 on (proc_vmstat(5)); JetPack 4 has 4.9.
        """
        before, after = self._before.get("oom_kill"), self._after.get("oom_kill")
        if before is not None and after is not None:
            if after <= before:
                return "killed", "the workload was killed by SIGKILL"
            line, why_none = kernel_log.oom_line(pid, root=self._root)
            said = "killed by the kernel: out of memory (SIGKILL, and oom_kill in /proc/vmstat rose); %s"
            return "oom", said % (line or why_none)
        line, why_none = kernel_log.oom_line(pid, root=self._root, since_ns=self._start_ns)
        if line:
            said = "killed by the kernel: out of memory (SIGKILL, and the kernel's log names the process); %s"
            return "oom", said % line
        said = "the workload was killed by SIGKILL (no oom_kill in /proc/vmstat tells whether for want of memory: %s)"
        return "killed", said % why_none

    def sampled(self, sampler: Sampler, peak_rss_b: Optional[int]) -> None:
        """Take over what the sampler saw; call it after the sampler was closed."""
        self._peak_rss_b = peak_rss_b
        if peak_rss_b is None:
            self.missing["peak_rss_b"] = "/proc/PID/status had no VmHWM while the workload was sampled"
        self._sampler = summary(sampler, self._cpu_s)
        self._explain_silence(sampler)
        temp, freq = sampler.range("cpu_temp_c"), sampler.range("cpu_freq_hz")
        swap = sampler.range("swap_used_b").delta()
        available = sampler.range("mem_available_b").low
        self._conditions.update(
            temp_start_c=temp.first,
            temp_end_c=temp.last,
            temp_max_c=temp.high,
            freq_min_hz=freq.low,
            freq_max_hz=freq.high,
            load_1m_start=sampler.range("load_1m").first,
            swap_delta_b=None if swap is None else int(swap),
            mem_available_min_b=None if available is None else int(available),
            background_cores=(self._found.get("conditions") or {}).get("background_cores"),
        )
        self._during = _highest(sampler)
        bits = sampler.range("throttled").bits | (self._after.get("throttled") or 0)
        for name in throttled.seen(self._before.get("throttled"), bits):
            self.warn("throttled", "the board reported: " + name)
        swapped = [self._after.get(key, 0) != self._before.get(key, 0) for key in ("pswpin", "pswpout")]
        if any(swapped):
            self.warn("swapped", "pages were swapped while the workload ran")

    def _explain_silence(self, sampler: Sampler) -> None:
        """Explain which channels never gave a value; without any power, power as such is missing.

        What was asleep when it was looked for and has given values since is not missing.
        """
        silent = sampler.silent()
        spoke = {name for name, counts in sampler.counts.items() if counts.n}
        if "cpu_temp_c" in spoke:
            spoke.add("temp_c")
        for name in spoke:
            self.missing.pop(name, None)
        self.missing.update(silent)
        powers = [channel.id for channel in sampler.channels if channel.kind == "power"]
        if powers and all(name in silent for name in powers):
            self.missing["power"] = "%s: %s" % (powers[0], silent[powers[0]])

    def watched(self, report: Dict[str, Any]) -> None:
        """Take over what the thermal watchdog did."""
        self._watchdog = report

    def pulsed(self, when: str, report: Dict[str, Any]) -> None:
        """Take over a load pattern that was emitted ``before`` or ``after`` the workload."""
        self._pulses[when] = report

    def stressed(self, entry: Optional[Dict[str, Any]]) -> None:
        """Take over what became of the stressor; ``None``: there was none."""
        self._stressor = entry

    def warn(self, code: str, message: str) -> None:
        """Add a warning."""
        self._warnings.append({"code": code, "message": message})

    def finish(self) -> Dict[str, Any]:
        """Write the record; all files of the job must have been closed."""
        if self.outcome == "failed" and self._returncode is not None:
            self._explain_failure()
        files, left_out = job_files.listed(self._dir)
        for file in left_out:
            self.warn("file-left-out", "%(name)s (%(size)d bytes): %(reason)s" % file)
        digests = self._kept(files)
        code = self._returncode
        return {
            "schema": EXIT_SCHEMA,
            "rep_id": self._job["rep_id"],
            "run_id": self._job.get("run_id"),
            "outcome": self.outcome,
            "reason": self.reason,
            "returncode": code if code is None or code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "t_start_ns": self._start_ns,
            "t_end_ns": self._end_ns,
            "utc_start": self._utc_start,
            "boot_id": workdir.boot_id(),
            "process_s": (self._end_ns - self._start_ns) / 1e9,
            "peak_rss_b": self._peak_rss_b,
            "sampler": self._sampler,
            "conditions": self._conditions,
            "missing": self.missing,
            "counters": {"before": self._before, "during": self._during, "after": self._after},
            "watchdog": self._watchdog,
            "pulses": self._pulses or None,
            "stressor": self._stressor,
            "lease_taken_over_from": self._found.get("lease_taken_over_from"),
            "warnings": self._warnings,
            "files": digests,
        }

    def _kept(self, files: List[Tuple[str, int]]) -> Dict[str, Dict[str, Any]]:
        """Return the files' hashes, and sync the files, so that they survive a power cut as the record does."""
        paths = [os.path.join(self._dir, name) for name, _ in files]
        digests = {name: _digest(path) for (name, _), path in zip(files, paths)}  # noqa: B905 - Python 3.6
        try:
            for path in paths:
                workdir.sync_file(path)
            # The job's own name, too, stands in a folder.
            for folder in sorted({os.path.dirname(path) for path in paths} | {os.path.dirname(self._dir)}):
                workdir.sync_folder(os.path.join(folder, ""))
        except OSError as error:
            self.warn("not-synced", "files may not survive a power cut: %s" % error)
        return digests

    def _explain_failure(self) -> None:
        said = last_line(os.path.join(self._dir, "log.txt"))
        self.reason = "exit status %s: %s" % (self._returncode, said or "it printed nothing")
        if said and any(word in said for word in _OOM_WORDS):
            self.outcome = "oom"


_CONDITIONS = (
    "temp_start_c",
    "temp_end_c",
    "temp_max_c",
    "freq_min_hz",
    "freq_max_hz",
    "load_1m_start",
    "swap_delta_b",
    "mem_available_min_b",
    "background_cores",
)


def _utc() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _highest(sampler: Sampler) -> counters.Strain:
    """Return the union of the throttle bits of all samples, and the highest value of every other sign of throttling."""
    strain: counters.Strain = {}
    for channel in sampler.channels:
        seen = sampler.range(channel.id)
        if channel.kind == "throttle" and seen.high is not None:
            strain[channel.id] = seen.bits if channel.unit == "bits" else int(seen.high)
    return strain


def _digest(path: str) -> Dict[str, Any]:
    digest = hashlib.sha256()
    size_b = 0
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 18), b""):
            digest.update(chunk)
            size_b += len(chunk)
    return {"sha256": digest.hexdigest(), "size": size_b}
