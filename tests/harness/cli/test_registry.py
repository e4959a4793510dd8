"""The list of commands: its help is quick and repeats each command's own, and other packages add commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import typer

from tunebench.harness.cli.app import app
from tunebench.harness.cli.registry import COMMANDS, module_of

HEAVY = {
    "asyncssh",
    "duckdb",
    "fabric",
    "jinja2",
    "numpy",
    "pandas",
    "paramiko",
    "pydantic",
    "scipy",
    "torch",
}

NOISE = '''
import typer

app = typer.Typer(add_completion=False)


@app.command()
def noise(loud: bool = False) -> None:
    """Print how noisy the room is."""
    typer.echo("loud" if loud else "quiet")
'''

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str, str, str], None]:
    """Lay a package with one module and one entry point where a command line of :func:`tunebench` finds it."""

    def lay(name: str, entry_point: str, text: str) -> None:
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[tunebench.commands]\n{entry_point}\n")
        (tmp_path / f"{entry_point.split('=')[1].strip()}.py").write_text(text)

    return lay


@pytest.fixture
def tunebench(tmp_path: Path) -> Run:
    """Run the command in a process of its own that also finds packages in the test's folder."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tunebench", *words],
            env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "100"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def _imported(statements: str) -> set[str]:
    """Return the modules that a fresh interpreter has imported after some statements."""
    program = f"import json, sys\n{statements}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_the_help_imports_no_command_and_nothing_heavy():
    modules = _imported(
        "from tunebench.harness.cli.app import app\n"
        "try:\n    app(['--help'], standalone_mode=False)\nexcept SystemExit:\n    pass"
    )
    assert "tunebench.harness.cli.group" in modules
    assert not modules & {module_of(name) for name in COMMANDS}
    assert not modules & HEAVY


def test_the_help_of_any_command_imports_nothing_heavy():
    modules = _imported("\n".join(f"import {module_of(name)}" for name in COMMANDS))
    assert not modules & HEAVY


@pytest.mark.parametrize("name", COMMANDS)
def test_the_registry_says_what_the_command_says_of_itself(name):
    command = typer.main.get_command(import_module(module_of(name)).app)
    assert " ".join(command.help.split("\n\n")[0].split()) == COMMANDS[name]


def test_every_module_of_the_folder_is_a_command_or_a_part_of_the_command_line():
    folder = Path(import_module("tunebench.harness.cli").__file__).parent
    parts = {
        "__init__",
        "app",
        "boards_table",
        "completion",
        "group",
        "options",
        "registry",
        "streams",
    }
    modules = {module_of(name).rpartition(".")[2] for name in COMMANDS}
    assert {path.stem for path in folder.glob("*.py")} == parts | modules


def test_a_mistyped_command_gets_a_suggestion(tunebench):
    done = tunebench("raport")
    assert done.returncode == 2
    assert "No such command 'raport'. Did you mean 'report'" in done.stderr


def test_another_package_adds_a_command(package, tunebench):
    package("our-lab", "noise = our_lab_noise", NOISE)
    shown = tunebench("--help")
    assert re.search(r"\bnoise +Of the package our-lab\.", shown.stdout), shown.stdout
    assert tunebench("noise", "--loud").stdout == "loud\n"
    assert "Print how noisy the room is." in tunebench("noise", "--help").stdout
    assert "Did you mean 'noise'" in tunebench("noises").stderr


def test_the_help_does_not_import_another_packages_module(package, tunebench):
    package("our-lab", "noise = our_lab_noise", "raise RuntimeError('imported')")
    done = tunebench("--help")
    assert done.returncode == 0
    assert "Of the package our-lab." in done.stdout


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("raise RuntimeError('no room')", "RuntimeError: no room"),
        ("", "AttributeError: module 'our_lab_noise' has no attribute 'app'"),
    ],
)
def test_a_command_that_cannot_be_loaded_gives_one_sentence(package, tunebench, text, reason):
    package("our-lab", "noise = our_lab_noise", text)
    done = tunebench("noise")
    assert done.returncode == 2
    assert done.stderr == f"tunebench: command 'noise' of the package our-lab cannot be loaded: {reason}\n"


def test_two_packages_with_one_command_are_both_named(package, tunebench):
    package("our-lab", "noise = our_lab_noise", NOISE)
    package("their-lab", "noise = their_lab_noise", NOISE)
    done = tunebench("noise")
    assert done.returncode == 2
    assert "offered by several packages: our-lab, their-lab" in done.stderr


def test_a_command_of_this_package_cannot_be_taken(package, tunebench):
    package("our-lab", "suites = our_lab_noise", NOISE)
    assert "nightly" in tunebench("suites").stdout


def test_the_group_holds_the_registrys_commands_in_its_order():
    assert list(typer.main.get_command(app).commands) == list(COMMANDS)
