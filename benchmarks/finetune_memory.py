"""Peak memory of a fine-tuning, interpreter included: ``python -m benchmarks.finetune_memory ENGINE``.

Reads one JSON line a case (``source``: name, data, weights; ``method``; ``library``) and answers each with one
line, the peak in bytes. Every case runs in a child of its own, forked before anything but the engine is loaded:
Linux counts a child's peak from its own start.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from benchmarks.finetune_cases import Cases, Source
from tunebench.workloads import marks
from tunebench.workloads.engines.session import no_mark

#: a cached method has reached its peak after its second epoch
EPOCHS = 2


def session(engine: str, task: Any, library: str | None) -> Any:
    """An engine's session on a task."""
    if engine == "native":
        from tunebench.workloads.engines.native import Library, Session

        return Session(task, library=Library(str(library)))
    if engine == "peft":
        from benchmarks.finetune_peft import PeftSession

        return PeftSession(task)
    from tunebench.workloads.engines.pytorch import chain

    return chain.Session(task)


def preload(engine: str) -> None:
    """Import what the children share."""
    modules = {"native": "tunebench.workloads.engines.native", "peft": "benchmarks.finetune_peft"}
    importlib.import_module(modules.get(engine, "tunebench.workloads.engines.pytorch.chain"))


def measure(engine: str, case: dict[str, Any]) -> int:
    """Peak bytes of this process after a short fine-tuning with everything of the whole one in place."""
    task = Cases(Source(**case["source"])).task(case["method"], optimizer=case["optimizer"])
    made = session(engine, task, case["library"])
    for epoch in range(min(EPOCHS, task.spec.epochs)):
        made.train_epoch(epoch, no_mark)
    return marks.peak_rss_b() or 0


def main() -> int:
    """Answer cases until standard input ends."""
    engine = sys.argv[1]
    preload(engine)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                print(measure(engine, json.loads(line)), flush=True)
                code = 0
            finally:
                os._exit(code)
        if os.waitpid(child, 0)[1] != 0:
            print(0, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
