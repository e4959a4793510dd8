"""The board's wall clock: stepped by an hour in the middle of a campaign."""

from __future__ import annotations

import shutil
import subprocess

from tests.faults.host import ROOT
from tests.faults.scene import Fault, Scene
from tests.faults.site import PYTHON

#: A fake that steps CLOCK_REALTIME for whoever is started with it preloaded; the other clocks are the kernel's.
_SOURCE = ROOT / "tests" / "harness" / "campaign" / "fake_clock.c"


class Stepped(Fault):
    """Every process of the board sees a wall clock that jumps ahead by an hour at a random moment, and stays there."""

    name = "board-clock-stepped"
    family = "clock"

    def impossible(self) -> str | None:
        return None if _compiler() else "a C compiler must build the fake clock"

    def prepare(self, scene: Scene) -> None:
        folder = scene.folder / "clock"
        folder.mkdir()
        library, python = folder / "fake_clock.so", folder / "python3"
        subprocess.run([_compiler() or "cc", "-shared", "-fPIC", "-o", library, _SOURCE], check=True)
        python.write_text(
            f'#!/bin/sh\nFAKE_CLOCK_STEP={folder}/stepped LD_PRELOAD={library} exec {PYTHON} "$@"\n'
        )
        python.chmod(0o755)
        scene.site.python = str(python)

    def strike(self, scene: Scene) -> None:
        (scene.folder / "clock" / "stepped").touch()


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


FAULTS: tuple[Fault, ...] = (Stepped(),)
