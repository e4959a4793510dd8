"""``docs/boards``: a page for every model of the table, saying what the table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tunebench.targets.boards import BOARDS
from tunebench.targets.boards.wheels import Facts, choose, crashes

PAGES = Path(__file__).parents[2] / "docs" / "boards"
VERIFIED = re.compile(r"^\*\*Verified on hardware: (never|\d{4}-\d{2}-\d{2})\.\*\*", re.MULTILINE)


def page(board) -> str:
    return (PAGES / f"{board.page}.md").read_text()


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.page)
def test_every_board_has_a_page_that_says_when_it_was_verified(board):
    text = page(board)
    assert text.startswith(f"# {board.name}\n")
    (when,) = VERIFIED.findall(text)
    assert when == "never"
    for part in ("Prepare", "What is measured", "What needs a meter", "Throttling", "Traps"):
        assert re.search(rf"^## {part}", text, re.MULTILINE), part


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.page)
def test_a_page_names_the_torch_of_the_table(board):
    text = page(board)
    for system in board.systems:
        facts = Facts(system.python, "aarch64", system.bits, system.glibc, board.lse, system.jetpack)
        choice = choose("jetson" if system.jetpack else "cpu", facts)
        if choice.wheels:
            assert f"torch {choice.wheels[0].torch}" in text, system.name
    releases = set(re.findall(r"setup` takes torch (\S+)", text))
    assert releases <= {"2.9.1"}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.page)
def test_a_page_gives_the_power_and_the_scope_of_the_table(board):
    text = page(board)
    scopes = set(re.findall(r"scope `(board_input|module|rails_sum)`", text)) | set(
        re.findall(r"`(rails_sum)`", text)
    )
    assert scopes == ({board.power.scope} if board.power else set())
    if board.power and len(board.power.rails) < 7:
        for rail in board.power.rails:
            assert rail in text
    if board.lse is False:
        for crash in crashes():
            assert crash.torch in text or board.kind == "jetson"
        assert "LSE" in text


def test_the_index_names_every_page_and_every_page_is_of_a_board():
    index = (PAGES / "README.md").read_text()
    for board in BOARDS:
        assert f"[{board.name}]({board.page}.md)" in index
    others = {"README", "emulated-raspi3b"}
    assert {path.stem for path in PAGES.glob("*.md")} - others == {board.page for board in BOARDS}
