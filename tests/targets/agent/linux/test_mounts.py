"""File systems from which nothing can be run; real ones of this machine."""

from __future__ import annotations

import os

from tunebench.targets.agent.linux import mounts


def test_a_folder_from_which_programs_run_has_no_mount(tmp_path):
    assert mounts.noexec(str(tmp_path)) is None
    assert mounts.noexec("/no/such/folder") is None


def test_the_mount_point_of_a_noexec_folder_is_told(noexec_folder):
    inner = noexec_folder / "a" / "b"
    inner.mkdir(parents=True)
    assert mounts.noexec(str(inner)) == os.path.realpath(noexec_folder)


def test_a_program_that_cannot_be_started_is_told_why(tmp_path):
    program = tmp_path / "train"
    program.write_text("#!/bin/sh\n")
    assert "chmod +x" in mounts.why_not_startable("./train", str(tmp_path))
    program.chmod(0o755)
    assert mounts.why_not_startable("./train", str(tmp_path)) is None
    assert mounts.why_not_startable("train", str(tmp_path)) is None  # searched on PATH
    assert mounts.why_not_startable("./nothing", str(tmp_path)) is None


def test_a_program_on_a_noexec_mount_is_told_with_the_mount(noexec_folder):
    program = noexec_folder / "train"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert f"{noexec_folder} is mounted noexec" in mounts.why_not_startable(str(program), "/")
