"""Every command that an error, a hint or a page tells can be pasted: the command line takes it as it stands."""

from __future__ import annotations

import re

import pytest

from tests.docs.commands import hints, loose_options, of_docs, reads

HINTS, DOCS = list(hints()), list(of_docs())


@pytest.fixture(autouse=True)
def a_lab(tmp_path, monkeypatch):
    """A folder with an inventory, as a user of these commands has it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab.toml").write_text('[[board]]\nid = "here"\nkind = "loopback"\n')


@pytest.mark.parametrize("hint", HINTS, ids=str)
def test_a_hint_is_a_whole_command(hint):
    assert reads(hint.line) is None


def test_hints_are_collected_wherever_they_are_told():
    rooms = {hint.where.partition("/")[0] for hint in HINTS}
    assert {"harness", "reports", "targets", "workloads"} <= rooms
    assert len(HINTS) > 20


def test_no_text_tells_an_option_without_its_command():
    """What sounds like advice names a whole command, not a word to be put somewhere."""
    assert [str(option) for option in loose_options()] == []


#: What a page shows of a command's form: something is to be put there by the reader.
_FORM = re.compile(r"(?<!=)\b[A-Z]{3,}\b|[|\[<]")


@pytest.mark.parametrize("command", [each for each in DOCS if not _FORM.search(each.line)], ids=str)
def test_a_command_of_the_documentation_can_be_typed(command):
    assert reads(command.line) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("tunebench --debug ...", "ellipsis"),
        ("tunebench frobnicate", "no command"),
        ("tunebench report", "RUN"),
        ("tunebench run --suit quick", "--suit"),
        ("tunebench meter", "lacks a command"),
        ("tunebench accept x", "reason"),
    ],
)
def test_what_is_not_whole_is_found_out(line, why):
    assert why.lower() in reads(line).lower()


@pytest.mark.parametrize(
    "line", ["tunebench run -s smoke", "sudo x -m tunebench emulate raspi3b build", "tunebench --debug plan"]
)
def test_what_is_whole_is_taken(line):
    assert reads(line) is None
