"""Plain text and Markdown that fit their reader: never wider than 150 characters, readable at 80, nothing lost."""

import re

import pytest

from tunebench.reports.formatting import markdown
from tunebench.reports.formatting.table import grid, paragraph, terminal_width, text_width, within_width
from tunebench.reports.formatting.units import joules, seconds

HEADINGS = ("board", "task", "method", "time", "energy", "accuracy", "why")
ROWS = [
    [
        "pi5-01",
        "digits/mlp",
        f"method-{i}",
        "1.23 s [1.20, 1.30]",
        f"{i} J module",
        "90.1% ±0.2",
        "because " * i,
    ]
    for i in range(6)
]


@pytest.mark.parametrize("width", [60, 80, 110, 150])
def test_a_table_is_never_wider_than_asked_and_loses_no_word(width):
    with text_width(width):
        text = grid(HEADINGS, ROWS, keys=3)
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    for row in ROWS:
        assert set(row[2].split()) <= set(words)
    for heading in HEADINGS:
        assert heading in words
    assert words.count("because") == sum(range(6))


def test_what_is_the_same_in_every_row_is_said_once_above():
    with text_width(80):
        text = grid(HEADINGS, ROWS, keys=3)
    first, *rest = text.split("\n")
    assert first.startswith("In every row: board pi5-01, task digits/mlp, time 1.23 s [1.20, 1.30],")
    assert "pi5-01" not in "".join(rest)


def test_each_piece_of_a_wide_table_begins_with_what_its_rows_are_about():
    rows = [[f"method-{i}", *(f"{i}-{column}" + "x" * 30 for column in "abcd")] for i in range(3)]
    with text_width(80):
        pieces = grid(("method", "a", "b", "c", "d"), rows).split("\n\n")
    assert len(pieces) == 4 or len(pieces) == 2
    assert all(piece.splitlines()[0].startswith("method ") for piece in pieces)
    assert all(piece.count("method-") == 3 for piece in pieces)


def test_a_table_that_fits_stays_one_table():
    with text_width(150):
        assert grid(("a", "b"), [["1", "x"], ["2", "x"]]).splitlines() == ["a  b", "-  -", "1  x", "2  x"]


def test_a_table_without_rows_and_one_of_one_row_are_laid_out():
    with text_width(60):
        assert grid(("a", "b"), []).splitlines() == ["a  b", "-  -"]
        assert "In every row" not in grid(("a", "b"), [["1" * 50, "2" * 50]])


def test_a_name_without_a_space_is_folded_not_cut():
    with text_width(80):
        text = within_width("x" * 500)
        assert max(map(len, text.splitlines())) <= 80
        assert text.count("x") == 500
        assert max(map(len, paragraph("word " * 100).splitlines())) <= 80


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("20", 48), ("400", 150), ("120", 120)])
def test_the_width_is_the_terminals_within_limits(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal_width() == width


def test_no_line_of_a_markdown_table_is_wider_than_150_and_every_piece_has_its_key():
    rows = [[f"m{i}", *(f"value {i} of {column} " + "y" * 30 for column in "abcdef")] for i in range(4)]
    text = markdown.table(("method", *"abcdef"), rows)
    assert max(map(len, text.splitlines())) <= 150
    pieces = text.split("\n\n")
    assert len(pieces) > 1
    assert all(piece.startswith("| method |") for piece in pieces)
    assert text.count("value") == 24


@pytest.mark.parametrize("evil", ["<b>" * 100, "*" * 300, "@a " * 100, "|" * 200, "`" * 200])
def test_markdown_stays_narrow_and_harmless_whatever_is_escaped(evil):
    text = markdown.table(("method", "why"), [[evil, evil]])
    assert max(map(len, text.splitlines())) <= 160
    assert "<b>" not in text
    assert not re.search(r"(?<!\\)\*", text)
    lines = markdown.lines(evil).splitlines()
    assert max(map(len, lines)) <= 150


@pytest.mark.parametrize("begin", ["- x", "1. x", "+ x", "# x", "> x", "= x"])
def test_a_folded_line_of_foreign_text_begins_no_list_and_no_heading(begin):
    second = markdown.lines("a " * 40 + begin).splitlines()[1]
    assert not re.match(r"([-+#>=]|\d+[.)])", second)


@pytest.mark.parametrize("value", [1.16e-20, 1e-30, -3e-12, 4.9e-10, 5e-324])
def test_less_than_any_clock_tells_is_nothing(value):
    assert seconds(value) == "0 s"


@pytest.mark.parametrize("exponent", range(-9, 7))
def test_times_and_energies_of_any_size_are_short(exponent):
    assert len(seconds(1.2345 * 10.0**exponent)) <= 9
    assert len(joules(1.2345 * 10.0**exponent)) <= 10
    assert "0.0" not in seconds(1.2345 * 10.0**exponent)
