"""The inventory is found where nobody named one, and the user is told which file it was."""

from __future__ import annotations

import re
import shlex
from importlib import import_module

import pytest
import typer

from tunebench.harness.cli.registry import COMMANDS, module_of
from tunebench.harness.config.inventory_place import VARIABLE, config_folder, find_inventory
from tunebench.harness.errors import UsageError

LAB = '[[board]]\nid = "{}"\nkind = "loopback"\n'


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Function (name of a place, board): write an inventory there; the working folder is ``here``."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def write(place):
        path = {
            "here": tmp_path / "here" / "lab.toml",
            "variable": tmp_path / "other.toml",
            "config": tmp_path / "config" / "tunebench" / "lab.toml",
            "home": tmp_path / "home" / ".config" / "tunebench" / "lab.toml",
        }[place]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LAB.format(place))
        if place == "variable":
            monkeypatch.setenv(VARIABLE, str(path))
        return path

    return write


def test_this_folder_comes_first_then_the_variable_then_the_configuration_folder(places):
    seen = []
    for place in ("config", "variable", "here"):
        places(place)
        inventory = find_inventory()
        seen.append((inventory.path.read_text().split('"')[1], inventory.why))
    assert seen == [
        ("config", "in the configuration folder"),
        ("variable", f"named by {VARIABLE}"),
        ("here", "in this folder"),
    ]


@pytest.mark.parametrize("value", ["", "relative/config"])
def test_a_configuration_folder_that_is_not_absolute_is_ignored(places, monkeypatch, value):
    monkeypatch.setenv("XDG_CONFIG_HOME", value)
    path = places("home")
    assert find_inventory().path == path
    assert config_folder().is_absolute()


def test_a_variable_that_names_no_file_is_told_and_not_passed_over(places, monkeypatch, tmp_path):
    places("config")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.toml"))
    with pytest.raises(UsageError, match=rf"{VARIABLE}=.*gone.toml: no such file"):
        find_inventory()


def test_an_empty_variable_is_none(places, monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    path = places("config")
    assert find_inventory().path == path


def test_a_folder_called_lab_toml_is_no_inventory(places, tmp_path):
    (tmp_path / "here" / "lab.toml").mkdir()
    path = places("config")
    assert find_inventory().path == path


def test_without_any_the_places_and_the_command_that_writes_one_are_named(places):
    with pytest.raises(UsageError) as refused:
        find_inventory()
    message = str(refused.value)
    assert "./lab.toml" in message
    assert VARIABLE in message
    commands = re.findall("`([^`]*)`", message)
    assert [shlex.split(line)[-1] for line in commands] == ["init", "--loopback"]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_insists_on_an_inventory(name):
    """Whatever takes -i finds one by itself."""
    command = typer.main.get_command(import_module(module_of(name)).app)
    for leaf in getattr(command, "commands", {"": command}).values():
        options = [option for option in leaf.params if "-i" in option.opts]
        assert not any(option.required for option in options)


def test_the_command_tells_on_standard_error_which_file_it_used(cli, lab, tmp_path):
    lab("here")
    done = cli("plan", "-s", "smoke", "--json")
    assert done.returncode == 0, done.stderr
    assert "inventory: lab.toml (in this folder)" in done.stderr
    assert done.stdout.startswith("{")
    (tmp_path / "lab.toml").rename(tmp_path / "elsewhere.toml")
    done = cli("plan", "-s", "smoke", TUNEBENCH_INVENTORY="elsewhere.toml")
    assert "inventory: elsewhere.toml (named by TUNEBENCH_INVENTORY)" in done.stderr
    named = cli("plan", "-s", "smoke", "-i", "elsewhere.toml")
    assert named.returncode == 0
    assert "inventory:" not in named.stderr, "who names a file needs not be told"


def test_without_any_every_command_says_the_same_and_ends_as_a_mistake(cli):
    done = cli("boards")
    assert done.returncode == 2
    assert "no inventory: neither ./lab.toml nor " in done.stderr
    assert "Traceback" not in done.stderr
