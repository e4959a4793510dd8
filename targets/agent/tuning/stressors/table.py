"""The kinds of stressors by name; the agent's commands that apply one, ask for them, and put back what one has left."""

import os
from importlib import import_module
from typing import Any, Dict, List, Optional

from tunebench.targets.agent.job.stress import Stressor
from tunebench.targets.agent.tuning import apply
from tunebench.targets.agent.tuning.stressors.kind import Kind, Place
from tunebench.targets.agent.workdir import AgentError, Workdir

#: kind -> the module of this package that holds it as ``KIND``.
KINDS = {
    "background-load": "background_load",
    "low-memory": "low_memory",
    "capped-clock": "capped_clock",
    "power-mode": "power_mode",
    "pinned-clock": "pinned_clock",
}
#: Whose change it is while a stressor is tried, in the place of a repetition's id.
_TRIAL = "trial"


def find_kind(name: str) -> Kind:
    """Return a kind by its name; raise KeyError if there is none."""
    kind: Kind = import_module("%s.%s" % (__package__, KINDS[name])).KIND
    return kind


def make(job: Dict[str, Any], job_dir: str) -> Optional[Stressor]:
    """Return the stressor that a job asks for; ``None`` if it asks for none."""
    asked = job.get("stressor")
    if asked is None:
        return None
    kind = _kind_of(asked)
    place = Place(
        root=str(job.get("root", "/")),
        workdir=Workdir(os.path.dirname(os.path.dirname(job_dir))),
        most_b=asked.get("most_b"),
        job_dir=job_dir,
        payload=job["paths"]["payload"],
        owner=dict(job["owner"], rep_id=job["rep_id"]),
    )
    return kind.make(asked["params"], place)


def absent(place: Workdir, request: Dict[str, Any]) -> Dict[str, Any]:
    """Return which of the stressors that are asked for cannot be had on this board, and why; nothing stays changed.

    Args:
        place: the working directory.
        request: ``{"root", "owner", "stressors": [{"id", "kind", "params", "most_b"}]}``.

    Returns:
        ``{"absent": {id: reason}}``.

    Raises:
        AgentError: the request is not of the agreed form.
    """
    asked = request.get("stressors")
    if not isinstance(asked, list) or not all(isinstance(entry, dict) for entry in asked):
        raise AgentError("job", "stressors: expected a list of objects")
    owner = request.get("owner")
    trial = dict(owner if isinstance(owner, dict) else {}, rep_id=_TRIAL)
    reasons = {}
    for entry in asked:
        where = Place(str(request.get("root", "/")), place, entry.get("most_b"), owner=trial)
        reason = _kind_of(entry).absent(entry["params"], where)
        if reason is not None:
            reasons[str(entry.get("id"))] = reason
    return {"absent": reasons}


def check(asked: Any) -> None:
    """Raise AgentError if a job's stressor is not of the agreed form."""
    _kind_of(asked if isinstance(asked, dict) else {})


def _kind_of(asked: Dict[str, Any]) -> Kind:
    if asked.get("kind") not in KINDS or not isinstance(asked.get("params"), dict):
        raise AgentError("job", "stressor: expected a 'kind' of %s, and 'params'" % ", ".join(KINDS))
    return find_kind(asked["kind"])


def put_back(place: Workdir, rep_id: str) -> List[str]:
    """Put back what the stressor of a repetition has set and, killed, could not; return what could not be put back.

    Call it with the working directory's lock, when no supervisor of the repetition lives.
    """
    return apply.undo_of(place, rep_id)
