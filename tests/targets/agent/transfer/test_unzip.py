"""A user's own files unpacked on a board: with their folders and rights, and nowhere else."""

from __future__ import annotations

import os
import zipfile

import pytest

from tunebench.targets.agent.transfer import unzip
from tunebench.targets.agent.workdir import AgentError


def archive(tmp_path, *members) -> str:
    path = tmp_path / "own.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, b"x")
    return str(path)


def test_own_files_keep_their_folders_and_the_right_to_run(tmp_path):
    source = archive(tmp_path, ("train.py", 0o100644), ("sub/run.sh", 0o100755))
    folder = tmp_path / "src"
    folder.mkdir()
    unzip.extract(source, str(folder))
    assert os.access(folder / "sub/run.sh", os.X_OK)
    assert not (folder / "train.py").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("name", "mode"), [("/abs", 0o100644), ("../up", 0o100644), ("a/../../up", 0o100644), ("link", 0o120777)]
)
def test_own_files_that_lead_out_are_refused(tmp_path, name, mode):
    folder = tmp_path / "src"
    folder.mkdir()
    with pytest.raises(AgentError, match="plain relative"):
        unzip.extract(archive(tmp_path, (name, mode)), str(folder))
    assert list(folder.iterdir()) == []


def test_what_is_no_zip_is_refused(tmp_path):
    (tmp_path / "own.zip").write_bytes(b"no zip")
    with pytest.raises(AgentError) as refusal:
        unzip.extract(str(tmp_path / "own.zip"), str(tmp_path))
    assert refusal.value.kind == "blob"
