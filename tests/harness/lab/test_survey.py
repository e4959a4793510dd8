"""``tunebench boards``: each board in a row, and below it what stays empty and why."""

from __future__ import annotations

import dataclasses
import io
import json
import os

import pytest
from rich.console import Console

from tunebench.harness.cli import boards_table
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.lab.survey import BoardRow
from tunebench.targets.agent.environment import probe
from tunebench.targets.agent.workdir import Workdir
from tunebench.targets.client.replies import Lease, Owner, read_probe

#: tree -> words that must stand in its row, then in its lines.
SHOWN = {
    "nano-jp4": (("JetPack 4.6.1", "POM_5V_IN (board_input"), ("wall power",)),
    "tx2-jp4": (("quill", "tegra186", "VDD_IN (module", "MAXP_CORE_ARM"), ("misses the carrier board",)),
    "xavier-nx-jp5": (("JetPack 5.1.2", "VDD_IN (module"), ("misses the carrier board",)),
    "agx-xavier-jp4": (("Jetson-AGX", "(rails_sum)"), ("the sum of six does not see the carrier board",)),
    "orin-nx-jp6": (
        ("JetPack 6.2", "15W, schedutil", "VDD_IN (module"),
        ("docs/boards/jetson-orin-nano-nx.md",),
    ),
    "agx-orin-jp6": (
        ("12 cores", "VDD_GPU_SOC+VDD_CPU_CV+VIN_SYS_5V0 (rails_sum"),
        ("rail of the module carries it",),
    ),
    "pi-4": (
        ("bcm2711", "3.7 GiB", "ondemand"),
        ("no power of its own", "there is no current sensor on the board"),
    ),
    "zero-2-w": (("Zero 2 W", "0.4 GiB"), ("a meter would add all power",)),
}


@pytest.fixture
def row_of(simulated, tmp_path, lab):
    """Function (name, extra, change) -> the row of a simulated board, from its real probe."""

    def ask(name: str, extra: str = "", change=None) -> BoardRow:
        tree = simulated(name)
        if change is not None:
            change(tree)
        entry = load_inventory(lab("here", extra=f'simulated_root = "{tree}"\n{extra}')).boards[0]
        place = Workdir(str(tmp_path / "work"))
        os.makedirs(place.root, exist_ok=True)
        reply = json.loads(json.dumps(probe.probe(place, {}, str(tree))))
        return BoardRow(entry, read_probe(reply))

    return ask


def answering(row: BoardRow, **changes) -> BoardRow:
    """Return the row of the same board with other values in its probe."""
    return dataclasses.replace(row, probe=row.probe.model_copy(update=changes))


def shown(rows) -> str:
    console = Console(file=io.StringIO(), width=400)
    console.print(boards_table.table(rows))
    return console.file.getvalue()


@pytest.mark.parametrize("name", SHOWN)
def test_a_board_shows_what_it_is_and_below_what_stays_empty(row_of, name):
    in_row, in_lines = SHOWN[name]
    row = row_of(name)
    text, below = shown([row]), "\n".join(boards_table.lines([row]))
    for words in in_row:
        assert words in text
    for words in in_lines:
        assert words in below


def test_a_meter_of_the_inventory_is_shown_and_not_asked_for(row_of):
    meter = '[board.meter]\nkind = "hwmon"\nscope = "dc_input"\nchip = "ina226"\n'
    row = row_of("pi-4", meter)
    assert row.as_dict()["meter"] == {"kind": "hwmon", "scope": "dc_input"}
    assert "hwmon (dc_input)" in shown([row])
    assert "a meter would add" not in "\n".join(boards_table.lines([row]))


def test_a_held_board_shows_its_holder_and_a_dead_runs_tuning_is_told(row_of):
    row = row_of("pi-4")
    lease = Lease(owner=Owner(user="ann", host="desk", pid=7), rep_id="r", expires_in_s=12.5)
    assert "ann@desk, 12.5 s more" in shown([answering(row, lease=lease)])
    tuned = answering(row, undo_pending=True)
    assert "the next run puts it back first" in "\n".join(boards_table.lines([tuned]))
    assert "free" in shown([row])


def test_a_board_whose_total_is_not_labelled_has_no_power_and_says_why(row_of):
    def strange(tree):
        for path in tree.root.rglob("in1_label"):
            path.write_text("VDD_STRANGE\n")

    row = row_of("orin-nano-jp6", change=strange)
    assert row.power is None
    below = "\n".join(row.notes())
    assert "no power of its own: " in below
    assert "VDD_STRANGE" in below
    assert "this board usually has VDD_IN (INA3221)" in below


def test_what_a_board_says_is_shown_as_text_and_cannot_drive_the_terminal(row_of):
    text = shown([answering(row_of("pi-4"), fingerprint={"hardware": {"model": "[bold]Pi[/bold] \x1b[31m"}})])
    assert "[bold]Pi[/bold] ?[31m" in text
    assert "\x1b[31m" not in text


@pytest.mark.slow
def test_the_command_asks_all_boards_and_one_that_is_gone_makes_it_partial(
    cli, tmp_path, simulated, bare_python
):
    text = ""
    for name in ("pi-5", "agx-orin-jp6"):
        text += f'[[board]]\nid = "{name}"\nkind = "loopback"\nsimulated_root = "{simulated(name)}"\n'
        text += f'workdir = "{tmp_path}/w-{name}"\ninterpreter = "{bare_python}"\n'
    text += '[[board]]\nid = "gone"\nkind = "linux"\nhost = "127.0.0.1"\nport = 9\n'
    (tmp_path / "lab.toml").write_text(text)
    done = cli("boards", "-i", "lab.toml", "--json")
    assert done.returncode == 3, done.stderr
    rows = {row["board_id"]: row for row in json.loads(done.stdout)}
    assert list(rows) == ["pi-5", "agx-orin-jp6", "gone"]
    assert rows["agx-orin-jp6"]["power"]["scope"] == "rails_sum"
    assert rows["pi-5"]["board"] == "Raspberry Pi 5"
    assert "refused" in rows["gone"]["reason"]
    assert "[3/3]" in done.stderr


@pytest.mark.parametrize("name", SHOWN)
def test_on_a_narrow_terminal_each_board_is_a_card_of_lines_that_fit(row_of, name):
    row = row_of(name)
    gone = dataclasses.replace(row, probe=None, reason="no route")
    for width in (40, 80, 100):
        lines = boards_table.cards([row, gone], width)
        assert lines[0] == "here"
        assert lines[-1] == "here: not reachable"
        for column in boards_table.COLUMNS[2:]:
            assert any(line.startswith(f"  {column} ") for line in lines)
        if width >= 80:
            assert all(len(line) <= width for line in lines)
            joined = " ".join(" ".join(lines).split())
            assert all(words.split()[0].rstrip(",") in joined for words in SHOWN[name][0])


def test_words_are_not_broken_within_a_card(row_of):
    lines = boards_table.cards([row_of("pi-4")], 80)
    assert not any(line.strip() and len(line.strip()) == 1 for line in lines), "a letter a line is no card"


@pytest.mark.parametrize(("width", "is_table"), [(80, False), (149, False), (150, True)])
def test_the_command_chooses_by_the_width_of_the_terminal(monkeypatch, row_of, tmp_path, width, is_table):
    from typer.testing import CliRunner

    from tunebench.harness.cli.app import app
    from tunebench.harness.lab import survey

    row = row_of("pi-4")
    monkeypatch.setattr(survey, "look_at", lambda *_: (0, [row]))
    done = CliRunner().invoke(app, ["boards", "-i", str(tmp_path / "lab.toml")], env={"COLUMNS": str(width)})
    assert done.exit_code == 0, done.output
    assert ("boards" in done.stdout.splitlines()[0]) == is_table
    table = done.stdout.split("here: ")[0].splitlines()
    assert max(map(len, table)) <= width
