"""What a kind of board means comes from its registration alone: a new one is understood everywhere."""

from __future__ import annotations

import pytest

from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.lab.setup import default_flavour
from tunebench.harness.planning.limits import is_quiet
from tunebench.harness.record.validity.checks import CHECKS
from tunebench.harness.record.validity.evidence import Evidence
from tunebench.targets import boards
from tunebench.targets.boards.kind import BoardKind


@pytest.fixture
def new_kind(monkeypatch):
    """Register a kind for one test, as a line in ``FAMILIES`` does permanently."""

    def add(**meaning) -> str:
        monkeypatch.setattr(boards, "KINDS", {**boards.KINDS, "toy": BoardKind("toy", **meaning)})
        return "toy"

    return add


def seen(kind: str, **more) -> Evidence:
    return Evidence(board_kind=kind, emulated=False, outcome="ok", outcome_reason=None, window_s=1.0, **more)


def objections(code: str, evidence: Evidence) -> int:
    (check,) = [check for check in CHECKS if check.code == code]
    return len(check.judge(evidence))


def test_the_models_of_a_family_are_of_its_kind():
    assert list(boards.KINDS) == ["raspberry-pi", "jetson", "linux", "loopback"]
    assert all(board.kind == family.KIND.name for family in boards.FAMILIES for board in family.BOARDS)


def test_a_board_that_is_the_host_is_never_quiet_and_says_so_in_its_verdict(new_kind):
    kind = new_kind(host_itself=True)
    assert not is_quiet(kind, "/")
    assert is_quiet(kind, "/simulated")
    assert objections("shared-machine", seen(kind)) == 1
    assert objections("shared-machine", seen("linux")) == 0


def test_setup_installs_the_torch_of_the_kind(new_kind):
    new_kind(torch="jetson")
    entry = BoardEntry(id="a", kind="linux", host="a")
    assert default_flavour(entry.model_copy(update={"kind": "toy"})) == "jetson"
    assert default_flavour(entry) == "cpu"


def test_a_kind_of_another_release_in_old_results_is_a_board_like_any_other():
    assert boards.kind_of("gone") == BoardKind("gone")
    assert is_quiet("gone", "/")
