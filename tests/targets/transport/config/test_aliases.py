"""The hosts that an ssh config names are found wherever ssh itself would read of them."""

from __future__ import annotations

import pytest

from tunebench.targets.transport.config.aliases import MAX_ALIASES, aliases


@pytest.fixture
def config(tmp_path):
    def write(text: str, name: str = "config"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Host pi5-01\n  HostName 10.0.0.5\n", ["pi5-01"]),
        ("Host pi5-01 pi5-02\n", ["pi5-01", "pi5-02"]),
        ("host=pi5-01\nHOST\tpi4\n", ["pi5-01", "pi4"]),
        ('Host "pi5-01" # the one in the rack\n', ["pi5-01"]),
        ("Host *\n User lab\nHost pi? !pi5-02 *.lab orin\n", ["orin"]),
        ("Host pi5-01\nHost pi5-01\n", ["pi5-01"]),
        (
            "Match host pi5-01,pi5-02 user lab\nMatch originalhost orin\nMatch exec true\n",
            ["pi5-01", "pi5-02", "orin"],
        ),
        ("Match all\n", []),
        ("", []),
        ("# Host commented\n", []),
    ],
)
def test_names_are_found_and_patterns_are_none(config, text, names):
    assert aliases(config(text)) == names


def test_included_files_count_and_a_circle_ends(config, tmp_path):
    config(f"Include {tmp_path}/config\nHost from-circle\n", "more/circle")
    config("Host from-wildcard\n", "more/a.conf")
    path = config(f"Include {tmp_path}/more/*.conf {tmp_path}/more/circle\nHost own\n")
    assert aliases(path) == ["from-wildcard", "from-circle", "own"]


def test_a_file_that_is_not_there_names_nobody(tmp_path):
    assert aliases(str(tmp_path / "none")) == []


def test_a_generated_list_has_an_end(config):
    assert len(aliases(config("\n".join(f"Host h{number}" for number in range(5000))))) == MAX_ALIASES


def test_no_name_can_move_the_cursor_or_become_an_option(config):
    assert aliases(config("Host \x1b[2Jpi\nHost ok\n")) == ["ok"]
