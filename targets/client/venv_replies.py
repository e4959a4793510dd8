"""What a board answers about virtual environments: see :mod:`tunebench.targets.agent.environment.venvs`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tunebench.targets.client.replies import Interpreter, Name, Number, Reply, Text


class PythonFacts(Reply):
    """What the Python says of itself that an environment will be made with.

    Attributes:
        short: major.minor.
        tag: of wheels, e.g. ``cp311``.
        bits: of its pointers.
        glibc: version of the C library; ``None``: another C library.
        venv: it has the module; likewise ``ensurepip``.
        libstdcxx: ``libstdc++.so.6`` can be loaded; ``None``: not asked.
    """

    version: Name
    short: Name
    executable: Name
    venv: bool
    ensurepip: bool = False
    tag: Name | None = None
    bits: int = 64
    machine: Name = ""
    glibc: Name | None = None
    libstdcxx: bool | None = None


class Distribution(Reply):
    """The board's ``/etc/os-release``."""

    id: Name | None = None
    id_like: Name | None = None
    version_id: Name | None = None
    pretty_name: Name | None = None


class BuildState(Reply):
    """What is recorded of earlier builds of an environment; empty before the first.

    Attributes:
        complete: label of what was installed and works.
        failed: label -> why it does not run on this board.
    """

    python: list[Name] | None = None
    complete: Name | None = None
    failed: dict[Name, Text | None] = Field(default_factory=dict, max_length=1000)
    interpreter: Interpreter | None = None


class VenvFacts(Reply):
    """What decides on an environment, and what is there already.

    Attributes:
        venv: the environment's folder on the board.
        disk_free_b: bytes below the working directory.
        lse: all ARM cores have the atomics of ARMv8.1; ``None`` on other machines.
        building: a build is at work.
        noexec: the mount point of the working directory's file system, if programs may not be run from it.
        wheels: names of the wheels that lie ready.
    """

    python: PythonFacts
    venv: Name
    distro: Distribution = Distribution()
    disk_free_b: int
    lse: bool | None = None
    jetpack: Name | None = None
    state: BuildState = BuildState()
    building: bool = False
    noexec: Name | None = None
    wheels: Annotated[list[Name], Field(max_length=10_000)] = Field(default_factory=list)


class BuildEvent(Reply):
    """One event of a build: ``begun``, ``step``, ``progress`` or ``alive``.

    Attributes:
        n: the step's number, of ``of``.
        done_before: an earlier build has done this step.
        written_b: bytes that the step has written so far, after ``seconds``.
    """

    event: Name | None = None
    pid: int | None = None
    n: int | None = None
    of: int | None = None
    title: Name | None = None
    done_before: bool = False
    written_b: int | None = None
    seconds: Number | None = None


class BuildEnd(Reply):
    """How a build ended.

    Attributes:
        kind: of the failure: ``environment``, ``download``, ``install``, ``import``, ``check``,
            ``sigill`` or ``died``.
        interpreter: the new environment's, where it came to look at it.
    """

    ok: bool = False
    kind: Name | None = None
    reason: Text | None = None
    interpreter: Interpreter | None = None
