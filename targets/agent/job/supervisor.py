"""Runs one workload, detached from whoever started it; ends with ``exit.json``.

One thread: the loop waits for output, for the child's end (SIGCHLD through a wake-up pipe), for the next
sample and for the deadline, whichever comes first. The supervisor samples at low priority; the workload runs
at the normal one, in a group of its own, and is the kernel's first choice when memory runs out.
"""

import os
import select
import signal
import subprocess
from typing import Any, Callable, List, Optional

from tunebench.targets.agent import workdir
from tunebench.targets.agent.job import exit_record, pulses, workload_env
from tunebench.targets.agent.job.journal import Journal
from tunebench.targets.agent.job.log import Capture
from tunebench.targets.agent.job.sampler import Sampler
from tunebench.targets.agent.job.stress import MakeStressor, Stress
from tunebench.targets.agent.job.stress import none as no_stressor
from tunebench.targets.agent.job.watchdog import Watchdog
from tunebench.targets.agent.linux import detached, env_wrapper, perf_events, processes
from tunebench.targets.agent.protocol import monotonic_ns
from tunebench.targets.agent.sensors.base import Sensor
from tunebench.targets.agent.sensors.discover import discover
from tunebench.targets.agent.sensors.memory import Process

#: Its presence says that the workload may have run, so that it is never run again.
SPAWNED = "spawned.json"
#: From SIGTERM to SIGKILL.
GRACE_S = 2.0
_NICE = 10
#: The most that there is: a process that holds memory for a stressor must not go first.
_OOM_SCORE_ADJ = "1000"


def detach(job_dir: str, lock: int, make_stressor: MakeStressor = no_stressor) -> None:
    """Start the supervisor of a job in a process of its own, and return.

    Args:
        job_dir: the job's folder, with ``job.json``.
        lock: descriptor of the job's lock, held; the supervisor inherits it, and it ends with it.
        make_stressor: what makes the stressor that the job asks for.
    """
    detached.start(
        lambda: Supervisor(job_dir, make_stressor).run(), lock, os.path.join(job_dir, "supervisor.txt")
    )


class Supervisor:
    """One run of one job."""

    def __init__(self, job_dir: str, make_stressor: MakeStressor) -> None:
        job = workdir.read_json(os.path.join(job_dir, "job.json"))
        if job is None:
            raise ValueError("job.json is not readable")
        self._dir = job_dir
        self._job = job
        self._stress = Stress(job.get("stressor"), make_stressor(job, job_dir))
        self._journal = Journal(os.path.join(job_dir, "journal.jsonl"))
        self._stop_reason: Optional[str] = None
        self._shut_down = False
        self._deadline_hit = False
        self._killed_ns: Optional[int] = None

    def run(self) -> None:
        """Run the workload to its end and write the exit record."""
        workdir.write_json(os.path.join(self._dir, "supervisor.json"), {"pid": os.getpid()})
        wake = self._catch_signals()
        self._journal.write("supervised", pid=os.getpid(), boot_id=workdir.boot_id())
        self._journal.sync()  # so that a board that lost its power can say so
        origin = self._job.get("found", {}).get("lease_taken_over_from")
        if origin:
            self._journal.write("lease-taken-over", taken_over_from=origin)
        # The record begins with the board as the workload finds it.
        why_unstressed = self._stress.begin()
        record = exit_record.Record(self._job, self._dir)
        if why_unstressed is not None:
            record.not_stressed(why_unstressed)
            self._finish(record, None)
            return
        self._pulse("before", record)
        reader, writer = os.pipe()
        capture = Capture(os.path.join(self._dir, "log.txt"), reader)
        workload = self._spawn(writer, record)
        os.close(writer)
        if workload is None:
            self._stress.remove()
            capture.close()
            self._finish(record, None)
            return
        os.nice(_NICE)  # after the fork: the workload keeps its own priority
        process = Process(workload.pid)
        sampler = self._sampler(process.sensor, record)
        watchdog = Watchdog(self._job.get("watchdog") or {}, sampler, self._job.get("root", "/"))
        self._loop(workload, capture, sampler, wake, watchdog)
        sampler.sample()  # so that the series covers the whole life of the workload
        record.ended(
            workload.returncode, self._deadline_hit, self._stop_reason, self._shut_down, workload.pid
        )
        self._journal.write("ended", returncode=workload.returncode)
        self._stress.verify()
        self._stress.remove()
        if processes.kill_all(self._dir):
            record.warn("leftover", "processes of the workload did not die")
        capture.drain(1 << 26)
        capture.close()
        if capture.dropped_b:
            record.warn("log-truncated", "%d bytes of output were left out of log.txt" % capture.dropped_b)
        sampler.close()
        record.sampled(sampler, process.peak_b)
        record.watched(watchdog.entry())
        self._pulse("after", record)
        self._finish(record, workload.returncode)

    def _finish(self, record: "exit_record.Record", returncode: Optional[int]) -> None:
        record.stressed(self._stress.entry())
        self._journal.write("done", outcome=record.outcome, returncode=returncode)
        self._journal.close()
        workdir.write_json(os.path.join(self._dir, "exit.json"), record.finish(), durable=True)

    def _pulse(self, when: str, record: "exit_record.Record") -> None:
        """Emit a load pattern, if the job asks for one: it shows a meter with its own clock when the run is."""
        chip_s = self._job.get("pulses", {}).get("chip_s")
        if chip_s is None or self._stop_reason is not None:
            return
        try:
            record.pulsed(when, pulses.emit(chip_s, lambda: self._stop_reason is not None))
        except OSError as error:
            record.warn("pulses", "load pulses could not be emitted: %s" % error)

    def _sampler(self, workload: Sensor, record: "exit_record.Record") -> Sampler:
        discovery = discover(self._job.get("root", "/"))
        record.missing.update(discovery.missing)
        period_s = float(self._job.get("sampling", {}).get("period_s", 0.2))
        return Sampler(os.path.join(self._dir, "samples.jsonl"), [workload] + discovery.sensors, period_s)

    # -- the workload -----------------------------------------------------------------------------

    def _spawn(self, output: int, record: "exit_record.Record") -> Optional["subprocess.Popen[bytes]"]:
        job, paths = self._job, self._job["paths"]
        env = workload_env.of_job(job, self._dir)
        cwd = paths[job.get("cwd", "out")]
        counters = perf_events.Handover()
        env.pop(perf_events.VARIABLE, None)  # another run's, where this one is part of it
        record.missing.update(counters.missing)
        env.update(counters.variables())
        argv: List[str] = env_wrapper.carried(job, processes.expanded(job["argv"]), env, cwd)
        prepare = _before_exec(counters)
        workdir.write_json(os.path.join(self._dir, SPAWNED), {"argv": argv})
        record.started()
        try:
            workload = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=env,
                start_new_session=True,
                pass_fds=counters.files,
                preexec_fn=prepare,  # noqa: PLW1509 - another thread could only hang in a driver
            )
        except OSError as error:
            record.unstartable(argv[0], error, cwd)
            return None
        finally:
            counters.close()
        self._journal.write("spawned", pid=workload.pid)
        return workload

    def _loop(
        self,
        workload: "subprocess.Popen[bytes]",
        capture: Capture,
        sampler: Sampler,
        wake: int,
        watchdog: Watchdog,
    ) -> None:
        deadline_ns = monotonic_ns() + int(self._job["deadline_s"] * 1e9)
        due_ns = sampler.sample()
        poller = select.poll()
        poller.register(capture.descriptor, select.POLLIN)
        poller.register(wake, select.POLLIN)
        while workload.poll() is None:
            now_ns = monotonic_ns()
            if now_ns >= deadline_ns and not self._deadline_hit:
                self._deadline_hit = True
                self._stop_reason = "the deadline of %g s passed" % self._job["deadline_s"]
            if self._stop_reason is not None:
                self._stop(workload)
            if now_ns >= due_ns:
                due_ns = sampler.sample()
                self._stop_reason = self._stop_reason or watchdog.look()
            until_ns = min(due_ns, deadline_ns if not self._deadline_hit else now_ns + 50000000)
            # poll() counts in ms: rounding up keeps it from spinning through the last one
            for descriptor, _ in poller.poll(max(0, (until_ns - monotonic_ns()) // 1000000 + 1)):
                if descriptor == wake:
                    _drain(wake)
                elif not capture.drain():
                    poller.unregister(capture.descriptor)

    def _stop(self, workload: "subprocess.Popen[bytes]") -> None:
        """Send SIGTERM once, and SIGKILL after the grace."""
        now_ns = monotonic_ns()
        if self._killed_ns is None:
            self._killed_ns = now_ns
            self._journal.write("terminating", reason=self._stop_reason)
            _signal_group(workload.pid, signal.SIGTERM)
        elif now_ns - self._killed_ns > GRACE_S * 1e9:
            _signal_group(workload.pid, signal.SIGKILL)

    def _catch_signals(self) -> int:
        """Let SIGCHLD end the poll at once, and SIGTERM stop the workload; returns the wake-up pipe."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, self._on_signal)
        return reader

    def _on_signal(self, number: int, _frame: Any) -> None:
        # A board that shuts down sends this to all processes: what ran was not at fault.
        self._shut_down = True
        self._stop_reason = "the supervisor was stopped by %s" % signal.Signals(number).name


def _before_exec(counters: perf_events.Handover) -> Callable[[], None]:
    """Prepare the child between fork and exec; all that could fail is loaded before."""
    die_with_parent = processes.dying_with_parent()

    def prepare() -> None:
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(signum, signal.SIG_DFL)
        die_with_parent()  # no orphan that runs without a deadline
        try:
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
                file.write(_OOM_SCORE_ADJ)
        except OSError:
            pass
        counters.open_in_child()

    return prepare


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except OSError:
        pass


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 512):
            pass
    except BlockingIOError:
        pass
