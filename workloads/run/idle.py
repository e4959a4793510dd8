"""An idle board as a repetition: ``TUNEBENCH_JOB=<job folder> python -m tunebench.workloads.run.idle``.

Waits until what was started has settled, marks a window in which this process sleeps, and ends. The board's
sensors (or an external meter) say what it drew: the baseline that is taken off to get net energy. Standard
library only, so that nothing is loaded that a board at rest would not have.
"""

import os
import sys
import time
from typing import Any, Dict

from tunebench.workloads import marks

#: Sensors need a sample on both sides of the window.
_TAIL_S = 1.0


def main() -> int:
    """Run the job named by TUNEBENCH_JOB; return the exit code."""
    folder = marks.job_folder()
    if folder is None:
        print("error: %s is not set: this runs inside a job" % marks.JOB_VARIABLE, file=sys.stderr)
        return 2
    settings = marks.load_job().get("workload", {}).get("idle")
    if not _is_valid(settings):
        print(
            "error: workload.idle is %r, expected {settle_s, idle_s} in seconds" % (settings,),
            file=sys.stderr,
        )
        return 2
    rest(folder, float(settings["settle_s"]), float(settings["idle_s"]))
    return 0


def _is_valid(settings: Any) -> bool:
    keys = ("settle_s", "idle_s")
    return isinstance(settings, dict) and all(type(settings.get(key)) in (int, float) for key in keys)


def rest(folder: str, settle_s: float, idle_s: float) -> Dict[str, Any]:
    """Sleep inside a marked window; write marks and result, and return the result."""
    recorder = marks.Recorder(16)
    recorder.mark("settle")
    time.sleep(settle_s)
    recorder.window_start("idle")
    time.sleep(idle_s)
    recorder.window_end("tail")
    time.sleep(_TAIL_S)
    recorder.mark("end")
    result = dict(marks.empty_result(), metric="none", engine_version=marks.engine_version())
    result["peak_rss_b"] = marks.peak_rss_b()
    out = os.path.join(folder, "out")
    os.makedirs(out, exist_ok=True)
    marks.write_json(os.path.join(out, "marks.json"), recorder.document())
    marks.write_json(os.path.join(out, "result.json"), result)
    return result


if __name__ == "__main__":
    sys.exit(main())
