"""Find the inventory where none was named: in this folder, by a variable, in the user's configuration folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tunebench.harness.errors import UsageError
from tunebench.harness.hints import command

#: Its name in this folder and in the configuration folder.
FILE = "lab.toml"
VARIABLE = "TUNEBENCH_INVENTORY"
#: What ``--help`` says of the default.
ORDER = f"./{FILE}, then ${VARIABLE}, then ~/.config/tunebench/{FILE}"


@dataclass(frozen=True)
class FoundInventory:
    """An inventory that nobody named.

    Attributes:
        why: where it was found, in words.
    """

    path: Path
    why: str

    @property
    def sentence(self) -> str:
        """Return what the user is told: which file was used, and why this one."""
        return f"inventory: {self.path} ({self.why})"


def find_inventory() -> FoundInventory:
    """Return the inventory of this folder, else that of :data:`VARIABLE`, else the user's own.

    Raises:
        UsageError: there is none; or the variable names a file that is not there, which is never passed over in silence.
    """
    here = Path(FILE)
    if here.is_file():
        return FoundInventory(here, "in this folder")
    named = os.environ.get(VARIABLE, "")
    if named:
        path = Path(named).expanduser() if named.startswith("~") else Path(named)
        if not path.is_file():
            raise UsageError(f"{VARIABLE}={named}: no such file; correct the variable, or unset it")
        return FoundInventory(path, f"named by {VARIABLE}")
    own = config_folder() / FILE
    if own.is_file():
        return FoundInventory(own, "in the configuration folder")
    raise UsageError(
        f"no inventory: neither ./{FILE} nor {own}, and {VARIABLE} is not set."
        f" `{command('init')}` writes one, `{command('init', '--loopback')}` one of this machine alone;"
        " --inventory (-i) names another"
    )


def config_folder() -> Path:
    """Return ``$XDG_CONFIG_HOME/tunebench`` (an absolute path, by that specification), else the one below ~/.config."""
    named = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    base = named if named.is_absolute() else Path("~/.config").expanduser()
    return base / "tunebench"
