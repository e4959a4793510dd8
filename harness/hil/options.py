"""The plugin's options: long names that are ours alone, short ones where nobody else has them.

Installed is not imposed: a project's ``conftest.py`` or another plugin may have ``--inventory``, ``--boards``,
``--methods`` or ``--campaign`` of its own. So only the names that begin with ``--tunebench-`` are registered. A short
name on the command line that nobody has claimed once all conftest files are loaded is read as the long one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

#: The built-in suites that the help names; :data:`tunebench.harness.config.tables.schema.LEVELS` without the demo.
LEVELS = "smoke, quick, nightly, paper"
DEFAULT_CAMPAIGN = "smoke"
DEFAULT_OUT = "results"

INVENTORY = "--inventory"
#: Short name -> the name that is ours alone.
LONG_NAMES = {
    short: f"--tunebench-{short.removeprefix('--')}"
    for short in (INVENTORY, "--boards", "--methods", "--campaign")
}

_TAKEN: pytest.StashKey[dict[str, str | None]] = pytest.StashKey()
_MISSING = object()


def add(parser: pytest.Parser) -> None:
    """Register the options and the ini keys."""
    group = parser.getgroup("tunebench", "tunebench: fine-tuning on the boards of an inventory")
    also = "Also {}, unless another plugin or conftest.py has that."
    group.addoption(
        "--tunebench-inventory",
        dest="tunebench_inventory",
        metavar="FILE",
        help=f"The lab's boards (TOML). {also.format(INVENTORY)}",
    )
    group.addoption(
        "--tunebench-boards",
        dest="tunebench_boards",
        metavar="GLOB",
        help=f"Only boards whose id or tag matches. {also.format('--boards')}",
    )
    group.addoption(
        "--tunebench-methods",
        dest="tunebench_methods",
        metavar="LIST",
        help=f"Only these methods. {also.format('--methods')}",
    )
    group.addoption(
        "--tunebench-campaign",
        dest="tunebench_campaign",
        metavar="NAME|FILE",
        help=f"What to run: {LEVELS}, or a suite file. Default: {DEFAULT_CAMPAIGN}. {also.format('--campaign')}",
    )
    group.addoption(
        "--tunebench-out",
        dest="tunebench_out",
        metavar="DIR",
        help=f"Root of the results. Default: {DEFAULT_OUT}.",
    )
    group.addoption(
        "--tunebench-blocks",
        dest="tunebench_blocks",
        metavar="N",
        type=int,
        help="So many blocks in place of the campaign's.",
    )
    group.addoption(
        "--tunebench-resume",
        dest="tunebench_resume",
        action="store_true",
        default=False,
        help="Continue the newest unfinished run of the same campaign.",
    )
    group.addoption(
        "--tunebench-report", dest="tunebench_report", metavar="FILE", help="Write the HTML report here."
    )
    parser.addini("tunebench_inventory", "The lab's boards (TOML), relative to this file.", default="")
    parser.addini("tunebench_campaign", "What to run: a name, or a file relative to this one.", default="")
    parser.addini("tunebench_out", "Root of the results, relative to this file.", default="")


def foresee(early_config: pytest.Config, parser: pytest.Parser, args: Sequence[str]) -> None:
    """Have conftest files looked for as if the short names were known: their values are no folders of tests."""
    renamed, _ = _renamed(args, _free(early_config, parser))
    if renamed != list(args):
        try:
            known = parser.parse_known_args(renamed, namespace=copy.copy(early_config.option))
        except pytest.UsageError:
            return  # theirs, and of another form than ours: a flag, say
        early_config.known_args_namespace.file_or_dir = known.file_or_dir


def claim(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Rename the short names that are still free in the command line; note the values of those that are not ours."""
    free = _free(early_config, parser)
    args[:], taken = _renamed(args, free)
    early_config.stash[_TAKEN] = taken


def _free(config: pytest.Config, parser: pytest.Parser) -> set[str]:
    return {name for name in LONG_NAMES if not _is_taken(config, parser, name)}


def _is_taken(config: pytest.Config, parser: pytest.Parser, name: str) -> bool:
    if config.getoption(name, _MISSING) is not _MISSING:
        return True
    # An option without a default is not in the configuration before the command line is parsed.
    try:
        _, unknown = parser.parse_known_and_unknown_args([f"{name}=x"])
    except (Exception, SystemExit):  # noqa: BLE001 - whoever has the option may refuse the value in any way
        return True
    return f"{name}=x" not in unknown


def _renamed(args: Sequence[str], free: set[str]) -> tuple[list[str], dict[str, str | None]]:
    """Return the command line with free short names made long, and the last values of the short names that are not.

    A value is None where the name is the last word.
    """
    renamed: list[str] = []
    taken: dict[str, str | None] = {}
    words = list(_expanded(args))
    for index, word in enumerate(words):
        if word == "--":
            return renamed + words[index:], taken
        name, equals, value = word.partition("=")
        if name in free:
            renamed.append(LONG_NAMES[name] + equals + value)
            continue
        if name in LONG_NAMES:
            taken[name] = value if equals else (words[index + 1] if index + 1 < len(words) else None)
        renamed.append(word)
    return renamed, taken


def _expanded(args: Iterable[str]) -> Iterable[str]:
    """Put the lines of an ``@FILE`` in its place, as pytest's parser does, if one of them is a short name of ours."""
    for arg in args:
        if arg.startswith("@"):
            try:
                lines = Path(arg[1:]).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError):
                lines = []  # pytest says what is wrong with it
            if any(line.partition("=")[0] in LONG_NAMES for line in lines):
                yield from lines
                continue
        yield arg


@dataclass(frozen=True)
class Source:
    """Where the inventory is named.

    Attributes:
        path: the file.
        named_by: the option or ini key, as the user wrote it.
        explicit: on the command line of this very session, not in a file or an environment variable.
        taken: by an option that belongs to somebody else.
    """

    path: Path
    named_by: str
    explicit: bool = False
    taken: bool = False


def inventory_source(config: pytest.Config) -> Source | None:
    """Return where the inventory is named; None: nowhere, or ``--tunebench-inventory=`` (empty) says: none.

    An ``--inventory`` that belongs to somebody else counts if its value is a TOML file, or if nothing else names one:
    who gives it as our pages say must not get a session in which everything is skipped.
    """
    given = config.getoption("tunebench_inventory")
    if given is not None:
        path = config.invocation_params.dir / _home(given)
        return Source(path, _spelled(config), explicit=_on_command_line(config)) if given else None
    other = config.stash.get(_TAKEN, {}).get(INVENTORY)
    ini = _from_ini(config, "tunebench_inventory")
    if other and (ini is None or other.endswith(".toml")):
        return Source(config.invocation_params.dir / _home(other), INVENTORY, taken=True)
    if ini is None:
        return None
    return Source(ini, f"tunebench_inventory in {config.inipath or '-o'}")


def taken(config: pytest.Config) -> list[str]:
    """Return the short names on the command line that belong to another plugin or a conftest file."""
    names: dict[str, str | None] = config.stash.get(_TAKEN, {})
    return sorted(names)


def campaign(config: pytest.Config) -> str:
    """Return the name or the file of the suite."""
    given = config.getoption("tunebench_campaign")
    if given:
        return str(given)
    named = str(config.getini("tunebench_campaign"))
    file = _from_ini(config, "tunebench_campaign")
    if file is not None and (file.is_file() or "/" in named or named.endswith(".toml")):
        return str(file)
    return named or DEFAULT_CAMPAIGN


def out(config: pytest.Config) -> Path:
    """Return the root of the results."""
    given = config.getoption("tunebench_out")
    if given:
        return Path(given)
    return _from_ini(config, "tunebench_out") or Path(DEFAULT_OUT)


def _from_ini(config: pytest.Config, name: str) -> Path | None:
    """Return a path of the ini file, relative to it as pytest's own paths are; None if it is not set."""
    value = str(config.getini(name)).strip()
    if not value:
        return None
    folder = config.inipath.parent if config.inipath is not None else config.invocation_params.dir
    return folder / _home(value)


def _home(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:  # there is no home
        return Path(value)


def _spelled(config: pytest.Config) -> str:
    """Return the name by which the option was given."""
    names = [str(arg).partition("=")[0] for arg in config.invocation_params.args]
    return INVENTORY if INVENTORY in names else LONG_NAMES[INVENTORY]


def _on_command_line(config: pytest.Config) -> bool:
    names = {str(arg).partition("=")[0] for arg in config.invocation_params.args}
    return bool(names & {INVENTORY, LONG_NAMES[INVENTORY]})


def unfit(config: pytest.Config) -> str | None:
    """Return why boards cannot be measured in a session with these options; None if they can.

    A campaign is one process with a queue a board, and its seconds are accounted in pytest-benchmark: what spreads tests
    over processes, or takes pytest-benchmark away, is refused before a board is touched.
    """
    option: Any = config.option
    spread = _spread(config)
    if spread is not None:
        return (
            f"{spread} does not go with boards: they already run in parallel, one queue a board in this process;"
            " several processes would fight for the same boards, and pytest-benchmark disables itself."
            " Leave it out (for pytest-xdist: -n 0), or leave out the tests that measure."
        )
    if not any(getattr(plugin, "__name__", "") == "pytest_benchmark.plugin" for plugin in _plugins(config)):
        return (
            "pytest-benchmark is not loaded, and the boards' seconds are accounted there. Leave out"
            " `-p no:benchmark`; where PYTEST_DISABLE_PLUGIN_AUTOLOAD or --disable-plugin-autoload is set, add"
            " `-p benchmark`"
        )
    if getattr(option, "benchmark_skip", False) and not getattr(option, "benchmark_only", False):
        return "--benchmark-skip leaves out every test that measures: leave it out, or the inventory"
    return None


def _plugins(config: pytest.Config) -> Iterable[object]:
    return config.pluginmanager.get_plugins()


def _spread(config: pytest.Config) -> str | None:
    """Return the option that would run tests in other processes; None if they run in this one."""
    option: Any = config.option
    if hasattr(config, "workerinput"):
        return "pytest-xdist"
    if getattr(option, "numprocesses", None):
        return "-n (pytest-xdist)"
    if getattr(option, "tx", None) and getattr(option, "dist", "no") != "no":
        return "--tx (pytest-xdist)"
    if getattr(option, "looponfail", False):
        return "--looponfail (pytest-xdist)"
    if getattr(option, "forked", False):
        return "--forked (pytest-forked)"
    return None
