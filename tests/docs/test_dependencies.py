"""docs/dependencies.md lists what a user gets, with licences that go with ours."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _writer():
    return _script("dependencies_page")


def _script(name):
    path = ROOT / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _packages(text: str) -> dict[str, str]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1] for row in rows if row[0] != "package"}


def _plain(licence: str) -> str:
    """The licence without the words that come and go between releases (``MIT License``, ``MIT``)."""
    return re.sub(r"[- ]?(license|software|clause|\(.*\)|[23]|2\.0)", "", licence.lower())


def test_the_page_lists_what_is_installed():
    writer = _writer()
    listed, installed = _packages(writer.PAGE.read_text()), _packages(writer.page())
    assert set(installed) == set(listed), "run: python scripts/dependencies_page.py"
    changed = {
        name: (listed[name], installed[name])
        for name in listed
        if _plain(listed[name]) != _plain(installed[name])
    }
    assert changed == {}, "read the new licence, then run: python scripts/dependencies_page.py"


def test_every_dependency_states_a_licence_that_goes_with_ours():
    packages = _packages((ROOT / "docs" / "dependencies.md").read_text())
    assert len(packages) > 12
    for name, licence in packages.items():
        assert licence != "not stated", name
        assert "AGPL" not in licence and "proprietary" not in licence.lower(), name


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT", False),
        ("LGPL-2.1", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("EPL-2.0 OR GPL-2.0-or-later", False),
        ("GPL-3.0-only", True),
        ("AGPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("MIT AND GPL-3.0-only", True),
        ("GPL-2.0-only OR AGPL-3.0-only", True),
    ],
)
def test_the_audit_refuses_what_leaves_no_choice_but_the_gpl(licence, refused, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    assert _script("audit").refused(licence) is refused
