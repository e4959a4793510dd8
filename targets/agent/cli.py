"""The agent's commands, ``payload.zip COMMAND``: each is a line in ``_COMMANDS``.

Requests come on standard input, replies go to standard output, one protocol line each; see
:mod:`tunebench.targets.agent.protocol`. Nothing heavy is imported before it is needed: each command is a process.
"""

import json
import os
import select
import signal
import sys
from typing import Any, BinaryIO, Dict, List, Optional

from tunebench.targets.agent import protocol
from tunebench.targets.agent.environment import bytecode
from tunebench.targets.agent.workdir import AgentError, Workdir

#: A command whose host has fallen silent ends by itself after so many seconds.
SILENCE_S = 300
PROBE_S = 1800
#: of the payload: serves the part of a network before a cut
PARTITION = "tunebench.workloads.deploy.serve_parts"
#: A mode switch takes up to a minute, and so does its way back.
TUNE_S = 600


def main(argv: Optional[List[str]] = None) -> int:
    """Run one command; returns the exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    place = Workdir(os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0]))))
    command = args.pop(0) if args else ""
    if command not in _COMMANDS:
        sys.stderr.write("usage: payload.zip %s\n" % "|".join(sorted(_COMMANDS)))
        return 2
    try:
        _COMMANDS[command](place, _options(args))
    except AgentError as error:
        refusal: Dict[str, Any] = {"kind": error.kind, "message": str(error), "code": error.code}
        if error.holder is not None:
            refusal["holder"] = error.holder
        _reply({"error": refusal})
    except protocol.ProtocolError as error:
        _reply({"error": {"kind": "job", "message": str(error)}})
    except OSError as error:
        _reply({"error": {"kind": "workdir", "message": str(error)}})
    return 0


def _options(args: List[str]) -> Dict[str, str]:
    if len(args) % 2 or not all(name.startswith("--") for name in args[::2]):
        raise AgentError("job", "options come in pairs of --name and value, got %r" % (args,))
    return {name[2:]: value for name, value in zip(args[::2], args[1::2])}  # noqa: B905 - Python 3.6


def _rep_id(options: Dict[str, str]) -> str:
    return protocol.check_rep_id(options.get("rep"))


def _seconds(options: Dict[str, str], name: str, default: str) -> float:
    try:
        return float(options.get(name, default))
    except ValueError:
        raise AgentError("job", "--%s: expected seconds" % name) from None


def _reply(message: Dict[str, Any]) -> None:
    out: BinaryIO = sys.stdout.buffer
    out.write(protocol.encode_line(message).encode())
    out.flush()


def _request(wanted: str) -> Any:
    """Return the next request that holds ``wanted``; pings before it are answered."""
    while True:
        signal.alarm(SILENCE_S)
        line = sys.stdin.buffer.readline(protocol.MAX_LINE_B)
        now_ns = protocol.monotonic_ns()
        signal.alarm(0)
        if not line:
            raise AgentError("job", "standard input ended before %r" % wanted)
        text = line.decode("utf-8", "replace")
        message = protocol.decode_line(text)
        if message is None:
            message = protocol.parse_object(text, "request")
        if "ping" in message:
            _reply({"pong": message["ping"], "t_ns": now_ns})
        elif wanted in message:
            return message[wanted]
        else:
            raise AgentError("job", "expected a ping or %r, got %.80r" % (wanted, sorted(message)))


def _start(place: Workdir, _options: Dict[str, str]) -> None:
    from tunebench.targets.agent.job import lifecycle

    job = _request("job")
    signal.alarm(SILENCE_S)  # bounds the wait for another agent's lock too
    if isinstance(job, dict) and job.get("stressor") is not None:
        from tunebench.targets.agent.tuning.stressors import table

        table.check(job["stressor"])
        _reply(lifecycle.start(place, job, table.make))
    else:
        _reply(lifecycle.start(place, job))


def _wait(place: Workdir, options: Dict[str, str]) -> None:
    from tunebench.targets.agent.job import state

    timeout_s = _seconds(options, "timeout-s", "60")
    _reply({"state": state.wait(place.job(_rep_id(options)), timeout_s)})


def _harvest(place: Workdir, options: Dict[str, str]) -> None:
    from tunebench.targets.agent.job import job_files

    rep_id = _rep_id(options)
    _request("harvest")
    with job_files.packed(place.job(rep_id)) as (head, content):
        _reply(head)
        signal.alarm(SILENCE_S)
        job_files.copy(content, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _update(place: Workdir, options: Dict[str, str]) -> None:
    """Serve a job's updates over one channel: list, send, apply, as often as asked, until ``end``."""
    from tunebench.targets.agent.job import job_files
    from tunebench.targets.agent.transfer import update_server

    job_dir = place.job(_rep_id(options))
    while True:
        asked = _object("update")
        do, name = asked.get("do"), asked.get("name")
        if do == "end":
            return
        if do == "list":
            _reply({"updates": update_server.index(job_dir)})
        elif do == "send":
            with update_server.open_update(job_dir, name) as content:
                _reply({"size_b": os.fstat(content.fileno()).st_size})
                signal.alarm(SILENCE_S)
                job_files.copy(content, sys.stdout.buffer)
                sys.stdout.buffer.flush()
        elif do == "apply":
            raw = update_server.receive(
                sys.stdin.buffer, asked.get("size_b"), lambda: signal.alarm(SILENCE_S)
            )
            _reply(update_server.apply(job_dir, raw, asked.get("sha256"), asked.get("packed")))
        else:
            raise AgentError("job", "update: 'do' must be list, send, apply or end, got %.40r" % (do,))


def _partition(place: Workdir, options: Dict[str, str]) -> None:
    """Become the program that serves the first part of a job's network, which is cut."""
    from tunebench.targets.agent.job import workload_env

    job_dir = place.job(_rep_id(options))
    _request("partition")
    _reply({"partition": True})
    signal.alarm(SILENCE_S)  # it survives: the program sets it anew for each request
    workload_env.become(job_dir, PARTITION)


def _clean(place: Workdir, options: Dict[str, str]) -> None:
    from tunebench.targets.agent.job import lifecycle

    rep_id, hold_s = _rep_id(options), _seconds(options, "hold-s", "0")
    signal.alarm(SILENCE_S)
    if os.path.exists(os.path.join(place.root, "undo.json")):
        from tunebench.targets.agent.tuning.stressors import table

        signal.alarm(TUNE_S)
        lifecycle.clean(place, rep_id, hold_s, put_back=lambda: table.put_back(place, rep_id))
    else:
        lifecycle.clean(place, rep_id, hold_s)
    _reply({"cleaned": True})


def _pause(seconds: float) -> None:
    """Wait, and stop waiting for a host that has gone: a lease must not be taken for nobody."""
    if select.select([sys.stdin], [], [], seconds)[0]:
        raise AgentError("lease", "the host has gone")


def _lease(place: Workdir, options: Dict[str, str]) -> None:
    """Take or release the lease: ``{"lease": {"do", "owner", "hold_s", "force", "dead"}}`` -> ``{"lease": {...}}``."""
    from tunebench.targets.agent import lease
    from tunebench.targets.agent.job import lifecycle

    asked = _request("lease")
    owner = asked.get("owner") if isinstance(asked, dict) else None
    if not isinstance(owner, dict) or not isinstance(owner.get("token"), str):
        raise AgentError("job", "lease: expected an 'owner' with a 'token'")
    dead = asked.get("dead")
    if dead is not None and not isinstance(dead, dict):
        raise AgentError("job", "lease: 'dead' must be the owner whose process is dead")
    wait_s = _seconds(options, "wait-s", "0")
    signal.alarm(SILENCE_S + int(wait_s))
    if asked.get("do") == "take":
        hold_s = asked.get("hold_s")
        if not isinstance(hold_s, (int, float)) or hold_s <= 0:
            raise AgentError("job", "lease: 'hold_s' must be a positive number of seconds")
        lease_record: Optional[Dict[str, Any]] = lifecycle.occupy(
            place, owner, float(hold_s), wait_s, _pause, dead=dead
        )
    elif asked.get("do") == "release":
        with place.locked():
            lease_record = lease.release(place, owner, asked.get("force") is True, dead)
    else:
        raise AgentError("job", "lease: 'do' must be 'take' or 'release', got %.40r" % (asked.get("do"),))
    _reply({"lease": lease_record})


def _probe(place: Workdir, _options: Dict[str, str]) -> None:
    compiled = bytecode.path_of(sys.argv[0])
    if bytecode.keep(sys.argv[0], compiled):
        bytecode.use(compiled)
    from tunebench.targets.agent.environment import probe

    signal.alarm(SILENCE_S)
    line = sys.stdin.buffer.readline(protocol.MAX_LINE_B).decode("utf-8", "replace")
    request = protocol.decode_line(line) or protocol.parse_object(line, "request")
    signal.alarm(PROBE_S)
    answer = probe.probe(place, request, str(request.get("root", "/")))
    _reply(json.loads(json.dumps(answer, allow_nan=False)))


def _tune(place: Workdir, _options: Dict[str, str]) -> None:
    from tunebench.targets.agent.tuning import apply

    request = _object("tune")
    signal.alarm(TUNE_S)
    _reply(apply.tune(place, request))


def _untune(place: Workdir, _options: Dict[str, str]) -> None:
    from tunebench.targets.agent.tuning import apply

    request = _object("untune")
    signal.alarm(TUNE_S)
    _reply(apply.untune(place, request))


def _stressors(place: Workdir, _options: Dict[str, str]) -> None:
    """Tell which stressors this board cannot have: ``{"stressors": {"root", "stressors"}}`` -> ``{"absent": {...}}``."""
    from tunebench.targets.agent.tuning.stressors import table

    request = _object("stressors")
    signal.alarm(TUNE_S)
    _reply(table.absent(place, request))


def _examine(place: Workdir, _options: Dict[str, str]) -> None:
    from tunebench.targets.agent.doctor import permissions

    request = _object("examine")
    signal.alarm(SILENCE_S)
    _reply(permissions.examine(place, request))


def _trials(_place: Workdir, _options: Dict[str, str]) -> None:
    """Try what may die at its first use, in children.

    ``{"trials": {"interpreter": [argv], "names": [of trials], "place": "cpu"}}``; without names all, without a place
    where they find one.
    """
    from tunebench.targets.agent.doctor import trials

    request = _object("trials")
    argv, names, place = request.get("interpreter"), request.get("names"), request.get("place")
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        raise AgentError("job", "trials: 'interpreter' must be a command")
    if place not in (None, "cpu", "cuda") or not (names is None or isinstance(names, list)):
        raise AgentError("job", "trials: 'names' must be a list, 'place' cpu or cuda")
    signal.alarm(PROBE_S)
    _reply(trials.run(argv, trials.TRIALS if names is None else trials.chosen(names), place=place))


def _bundle(place: Workdir, _options: Dict[str, str]) -> None:
    from tunebench.targets.agent.doctor import bundle
    from tunebench.targets.agent.job import job_files

    request = _object("bundle")
    signal.alarm(SILENCE_S)
    head, content = bundle.packed(str(request.get("root", "/")))
    _reply(head)
    job_files.copy(content, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _object(name: str) -> Dict[str, Any]:
    request = _request(name)
    if not isinstance(request, dict):
        raise AgentError("job", "%s: expected an object" % name)
    return request


def _environment(place: Workdir, _options: Dict[str, str]) -> None:
    """Give facts for, join parts of, or build a virtual environment for workloads."""
    from tunebench.targets.agent.environment import venv_build, venvs

    request = _object("environment")
    action = request.get("action")
    signal.alarm(SILENCE_S)
    if action == "facts":
        _reply({"facts": venvs.facts(place, request, str(request.get("root", "/")))})
    elif action == "join":
        _reply({"joined": venvs.join(place, request)})
    elif action == "build":
        here = venvs.Place(place.root, request.get("name"))
        venv_build.start(here, request["recipe"])
        signal.alarm(0)  # a build may last for hours; its heartbeat finds a broken link
        _reply({"built": venvs.follow(here, lambda event: _reply({"progress": event}))})
    else:
        raise AgentError("job", "environment: unknown action %.80r" % (action,))


_COMMANDS = {
    "probe": _probe,
    "start": _start,
    "wait": _wait,
    "harvest": _harvest,
    "update": _update,
    "partition": _partition,
    "clean": _clean,
    "lease": _lease,
    "tune": _tune,
    "untune": _untune,
    "stressors": _stressors,
    "examine": _examine,
    "trials": _trials,
    "bundle": _bundle,
    "environment": _environment,
}
