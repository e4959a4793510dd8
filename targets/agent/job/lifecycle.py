"""The life of a job on the board: created once, awaited, removed.

Whether its supervisor lives is told by a lock on ``supervisor.lock`` that the supervisor holds and the
kernel releases with it: no process id that could be reused, and waiting costs nothing.
"""

import fcntl
import os
import shutil
import signal
import time
from typing import Any, Callable, Dict, Optional

from tunebench.targets.agent import lease, workdir
from tunebench.targets.agent.job.state import LOCK, is_supervised, running, state
from tunebench.targets.agent.job.stress import MakeStressor
from tunebench.targets.agent.job.stress import none as no_stressor
from tunebench.targets.agent.linux import processes
from tunebench.targets.agent.protocol import JOB_SCHEMA, ProtocolError, check_rep_id, check_schema
from tunebench.targets.agent.workdir import AgentError, Workdir


def check(job: Any) -> Dict[str, Any]:
    """Return ``job`` if it has the agreed form.

    Raises:
        AgentError: (kind ``job``) names the field and what was expected.
    """
    try:
        if not isinstance(job, dict):
            raise ProtocolError("job: expected an object")
        check_schema(job, JOB_SCHEMA, "job")
        check_rep_id(job.get("rep_id"))
    except ProtocolError as error:
        raise AgentError("job", str(error)) from None
    argv = job.get("argv")
    _expect(
        isinstance(argv, list) and argv and all(isinstance(arg, str) for arg in argv), "argv", "list of str"
    )
    for field in ("deadline_s", "lease_s"):
        value = job.get(field)
        _expect(isinstance(value, (int, float)) and value > 0, field, "a positive number of seconds")
    for field in ("owner", "blobs"):
        _expect(isinstance(job.get(field), dict), field, "an object")
    _expect(isinstance(job["owner"].get("token"), str), "owner.token", "a string")
    hold_s = job.get("hold_s", 0)
    _expect(isinstance(hold_s, (int, float)) and hold_s >= 0, "hold_s", "seconds, 0 or more")
    for field in ("env", "unpack", "sampling", "gates", "watchdog", "pulses", "stressor"):
        _expect(isinstance(job.get(field, {}), dict), field, "an object")
    for name, value in job.get("env", {}).items():
        _expect(isinstance(value, str), "env.%s" % name, "a string")
    for role, name in job["blobs"].items():
        _expect(isinstance(name, str) and os.path.basename(name) == name, "blobs.%s" % role, "a file name")
    for role, folder in job.get("unpack", {}).items():
        _expect(role in job["blobs"] and folder == "src", "unpack.%s" % role, "a role of blobs, and 'src'")
    if "pulses" in job:
        chip_s = job["pulses"].get("chip_s")
        _expect(isinstance(chip_s, (int, float)) and 0.01 <= chip_s <= 10, "pulses.chip_s", "0.01 to 10")
    _expect(os.path.isabs(str(job.get("root", "/"))), "root", "an absolute path")
    _expect(job.get("cwd", "out") in ("out", "src"), "cwd", "'out' or 'src'")
    period_s = job.get("sampling", {}).get("period_s", 0.2)
    _expect(isinstance(period_s, (int, float)) and 0.01 <= period_s <= 60, "sampling.period_s", "0.01 to 60")
    return job


def _expect(ok: object, field: str, wanted: str) -> None:
    if not ok:
        raise AgentError("job", "job field %r: expected %s" % (field, wanted))


def start(place: Workdir, job: Dict[str, Any], make_stressor: MakeStressor = no_stressor) -> Dict[str, Any]:
    """Start a job, unless it was started before: a repetition is never run twice.

    Args:
        make_stressor: what makes the stressor that a job asks for.

    Returns:
        the reply: ``started``, ``state``, ``conditions``, ``warnings``.

    Raises:
        AgentError: it cannot be started, by kind.
    """
    from tunebench.targets.agent.health import gates
    from tunebench.targets.agent.job import supervisor

    rep_id = check(job)["rep_id"]
    job_dir = place.job(rep_id)
    with place.locked():
        known_state = state(job_dir)
        if known_state == "lost" and not os.path.exists(os.path.join(job_dir, supervisor.SPAWNED)):
            shutil.rmtree(job_dir)  # the start was cut off before anything ran
            known_state = "unknown"
        if known_state != "unknown":
            return {"started": True, "state": known_state, "conditions": {}, "warnings": []}
        others = running(place)
        if others:
            held = lease.holder(place)
            if held:
                raise lease.refused(held)
            raise AgentError("lease", "the board still runs " + others[0])
        paths = _paths(place, job)
        hold_s = float(job.get("hold_s", 0))
        if hold_s > 0:
            lease.take(place, job["owner"], None, hold_s)  # kept also while a gate makes its owner wait
        health = gates.look(place.root, job.get("gates", {}), job.get("root", "/"))
        held = lease.take(place, job["owner"], rep_id, float(job["lease_s"]))
        origin = held.get("taken_over_from")
        notes = [{"code": lease.TAKEN_OVER, "message": lease.describe(origin)}] if origin else []
        start_record = {
            "conditions": health.conditions,
            "warnings": health.warnings,
            "lease_taken_over_from": origin,
        }
        lock = _create(job_dir, dict(job, found=start_record), paths)
        supervisor.detach(job_dir, lock, make_stressor)
    return {
        "started": True,
        "state": "running",
        "conditions": health.conditions,
        "warnings": health.warnings + notes,
    }


def occupy(
    place: Workdir,
    owner: Dict[str, Any],
    hold_s: float,
    wait_s: float = 0.0,
    pause: Callable[[float], None] = time.sleep,
    *,
    dead: Optional[Dict[str, Any]] = None,
) -> Dict[str, Any]:
    """Take the lease for a campaign before its first repetition; waits for another's to end.

    Args:
        pause: see :func:`tunebench.targets.agent.lease.wait_for`.
        dead: see :func:`tunebench.targets.agent.lease.take`; a repetition that it left running is waited for.

    Raises:
        AgentError: (kind ``lease``) another still holds it, or its job still runs, after ``wait_s``.
    """

    def attempt() -> Dict[str, Any]:
        with place.locked():
            held = lease.holder(place)
            others = [name for name in running(place) if _token(place, name) != owner.get("token")]
            if others and held is None:
                raise AgentError("lease", "the board still runs " + others[0])
            if others and lease.is_of(held, dead):
                raise AgentError(
                    "lease", "the board still runs %s, though the process that started it is dead" % others[0]
                )
            return lease.take(place, owner, None, hold_s, dead)

    return lease.wait_for(place, attempt, wait_s, pause, dead)


def _token(place: Workdir, rep_id: str) -> Optional[str]:
    """Return the token of a job's owner, or ``None`` if the job has none."""
    job = workdir.read_json(os.path.join(place.job(rep_id), "job.json")) or {}
    token = (job.get("owner") or {}).get("token")
    return token if isinstance(token, str) else None


def _paths(place: Workdir, job: Dict[str, Any]) -> Dict[str, str]:
    job_dir = place.job(job["rep_id"])
    paths = {"job": job_dir, "out": os.path.join(job_dir, "out"), "src": os.path.join(job_dir, "src")}
    for name, value in job.get("env", {}).items():
        _expect(isinstance(value, str), "env.%s" % name, "a string")
    for role, name in job["blobs"].items():
        paths[role] = os.path.join(place.blobs, name)
        if not os.path.isfile(paths[role]):
            raise AgentError("blob", "blob %s (%s) is not on the board; sync it again" % (name, role))
    if "payload" not in paths:
        raise AgentError("job", "job field 'blobs': 'payload' is missing")
    return paths


def _create(job_dir: str, job: Dict[str, Any], paths: Dict[str, str]) -> int:
    """Make the job's folder; returns the descriptor of its lock, already held."""
    from tunebench.targets.agent.transfer import unzip

    try:
        os.makedirs(paths["out"], mode=0o700)
        lock = os.open(os.path.join(job_dir, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if job.get("cwd") == "src" or job.get("unpack"):
            os.makedirs(paths["src"], mode=0o700)
        for role in job.get("unpack", {}):
            unzip.extract(paths[role], paths["src"])
        workdir.write_json(os.path.join(job_dir, "job.json"), dict(job, paths=paths))
    except OSError as error:
        shutil.rmtree(job_dir, ignore_errors=True)
        raise AgentError("workdir", "cannot create the job's folder %s: %s" % (job_dir, error)) from None
    except AgentError:
        shutil.rmtree(job_dir, ignore_errors=True)
        raise
    return lock


def clean(
    place: Workdir,
    rep_id: str,
    hold_s: float = 0.0,
    grace_s: float = 10.0,
    put_back: Callable[[], object] = lambda: None,
) -> None:
    """End what is left of a job and remove its folder; does nothing if all is gone.

    Args:
        put_back: undoes what a stressor has set whose supervisor was killed; called while the board is still ours.
        hold_s: for how long its owner keeps the board; 0 gives the lease up.
        grace_s: from SIGTERM to SIGKILL.
    """
    job_dir = place.job(rep_id)
    if os.path.isdir(job_dir):
        _end_supervisor(job_dir, grace_s)
        if processes.kill_all(job_dir):
            raise AgentError("workdir", "processes of %s do not die" % rep_id)
    with place.locked():
        put_back()
        if os.path.isdir(job_dir):
            try:
                shutil.rmtree(job_dir)
            except OSError as error:  # which names a file without its folder
                raise AgentError("workdir", "%s cannot be removed: %s" % (job_dir, error)) from None
        lease.ended(place, rep_id, hold_s)


def _end_supervisor(job_dir: str, grace_s: float) -> None:
    record: Optional[Dict[str, Any]] = workdir.read_json(os.path.join(job_dir, "supervisor.json"))
    deadline = time.monotonic() + grace_s
    signals = [signal.SIGTERM, signal.SIGKILL]
    while is_supervised(job_dir):
        if record is None:
            record = workdir.read_json(os.path.join(job_dir, "supervisor.json"))
        late = time.monotonic() > deadline
        if record is not None and signals and (signals[0] == signal.SIGTERM or late):
            os.kill(int(record["pid"]), signals.pop(0))  # it holds the lock, so the id is its own
        elif late and not signals:
            raise AgentError("workdir", "the supervisor of %s does not die" % os.path.basename(job_dir))
        time.sleep(0.02)
