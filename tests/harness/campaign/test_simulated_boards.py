"""Whole campaigns over real SSH on boards whose sensors are simulated trees: the energy of their records."""

from __future__ import annotations

import pytest

from tests.boards import trees
from tunebench.harness.campaign.progress import Silent
from tunebench.harness.campaign.session import Request, open_session
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.reports.results import RunReader

pytestmark = pytest.mark.slow
#: A little longer than 100 samples take at the 5 Hz of a timed repetition.
WINDOW_S = 21.5
_SLEEPER = f"""
import time
from tunebench import marks

marks.window_start()
time.sleep({WINDOW_S})
marks.window_end()
marks.result(accuracy=0.75, before=0.5)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, bare_python):
    """Run one campaign on all boards at once; return board id -> its record. The id says what is simulated."""
    root = tmp_path_factory.mktemp("simulated")
    rotated = [
        trees.Rail(rail.label, 5000, ma) for rail, ma in zip(trees.NANO_RAILS, (640, 1784, 624), strict=True)
    ]
    made = {
        name: trees.BOARDS[name](root / name)
        for name in ("orin-nano-jp6", "nano-jp4", "agx-orin-jp6", "pi-5")
    }
    made["nano-swapped"] = trees.nano_jp4(root / "nano-swapped", rails=rotated)
    made["orin-blocked"] = trees.orin_nano_jp6(root / "orin-blocked")
    made["orin-blocked"].block(made["orin-blocked"].power["VDD_IN"][1])
    made["pi-4"] = trees.pi_4(root / "pi-4")
    text = '[lab]\nname = "testlab"\n'
    for name, tree in made.items():
        text += f'\n[[board]]\nid = "{name}"\nkind = "loopback"\nworkdir = "{root}/work-{name}"\n'
        text += f'simulated_root = "{tree}"\ninterpreter = "{bare_python}"\n'
    (root / "lab.toml").write_text(text)
    (root / "sleep.py").write_text(_SLEEPER)
    (root / "suite.toml").write_text(
        '[suite]\nname = "sleep"\nblocks = 1\naa = false\ninstrumented = false\n\n[[workload]]\nlabel = "a"\n'
        'task = "sleep"\ncommand = ["python3", "sleep.py"]\nfiles = ["sleep.py"]\n'
        "deadline_s = 60.0\n"
    )
    inventory = load_inventory(root / "lab.toml")
    suite = load_suite(str(root / "suite.toml"))
    session = open_session(
        Request(suite, inventory.boards, "testlab", root / "results", False, ["tunebench", "run"])
    )
    session.close(session.campaign(Silent()).run())
    return {record.board_id: record for record in RunReader(session.writer.path).repetitions}


@pytest.mark.parametrize(
    ("board", "watts", "scope", "source", "rails"),
    [
        ("orin-nano-jp6", 4.0, "module", "ina3221 hwmon in1 x curr1", ["VDD_IN"]),
        ("nano-jp4", 2.0, "board_input", "ina3221x iio in_power0_input", ["POM_5V_IN"]),
        (
            "agx-orin-jp6",
            7.2,
            "rails_sum",
            "ina3221 hwmon: sum of",
            ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"],
        ),
        ("pi-5", 2.5, "rails_sum", "pmic_read_adc (vcgencmd): sum of 12 rails, a lower bound", None),
    ],
)
def test_constant_power_gives_power_times_time_with_scope_source_and_n(
    ran, board, watts, scope, source, rails
):
    record = ran[board]
    assert record.outcome == "ok"
    energy = record.energy
    assert energy is not None, record.missing
    assert energy.gross_j == pytest.approx(watts * record.wall_s, rel=0.005)
    assert (energy.scope, energy.mean_w) == (scope, pytest.approx(watts))
    assert energy.source.startswith(source)
    assert energy.rails == rails if rails else len(energy.rails) == 12
    assert energy.n_samples >= 100
    assert energy.max_gap_s < 1.0


@pytest.mark.parametrize(
    ("board", "reason"),
    [
        ("nano-swapped", "POM_5V_GPU (8.920 W) is above the total POM_5V_IN (3.200 W)"),
        ("pi-4", "measures no current on board; an external meter does"),
    ],
)
def test_power_that_is_not_to_be_believed_is_null_with_the_reason(ran, board, reason):
    record = ran[board]
    assert record.outcome == "ok"
    assert record.energy is None
    assert reason in " ".join(record.missing.values())


def test_a_rail_whose_read_blocks_leaves_the_repetition_and_the_other_rails_alone(ran):
    record = ran["orin-blocked"]
    assert record.outcome == "ok"
    assert record.wall_s == pytest.approx(WINDOW_S, abs=0.5)
    assert record.energy is None  # the rails that are left are not the board's power
    assert "no total" in record.missing["energy"]
    assert "rail VDD_IN: no answer" in record.missing["energy"]
    assert record.sampler is not None
    assert record.sampler.max_gap_s < 1.0
