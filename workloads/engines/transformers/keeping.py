"""What follows a fine-tuning before its result is of use: adapters merged, files saved, loaded again by a new process.

As practitioners do it: ``save_pretrained`` and ``from_pretrained`` of Hugging Face's package. Boards that trained well
die as they load again, since weights may stand in memory twice for a while; so that is measured in a process of its own,
after this one has let go of its network. Adapters end in the weights in place. What is no part of the trunk (a head, skip
adapters, which merge into nothing) is saved beside it.
"""

import gc
import json
import os
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Sequence

from tunebench.workloads.engines.session import Told
from tunebench.workloads.marks.peak_memory import Watch

MERGE, SAVE, RELOAD = PHASES = ("merge", "save", "reload")
#: of what is no part of the trunk
BESIDE = "beside.safetensors"
#: what begins the line in which the new process answers
ANSWER = "tunebench: "
_TIMEOUT_S = 1800.0


def keep(session: Any, folder: str, told: Told) -> None:
    """Merge, save and load again what a session trained; the session is of no use afterwards.

    Args:
        session: of this engine.
        folder: for the files.
        told: what is told of each phase.
    """
    if not _merged_and_saved(session.model, folder, told):
        return
    session.model = session.optimizer = session.descent = None
    session.cache, session.trained, session.start, session.test_values = None, [], [], []
    gc.collect()
    told.begins(RELOAD)
    answer = reload(folder)
    if "reason" in answer:
        told.has_none(RELOAD, str(answer["reason"]))
    else:
        told.ended(RELOAD, float(answer["seconds"]), answer["peak_b"])


def _merged_and_saved(model: Any, folder: str, told: Told) -> bool:
    if not any(hasattr(module, "extractor") for module in model.modules()):
        no_adapters = "the method has no adapters beside layers"
        skipping = "skip adapters reach from a block to the scores, past every weight"
        told.has_none(
            MERGE, "there is nothing to merge: %s" % (no_adapters if model.mapper is None else skipping)
        )
    elif not _phase(MERGE, told, lambda: _merged(model)):
        return False
    return _phase(SAVE, told, lambda: _saved(model, folder))


def _phase(name: str, told: Told, work: Callable[[], None]) -> bool:
    """Do a phase and tell of it; return whether it ended well."""
    told.begins(name)
    watch = Watch()
    watch.begin()
    begun = time.monotonic()
    try:
        work()
    except Exception as error:  # noqa: BLE001  Hugging Face's code runs here; the result is there already
        told.has_none(name, why(error))
        return False
    seconds = time.monotonic() - begun
    watch.end()
    told.ended(name, seconds, watch.peak_b)
    return True


def _merged(model: Any) -> None:
    from tunebench.workloads.engines.transformers.classifier import merge

    merge(model)


def _saved(model: Any, folder: str) -> None:
    from safetensors.torch import save_file  # of Hugging Face's package, which needs it itself

    from tunebench.workloads.engines.transformers.quantized import unpack

    unpack(model.trunk)  # every loader reads float32; packed weights only the package that made them
    model.trunk.save_pretrained(folder)
    inside = {id(item) for item in model.trunk.parameters()}
    beside = {
        name: item.detach().contiguous() for name, item in model.named_parameters() if id(item) not in inside
    }
    if beside:
        save_file(beside, os.path.join(folder, BESIDE))


def reload(folder: str, python: Sequence[str] = (sys.executable,)) -> Dict[str, Any]:
    """Load a saved network in a new process and run one text; return ``seconds`` and ``peak_b``, or the ``reason``.

    Args:
        folder: what was saved.
        python: words that start an interpreter.
    """
    words = list(python) + ["-m", "tunebench.workloads.engines.transformers.reload", folder]
    try:
        child = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"reason": "the new process did not answer: %s" % error}
    if child.returncode == -9:
        return {"reason": "out of memory: the new process was killed by SIGKILL, as the kernel does then"}
    for line in reversed(child.stdout.decode("utf-8", "replace").split("\n")):
        if line.startswith(ANSWER):
            return dict(json.loads(line[len(ANSWER) :]))
    return {"reason": "the new process ended without an answer, with exit code %d" % child.returncode}


def why(error: BaseException) -> str:
    """Return an error as a reason; one of memory is called so."""
    first = str(error).strip().split("\n")[0][:300] or type(error).__name__
    memory = isinstance(error, MemoryError) or any(word in str(error).lower() for word in ("memory", "alloc"))
    return "out of memory: %s" % first if memory else first
