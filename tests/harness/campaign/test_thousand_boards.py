"""A thousand boards in the planner and the store: time and memory grow with the repetitions, not with their square."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

MEASURED = """
import sys, tempfile, time
from pathlib import Path
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.planning.plan import make_plan
from tunebench.harness.config.suite import load_suite
from tunebench.reports.records import Provenance, Repetition
from tunebench.reports.results import RunReader, RunWriter

def peak_mib():  # ru_maxrss would be the parent's, if that was larger when it forked
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

n = int(sys.argv[1])
boards = [BoardEntry(id=f"b{i:04d}", kind="linux", host="h") for i in range(n)]
begun = time.process_time()
plan = make_plan(load_suite("quick"), boards, run_id="r", lab="lab")
content = plan.as_dict()
planned_s = time.process_time() - begun

begun = time.process_time()
with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as out:
    with RunWriter.create(Path(out), "lab", "r", content) as writer:
        begun_mib = peak_mib()  # with the plan, and its file as text
        for planned in plan.repetitions:
            writer.append(Repetition(
                rep_id=planned.rep_id, run_id="r", block=planned.block, slot=planned.slot, role=planned.role, lab="lab",
                board_id=planned.board_id, board_kind="linux", task=planned.workload.task, dataset="d", model="m",
                method=planned.workload.method, label=planned.workload.label, engine="torch", device="cpu", threads=1,
                dtype="float32", seed=planned.seed, series_key="k", outcome="ok", verdict="valid",
                prov=Provenance(tunebench="0", workload_sha256="0" * 64)))
    stored_s, stored_mib = time.process_time() - begun, peak_mib()
    begun = time.process_time()
    count = len(RunReader(writer.path).repetitions)
    read_s = time.process_time() - begun
assert count == len(plan.repetitions)
print(count, planned_s, stored_s, read_s, begun_mib, stored_mib, peak_mib())
"""


def measured(boards):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(boards)], capture_output=True, text=True, check=True, timeout=300
    )
    return [float(number) for number in done.stdout.split()]


def test_plan_store_and_reader_take_a_thousand_boards_at_the_price_of_a_hundred_for_each():
    few, many = measured(100), measured(1000)
    for name, row in (("100 boards", few), ("1,000 boards", many)):
        count, planned_s, stored_s, read_s, begun_mib, stored_mib, read_mib = row
        print(
            f"{name}: {count:.0f} repetitions, planned in {planned_s:.2f} s, stored in {stored_s:.2f} s, "
            f"read in {read_s:.2f} s of CPU time; peak memory {begun_mib:.0f} MiB planned, "
            f"{stored_mib:.0f} MiB stored, {read_mib:.0f} MiB read"
        )
    assert many[0] == 10 * few[0]
    for before, after in zip(few[1:4], many[1:4], strict=True):
        assert after < 30 * max(before, 0.02)
    # The writer keeps a few facts of each record, not the record.
    assert many[5] - many[4] < 30
    assert many[6] < 1200
