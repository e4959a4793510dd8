"""The kernel's line on a process that it killed."""

from __future__ import annotations

import json

import pytest

from tunebench.targets.agent.linux import kernel_log, programs

NEW = (
    "Out of memory: Killed process 4321 (python3) total-vm:1893904kB, anon-rss:757512kB, file-rss:0kB, "
    "shmem-rss:0kB, UID:1000 pgtables:2112kB oom_score_adj:500"
)
GROUP = NEW.replace("Out of memory", "Memory cgroup out of memory")
OLD = "Kill process 4321 (python3) score 812 or sacrifice child"


def log(tmp_path, *messages):
    path = tmp_path / "kmsg"
    lines = [f"6,{number},{number * 1000},-;{text}\n" for number, text in enumerate(messages)]
    path.write_text("".join(lines) + " SUBSYSTEM=acpi\n")
    return str(path)


@pytest.mark.parametrize("message", [NEW, GROUP, OLD])
def test_the_line_is_found_in_the_words_of_every_kernel(tmp_path, message):
    path = log(tmp_path, "usb 1-1: new device", message, "eth0: link up")
    assert kernel_log.oom_line(4321, path) == (message, None)


def test_the_last_line_on_that_process_counts_and_no_other(tmp_path):
    path = log(tmp_path, NEW, OLD, NEW.replace("4321", "43210"))
    assert kernel_log.oom_line(4321, path) == (OLD, None)


def test_a_line_from_long_before_the_process_is_another_ones(tmp_path):
    path = tmp_path / "kmsg"
    path.write_text(f"6,1,{5_000_000},-;{NEW}\n6,2,{400_000_000},-;eth0: link up\n")
    assert kernel_log.oom_line(4321, str(path), since_ns=30_000_000_000) == (NEW, None)  # within a minute
    assert kernel_log.oom_line(4321, str(path), since_ns=300_000_000_000)[0] is None


def test_a_log_without_a_line_says_so(tmp_path):
    path = log(tmp_path, "usb 1-1: new device")
    assert kernel_log.oom_line(4321, path) == (None, f"{path} has no line on process 4321")


def test_a_log_that_cannot_be_read_is_a_reason_and_no_error(tmp_path):
    line, reason = kernel_log.oom_line(1, str(tmp_path / "none"), str(tmp_path))
    assert line is None and "cannot be read: No such file" in reason
    assert reason.endswith("journal: no program journalctl on this board")


@pytest.mark.parametrize(
    ("pid", "expected"),
    [(4321, (GROUP, None)), (1, (None, "journal: it has no line on process 1"))],
)
def test_where_the_log_is_for_root_only_the_journal_is_asked(tmp_path, pid, expected):
    commands = tmp_path / ".commands"
    commands.mkdir()
    said = {"argv": list(kernel_log.JOURNAL), "rc": 0, "out": f"usb 1-1: new device\n{NEW}\n{GROUP}\n"}
    (commands / programs.recording_name(kernel_log.JOURNAL)).write_text(json.dumps(said))
    line, reason = kernel_log.oom_line(pid, str(tmp_path / "none"), str(tmp_path))
    assert line == expected[0] and str(reason).endswith(str(expected[1]))


def test_this_machines_log_gives_no_line_on_an_unknown_process_and_says_why():
    line, reason = kernel_log.oom_line(2**22 + 1)
    assert line is None and reason
