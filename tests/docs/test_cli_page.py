"""docs/cli.md is made from the commands, and has all of them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunebench.harness.cli.registry import COMMANDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def writer():
    spec = importlib.util.spec_from_file_location("cli_page", ROOT / "scripts" / "cli_page.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_commands_say():
    assert writer().page() == PAGE, "run: python scripts/cli_page.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_section(name):
    assert f"\n## tunebench {name}\n" in PAGE
    assert f"(#tunebench-{name})" in PAGE


def test_the_page_names_the_options_that_the_help_shows():
    """Held against the real help of a command with many: as an independent reader of the same options."""
    shown = subprocess.run(
        [sys.executable, "-m", "tunebench", "run", "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
    ).stdout  # fmt: skip
    section = PAGE.partition("\n## tunebench run\n")[2].partition("\n## ")[0]
    options = {
        word.strip("│ ") for line in shown.splitlines() for word in line.split() if word.startswith("--")
    }
    assert "--no-html" in options
    assert [option for option in options - {"--help"} if option not in section] == []
