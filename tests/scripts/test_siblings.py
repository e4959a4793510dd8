"""An environment takes from its sibling what fits, whole, with all that it requires; all else is left to pip."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from tests.scripts.test_part import load

pytest.importorskip("pip", reason="pip's own reader of requirements is used")
siblings = load("siblings")


def lay(prefix: Path, name: str, version: str, *requires: str, lacks: str = "") -> None:
    """Lay a package with a module, its bytecode and a script into an environment, as pip does."""
    library = Path(sysconfig.get_path("purelib", vars={"base": str(prefix), "platbase": str(prefix)}))
    info = library / f"{name}-{version}.dist-info"
    tag = sys.implementation.cache_tag
    files = {
        library / f"{name}.py": f"version = {version!r}\n",
        library / "__pycache__" / f"{name}.{tag}.pyc": "compiled",
        prefix / "bin" / name: f"#!{prefix}/bin/python3\nimport {name}\n",
        info / "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {item}\n" for item in requires),
    }
    listed = [
        f"../../../bin/{name},,",
        *(f"{path.relative_to(library)},," for path in files if library in path.parents),
    ]
    files[info / "RECORD"] = "\n".join([*listed, f"{info.name}/RECORD,,"]) + "\n"
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name != lacks:
            path.write_text(text)


@pytest.fixture
def environments(tmp_path):
    for name in ("test", "full", "lowest"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyvenv.cfg").write_text("")
    return tmp_path


def test_what_fits_is_linked_with_all_that_it_requires(environments):
    lay(environments / "test", "alpha", "1.5", "beta>=2", "gamma; extra == 'more'")
    lay(environments / "test", "beta", "2.0")
    assert siblings.take(["--no-deps", "alpha>=1", "/a/wheel.whl"], environments / "full") == [
        "alpha",
        "beta",
    ]
    for module in ("alpha", "beta"):
        (one,) = (environments / "test").rglob(f"{module}.py")
        (other,) = (environments / "full").rglob(f"{module}.py")
        assert one.samefile(other)
        assert list((environments / "full").rglob(f"__pycache__/{module}.*.pyc"))
        assert list((environments / "full").rglob(f"{module}-*/RECORD"))
    script = (environments / "full" / "bin" / "alpha").read_text()
    assert script == f"#!{environments}/full/bin/python\nimport alpha\n"
    assert (
        (environments / "test" / "bin" / "alpha")
        .read_text()
        .startswith(f"#!{environments}/test/bin/python3\n")
    )
    assert siblings.take(["alpha"], environments / "full") == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["alpha>=2"], "another version"),
        (["alpha[more]"], "an extra's package is not there"),
        (["-U", "alpha"], "the newest is asked for"),
        (["broken"], "a file is not there"),
        (["needy"], "what it requires is not there"),
        (["-r", "list.txt", "./alpha"], "names no package"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_left_to_pip(environments, words, why):
    lay(environments / "test", "alpha", "1.5", "gamma; extra == 'more'")
    lay(environments / "test", "broken", "1.0", lacks="broken.py")
    lay(environments / "test", "needy", "1.0", "broken")
    assert siblings.take(words, environments / "full") == [], why
    assert not list((environments / "full").rglob("*.py"))


def test_environments_with_versions_of_their_own_take_nothing(environments):
    lay(environments / "test", "alpha", "1.5")
    assert siblings.take(["alpha"], environments / "lowest") == []
