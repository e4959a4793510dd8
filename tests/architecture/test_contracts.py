"""Rooms that may not import one another still agree on what travels between them."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from io import BytesIO

from tunebench.harness.artifacts.gather import build_payload, travelling_workloads
from tunebench.harness.record.harvest import WorkloadResult
from tunebench.targets.agent import protocol
from tunebench.workloads import marks


def test_workload_and_agent_name_the_same_schemas():
    assert marks.MARKS_SCHEMA == protocol.MARKS_SCHEMA
    assert marks.RESULT_SCHEMA == protocol.RESULT_SCHEMA


def test_marks_written_by_a_workload_are_read_by_the_host():
    recorder = marks.Recorder()
    recorder.mark("load")
    recorder.window_start()
    recorder.mark("forward")
    recorder.window_end()
    recorder.mark("end")
    read = protocol.read_marks(json.dumps(recorder.document()))
    assert [phase for _, phase in read.events] == ["load", "finetune", "forward", "evaluate", "end"]
    assert read.window_ns[0] == read.events[1][0]
    assert abs(sum(read.window_phases_s().values()) - (read.window_ns[1] - read.window_ns[0]) / 1e9) < 1e-9


def test_an_empty_result_of_a_workload_is_a_valid_result_for_the_host():
    assert WorkloadResult.model_validate(marks.empty_result()).outcome == "ok"


def test_the_payload_is_the_same_bytes_every_time_and_holds_no_host_only_file():
    first, second = build_payload(), build_payload()
    assert first.sha256 == second.sha256
    names = zipfile.ZipFile(BytesIO(first.read())).namelist()
    assert "tunebench/targets/agent/cli.py" in names
    assert "tunebench/workloads/run/job.py" in names
    host_only = [name for name in names if "datasets" in name or "shipped" in name or "prepare" in name]
    assert host_only == []
    assert not any(
        name.startswith(("tunebench/harness", "tunebench/reports"))
        or name == "tunebench/targets/transport/ssh.py"
        for name in names
    )


def test_the_agent_imports_with_the_standard_library_alone(tmp_path):
    path = tmp_path / "payload.zip"
    path.write_bytes(build_payload().read())
    modules = sorted(
        name.removesuffix(".py").replace("/", ".")
        for name in zipfile.ZipFile(path).namelist()
        if name.startswith("tunebench/targets/agent/") and not name.endswith(("__init__.py", "receive.py"))
    )
    script = f"import sys; sys.path.insert(0, {str(path)!r}); [__import__(m) for m in {modules!r}]"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_everything_that_travels_is_python_or_c_source():
    assert all(name.endswith((".py", ".c", ".h")) for name in travelling_workloads())


def test_workloads_and_agent_agree_on_updates():
    from tunebench.targets.agent.transfer import safetensors as read
    from tunebench.targets.agent.transfer import update_check
    from tunebench.targets.agent.transfer import update_server as shipped
    from tunebench.workloads import updates as made
    from tunebench.workloads.updates import safetensors as written

    assert (update_check.SCHEMA, update_check.SEAL, update_check.DTYPES) == (
        made.SCHEMA,
        made.SEAL,
        made.DTYPES,
    )
    assert (update_check.FORMS, update_check.STATISTICS) == (made.FORMS, made.STATISTICS)
    assert shipped.FOLDER == made.FOLDER
    assert (read.ITEM_B, read.METADATA) == (written.ITEM_B, written.METADATA)


def test_the_report_knows_every_method_of_the_table_and_what_it_does():
    from tunebench.reports.figures.methods.known import KNOWN
    from tunebench.workloads.methods.table import METHODS

    fields = (
        "weights",
        "biases",
        "adapters",
        "cache",
        "batchnorm",
        "objective",
        "gradient",
        "frozen_extractors",
    )
    assert {name: [getattr(method, field) for field in fields] for name, method in KNOWN.items()} == {
        row.name: [getattr(row, field) for field in fields] for row in METHODS
    }


def test_the_report_knows_the_keys_of_training_and_their_defaults():
    from tunebench.reports.formatting.training_words import DEFAULTS
    from tunebench.workloads.tasks.training import PLAIN

    assert PLAIN._asdict() == DEFAULTS


def test_the_report_reads_the_memory_that_workloads_tell_of_an_idle_interpreter():
    from tunebench.reports.analysis.cells import IDLE_RSS
    from tunebench.workloads.run.job import IDLE_RSS as WRITTEN

    assert IDLE_RSS == WRITTEN
