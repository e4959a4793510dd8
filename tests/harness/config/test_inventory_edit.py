"""The one line that ``setup --write`` changes in an inventory."""

from __future__ import annotations

import pytest

from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.inventory_edit import set_interpreter
from tunebench.harness.errors import UsageError

LAB = """# my lab
[lab]
name = "lab"

[[board]]   # the first
id = "a"    # stays
kind = "loopback"
timeouts = { connect_s = 3.0 }

[[board]]
kind = "linux"
host = "b"
interpreter = "python3"  # goes
id = "b"
"""


def test_one_line_of_the_inventory_changes_and_all_others_stay(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(LAB)
    set_interpreter(path, "a", "/opt/a/bin/python")
    set_interpreter(path, "b", "/opt/b/bin/python")
    lines = path.read_text().splitlines()
    assert 'interpreter = "/opt/a/bin/python"' in lines
    assert [line for line in LAB.splitlines() if line not in lines] == ['interpreter = "python3"  # goes']
    assert [board.interpreter for board in load_inventory(path).boards] == [
        "/opt/a/bin/python",
        "/opt/b/bin/python",
    ]


@pytest.mark.parametrize(
    "text",
    [
        'board = [{ id = "a", kind = "loopback" }]\n',
        '[[board]]\nid = "a"\nkind = "loopback"\ninterpreter = [\n  "env",\n  "python3",\n]\n',
    ],
)
def test_what_cannot_be_changed_by_lines_is_left_alone(tmp_path, text):
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"write interpreter = .* into board 'a' yourself"):
        set_interpreter(path, "a", "/opt/python")
    assert path.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["lab.toml"]


def test_line_endings_stay_as_they_are(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_bytes(LAB.replace("\n", "\r\n").encode())
    set_interpreter(path, "a", "/opt/a/bin/python")
    set_interpreter(path, "b", "/opt/b/bin/python")
    text = path.read_bytes().decode()
    assert text.count("\r\n") == text.count("\n") == LAB.count("\n") + 1
    assert [board.interpreter for board in load_inventory(path).boards] == [
        "/opt/a/bin/python",
        "/opt/b/bin/python",
    ]


def test_a_file_may_end_without_an_end_of_line(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text('[[board]]\nkind = "loopback"\nid = "a"')
    set_interpreter(path, "a", "/opt/python")
    assert path.read_text() == '[[board]]\nkind = "loopback"\nid = "a"\ninterpreter = "/opt/python"\n'


def test_a_comment_on_the_next_table_stays_with_it(tmp_path):
    text = '[[board]]\nid = "a"\nkind = "loopback"\n\n# how it is tuned\n[board.tuning]\ngovernor = "powersave"\n'
    path = tmp_path / "lab.toml"
    path.write_text(text)
    set_interpreter(path, "a", "/opt/python")
    assert path.read_text() == text.replace('id = "a"\n', 'id = "a"\ninterpreter = "/opt/python"\n')
