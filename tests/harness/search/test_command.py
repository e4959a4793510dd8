"""``tunebench search``: what is refused before a board is touched, in one sentence each."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from tests.harness.search.conftest import METHODS
from tunebench.harness.cli import search
from tunebench.harness.errors import UsageError


@pytest.fixture
def refused(lab, tmp_path):
    """Function (board ids, words) -> the one sentence of what was refused."""

    def ask(boards, *words, suite=METHODS):
        (tmp_path / "mine.toml").write_text(suite)
        inventory = lab(*boards)
        asked = [
            "-s",
            str(tmp_path / "mine.toml"),
            "-i",
            str(inventory),
            "--keep",
            str(tmp_path / "kept"),
            *words,
        ]
        result = CliRunner().invoke(search.app, asked)
        assert isinstance(result.exception, UsageError), result.output
        assert not (tmp_path / "kept").exists()
        return str(result.exception)

    return ask


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "watts=5"], "--budget: unknown quantity 'watts'; allowed: ms"),
        (["--budget", "ms=5,ms=6"], "--budget: 'ms=6': time is bounded twice"),
        (["--budget", "ms=5", "--aim", "watts"], "--aim: unknown quantity 'watts'; allowed: ms"),
    ],
)
def test_a_wrong_budget_or_aim_is_named(refused, words, said):
    assert refused(["here"], *words).startswith(said)


def test_several_boards_are_refused_by_their_names(refused):
    assert (
        refused(["a", "b"], "--budget", "ms=5")
        == "a search is for one board: name it with --boards; there are: a, b"
    )


def test_an_unknown_dimension_is_refused(refused):
    text = refused(["here"], "--budget", "ms=5", suite=METHODS.replace("rank =", "depth ="))

    assert "[search]: unknown dimension 'depth'; allowed: chain, method, ratio, keep, rank, epochs" in text


def test_a_missing_optuna_is_told_before_anything_is_made(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)

    assert refused(["here"], "--budget", "ms=5") == "a search needs optuna: pip install 'tunebench[search]'"
