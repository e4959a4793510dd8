"""The table of boards and of torch wheels: each simulated board finds its row, each system its wheel."""

from __future__ import annotations

import os

import pytest

from tests.boards import trees
from tunebench.targets.agent.environment import probe
from tunebench.targets.agent.workdir import Workdir
from tunebench.targets.boards import BOARDS, GENERIC_LINUX, match
from tunebench.targets.boards.additions import Addition, additions, choose_addition
from tunebench.targets.boards.wheels import Facts, choose, crash_of, wheels

#: tree -> row, chip, scope and watts-bearing rails of the total.
EXPECTED = {
    "nano-jp4": ("Jetson Nano", "tegra210", "board_input", 4),
    "tx2-jp4": ("Jetson TX2", "tegra186", "module", 6),
    "xavier-nx-jp4": ("Jetson Xavier NX", "tegra194", "module", 6),
    "xavier-nx-jp5": ("Jetson Xavier NX", "tegra194", "module", 6),
    "agx-xavier-jp4": ("Jetson AGX Xavier", "tegra194", "rails_sum", 8),
    "orin-nano-jp6": ("Jetson Orin Nano / Orin NX", "tegra234", "module", 6),
    "orin-nx-jp6": ("Jetson Orin Nano / Orin NX", "tegra234", "module", 8),
    "agx-orin-jp6": ("Jetson AGX Orin", "tegra234", "rails_sum", 12),
    "agx-thor-jp7": ("Jetson AGX Thor", "tegra264", "board_input", 14),
    "pi-5": ("Raspberry Pi 5", "bcm2712", "rails_sum", 4),
    "pi-4": ("Raspberry Pi 4", "bcm2711", None, 4),
    "pi-3": ("Raspberry Pi 3", "bcm2837", None, 4),
    "zero-2-w": ("Raspberry Pi Zero 2 W", "bcm2837", None, 4),
}


@pytest.fixture
def answer(simulated, tmp_path):
    def ask(name: str) -> dict:
        place = Workdir(str(tmp_path / f"work-{name}"))
        os.makedirs(place.root)
        return probe.probe(place, {}, str(simulated(name)))

    return ask


@pytest.mark.parametrize("name", EXPECTED)
def test_each_simulated_board_has_the_power_that_its_row_expects(answer, name):
    reply = answer(name)
    model = match(reply["fingerprint"]["hardware"])
    totals = {
        channel["scope"]: channel["site"]
        for channel in reply["channels"]
        if channel["kind"] == "power" and channel["scope"] != "soc_rail"
    }
    assert list(totals) == ([model.power.scope] if model.power else [])
    if model.power is not None:
        assert totals[model.power.scope].split("+") == list(model.power.rails)


@pytest.mark.parametrize("name", EXPECTED)
def test_each_simulated_board_finds_its_row(answer, name):
    row, soc, scope, cores = EXPECTED[name]
    hardware = answer(name)["fingerprint"]["hardware"]
    model = match(hardware)
    assert model.name == row
    assert (hardware["soc"], hardware["cores"]) == (soc, cores)
    assert (model.power.scope if model.power else None) == scope
    assert hardware["lse"] is model.lse
    assert soc in model.soc.lower()


def test_every_simulated_board_is_expected_here():
    assert set(EXPECTED) == set(trees.BOARDS)


def test_a_board_is_known_by_its_name_where_its_tree_has_other_entries():
    assert match({"model": "Raspberry Pi 5 Model B Rev 1.1", "compatible": None}).name == "Raspberry Pi 5"
    assert match({"model": "Jetson-AGX", "compatible": "nvidia,unheard-of"}).name == "Jetson AGX Xavier"


def test_the_tree_beats_the_name():
    hardware = {"model": "Raspberry Pi 3 Model B", "compatible": "raspberrypi,5-model-b brcm,bcm2712"}
    assert match(hardware).name == "Raspberry Pi 5"


def test_an_unknown_board_is_generic_linux():
    assert match({}) is GENERIC_LINUX
    assert (
        match({"model": "Orange Pi 5", "compatible": "xunlong,orangepi-5 rockchip,rk3588s"}) is GENERIC_LINUX
    )


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.page)
def test_a_row_without_power_says_that_a_meter_is_needed(board):
    assert board.needs_meter
    if board.power is not None:
        assert board.power.scope in ("board_input", "module", "rails_sum")
        assert (len(board.power.rails) > 1) == (board.power.scope == "rails_sum")
        assert board.power.misses


# -- wheels ---------------------------------------------------------------------------------------

PI_OS = Facts("3.11", "aarch64", 64, "2.36", lse=False)


def versions(flavour, facts, failed=()):
    return [row.torch for row in choose(flavour, facts, failed).wheels]


def test_a_pi_gets_2_9_1_and_the_next_older_where_that_dies():
    assert versions("cpu", PI_OS)[0] == "2.9.1"
    assert versions("cpu", PI_OS, {"2.9.1"})[0] == "2.6.0"
    assert versions("cpu", PI_OS, {"2.9.1", "2.6.0"})[0] == "2.5.1"


def test_no_row_names_a_torch_that_is_known_to_die_or_a_cuda_build():
    for row in wheels():
        assert crash_of(row.torch, lse=False) is None
        if (row.flavour, row.machine) == ("cpu", "aarch64"):
            assert tuple(map(int, row.torch.split("."))) < (2, 10)


@pytest.mark.parametrize("torch", ["2.0.0", "2.4.0", "2.10.0", "2.10.0+cpu"])
def test_known_crashes_count_only_on_cores_without_lse(torch):
    assert crash_of(torch, lse=False) is not None
    assert crash_of(torch, lse=True) is None


def test_an_old_c_library_or_python_gets_an_older_torch():
    assert versions("cpu", Facts("3.9", "aarch64", 64, "2.31"))[0] == "2.6.0"
    assert versions("cpu", Facts("3.8", "aarch64", 64, "2.31")) == ["2.3.1"]
    assert versions("cpu", Facts("3.11", "aarch64", 64, "2.27")) == ["2.5.1", "2.3.1"]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts("3.11", "aarch64", 32, "2.36"), "no torch for 32-bit systems"),
        (Facts("3.11", "armv7l", 32, "2.36"), "the native engine"),
        (Facts("3.11", "riscv64", 64, "2.36"), "no torch (cpu) for riscv64, only for aarch64, x86_64"),
        (Facts("3.11", "aarch64", 64, None), "another C library"),
        (Facts("3.6", "aarch64", 64, "2.27"), "has no wheel for Python 3.6"),
        (Facts("3.14", "aarch64", 64, "2.41"), "has no wheel for Python 3.14 (for 3.10 to 3.13)"),
    ],
)
def test_a_system_that_no_wheel_fits_is_told_why(facts, reason):
    choice = choose("cpu", facts)
    assert not choice.wheels
    assert reason in "; ".join(choice.reasons)


def test_a_jetsons_build_goes_by_its_jetpack():
    assert versions("jetson", Facts("3.10", "aarch64", 64, "2.35", True, "6.2")) == ["2.8.0"]
    assert versions("jetson", Facts("3.8", "aarch64", 64, "2.31", True, "5.1.2"))[0].startswith("2.1.0a0")
    assert versions("jetson", Facts("3.6", "aarch64", 64, "2.27", False, "4.6.1"))[0].startswith("1.11.0a0")
    unknown = choose("jetson", Facts("3.10", "aarch64", 64, "2.35", True, "6.0"))
    assert not unknown.wheels
    assert "docs.nvidia.com" in unknown.reasons[-1]
    other_python = choose("jetson", Facts("3.9", "aarch64", 64, "2.31", True, "5.1.2"))
    assert "own Python is 3.8" in other_python.reasons[-1]
    assert "JetPack" in choose("jetson", Facts("3.11", "aarch64", 64, "2.36")).reasons[0]


def test_setuptools_comes_along_where_python_lacks_what_torch_takes_from_it():
    row = choose("cpu", PI_OS).wheels[0]
    assert "setuptools" not in row.requirements("3.11")
    assert "setuptools" in row.requirements("3.12")
    assert row.requirements("3.11")[0] == "torch==2.9.1"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.page)
def test_every_64_bit_system_of_the_table_has_a_torch(board):
    for system in board.systems:
        facts = Facts(system.python, "aarch64", system.bits, system.glibc, board.lse, system.jetpack)
        flavour = "jetson" if system.jetpack else "cpu"
        assert bool(choose(flavour, facts).wheels) == (system.bits == 64), (board.name, system.name)


# -- beside torch ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "torch", "transformers"),
    [
        (PI_OS, "2.9.1", "5.24.0"),
        (PI_OS, "2.5.1", "4.57.6"),
        (Facts("3.10", "aarch64", 64, "2.35", True, "6.2"), "2.8.0", "5.20.2"),
        (Facts("3.8", "aarch64", 64, "2.31", True, "5.1.2"), "2.1.0a0+41361538.nv23.06", "4.46.3"),
        (Facts("3.9", "aarch64", 64, "2.31"), "2.6.0", "4.57.6"),
        (Facts("3.13", "x86_64", 64, "2.41"), "2.13.0+cpu", "5.24.0"),
    ],
)
def test_transformers_goes_by_python_and_by_the_torch_that_was_chosen(facts, torch, transformers):
    assert choose_addition("transformers", facts, torch).label == f"transformers {transformers}"


@pytest.mark.parametrize(
    ("facts", "torch", "reason"),
    [
        (Facts("3.6", "aarch64", 64, "2.27", False, "4.6.1"), "1.11.0", "has wheels for Python 3.6 (for 3.8 to 3.13)"),
        (Facts("3.9", "aarch64", 64, "2.31"), "1.13.1", "4.57.6 needs torch 2.2 or newer, here it is 1.13.1"),
        (Facts("3.11", "aarch64", 32, "2.36"), "2.9.1", "this is aarch64, 32 bits"),
        (Facts("3.11", "aarch64", 64, None), "2.9.1", "64 bits, without glibc"),
        (Facts("3.11", "riscv64", 64, "2.36"), "2.9.1", "needs wheels for aarch64 or x86_64"),
        (PI_OS, None, "runs on torch, and there is none"),
    ],
)  # fmt: skip
def test_where_no_wheel_of_transformers_can_be_the_reason_is_told(facts, torch, reason):
    assert reason in choose_addition("transformers", facts, torch)


def test_every_torch_of_the_table_has_a_transformers_but_for_jetpack_4():
    for wheel in wheels():
        for python in wheel.pythons:
            row = choose_addition("transformers", Facts(python, wheel.machine, 64, "2.41"), wheel.torch)
            assert isinstance(row, Addition) == (python != "3.6"), (wheel.torch, python, row)


def test_each_row_pins_what_belongs_together_and_names_nothing_twice():
    for row in additions():
        names = [what.partition("=")[0].partition(">")[0] for what in row.requires]
        assert len(names) == len(set(names))
        assert row.requires[0].startswith(f"{row.name}==")
        pinned = {what.partition("==")[0] for what in row.requires if "==" in what}
        together = {"transformers", "peft", "accelerate", "tokenizers", "huggingface-hub"}
        assert (together if row.name == "transformers" else {row.name}) <= pinned
