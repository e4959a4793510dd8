"""First contact: check a board, make a virtual environment on it, put the torch there that fits, and what is asked for.

No root, nothing outside the board's working directory. Each step is recorded on the board: a second run goes on
where the first ended, and does nothing where nothing is left.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.environment import owner
from tunebench.harness.board.link import Link
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.errors import EXIT_OK, EXIT_PARTIAL, HarnessError
from tunebench.harness.hints import command
from tunebench.harness.lab import wheelhouse
from tunebench.harness.lab.wheelhouse import Download
from tunebench.targets.boards import kind_of
from tunebench.targets.boards.additions import Addition, choose_addition
from tunebench.targets.boards.runtime_wheels import choose_runtime
from tunebench.targets.boards.wheels import Choice, Facts, Flavour, Wheel, choose
from tunebench.targets.client.board import LONGEST_BUILD_S, Board
from tunebench.targets.client.replies import Interpreter, Owner
from tunebench.targets.client.venv_replies import BuildEnd, BuildEvent, Distribution, PythonFacts, VenvFacts
from tunebench.targets.errors import ConditionError, TargetError

#: Bytes that must be free: wheels, their unpacked form and pip's copy meet on the disk for a while.
NEED_B: Mapping[str, int] = {"none": 64 << 20, "cpu": 1500 << 20, "jetson": 4000 << 20}
#: A lease for as long as the slowest board unpacks the largest wheel.
LEASE_S = 3600.0
#: Over all links together.
BUILD_LIMIT_S = LONGEST_BUILD_S
_NAMES = {"cpu": "torch-cpu", "jetson": "torch-jetson", "none": "no-torch"}
_DEBIANS = ("debian", "ubuntu", "raspbian")
_MB = 1e6
#: Between the parts of what an environment holds, as its board records it: torch first.
_BESIDE = " + "


class Refusal(HarnessError):
    """The board was reached, and cannot be set up as asked; the message says what would help."""

    exit_code = EXIT_PARTIAL


@dataclass(frozen=True)
class Wish:
    """What a user asked for.

    Attributes:
        additions: names of the table of wheels, brought beside torch.
        runtime: one of the table of wheels, put into the same environment; None: none.
    """

    flavour: Flavour
    offline: bool = False
    python: str | None = None
    index: str | None = None
    cache: Path = field(default_factory=wheelhouse.default_cache)
    additions: tuple[str, ...] = ()
    runtime: str | None = None


@dataclass(frozen=True)
class Beside:
    """What is put beside torch, or without it, into a board's environment.

    Attributes:
        label: the package with its version, as the environment records it.
        requires: requirements; the package itself first.
        imports: modules that must be importable afterwards.
        disk_b: what it takes unpacked.
    """

    label: str
    requires: tuple[str, ...]
    imports: tuple[str, ...]
    disk_b: int


@dataclass(frozen=True)
class SetupResult:
    """A set-up board.

    Attributes:
        python: the interpreter's path on the board.
        torch: its version; ``None`` without one.
        additions: what stands beside torch, with versions.
        changed: whether anything was done.
        notes: what else a user should know.
    """

    board_id: str
    python: str
    torch: str | None
    cuda: bool
    changed: bool
    notes: tuple[str, ...] = ()
    additions: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """Return the line that belongs into the inventory."""
        return f'interpreter = "{self.python}"'

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "board_id": self.board_id,
            "interpreter": self.python,
            "torch": self.torch,
            "cuda": self.cuda,
            "additions": list(self.additions),
            "changed": self.changed,
            "notes": list(self.notes),
            "inventory_line": self.line,
            "exit_code": EXIT_OK,
        }


def default_flavour(entry: BoardEntry) -> Flavour:
    """Return which torch a board gets by default."""
    return kind_of(entry.kind).torch


def set_up(entry: BoardEntry, wish: Wish, say: Callable[[str], None]) -> SetupResult:
    """Set a board up.

    Raises:
        Refusal: it cannot be done; nothing of the board outside its working directory was touched.
        TargetError: the board cannot be reached or used.
    """
    payload = build_payload()
    with Board(entry.spec()) as board:
        say("connected")
        link = Link(board, threading.Event(), [payload], say, condition_patience_s=0.0)
        link.sync()
        # Unpacking torch would spoil what somebody measures. One token for this account: a set-up that was cut off
        # is gone on with, not waited for.
        me = owner("setup")
        me = me.model_copy(update={"token": f"setup-{me.user}@{me.host}"})
        try:
            link.occupy(me, LEASE_S)
        except ConditionError as error:
            raise Refusal(
                f"{error}; `{command('release', entry.id, '--force', inventory=True)}` ends a lease that nobody needs"
            ) from error
        try:
            return _Setup(link, wish, say).run()
        finally:
            _give_back(board, me, say)


def _give_back(board: Board, me: Owner, say: Callable[[str], None]) -> None:
    """Give the lease back if the board answers; if not, it expires."""
    try:
        board.release(me)
    except TargetError as error:
        say(f"the lease was not given back, it will expire: {error}")


class _Setup:
    """The set-up of one board.

    Every question to the board may be asked again: a broken link costs a new connection, nothing else.
    """

    def __init__(self, link: Link, wish: Wish, say: Callable[[str], None]) -> None:
        self._link = link
        self._board = board = link.board
        self._wish = wish
        self._say = say
        self._name = _NAMES[wish.flavour]
        self._python = shlex.split(wish.python or board.spec.python)
        self._facts = link.persist(lambda: board.venv_facts(self._python, self._name))

    def run(self) -> SetupResult:
        self._say(describe(self._facts))
        if self._facts.noexec is not None:
            raise Refusal(
                f"the working directory lies on {self._facts.noexec}, which is mounted noexec: torch's libraries could"
                " not be loaded from it. Set workdir in the inventory to a folder that allows it"
            )
        if self._wish.flavour == "jetson" and self._wish.runtime is None:
            done = self._already_there()
            if done is not None:
                return done
        failed = set(self._facts.state.failed)
        while True:
            choice = choose(self._wish.flavour, facts_of(self._facts), failed)
            wheel = choice.wheels[0] if choice.wheels else None
            if wheel is None and self._wish.flavour != "none":
                raise Refusal(self._why_not(choice))
            beside = self._beside(wheel.torch if wheel is not None else None)
            recipe = make_recipe(wheel, self._python, self._wish, facts_of(self._facts), beside)
            if self._is_built(recipe):
                return self._outcome(wheel, self._facts.state.interpreter, beside, changed=False)
            end = self._build(wheel, recipe, beside)
            if end.ok:
                return self._outcome(wheel, end.interpreter, beside, changed=True)
            if end.kind != "sigill" or wheel is None:
                again = self._command(), self._command(offline=True)
                raise Refusal(explain(end, self._facts, wheel, again, offline=self._wish.offline))
            failed.add(wheel.torch)
            self._say(f"torch {wheel.torch} dies on this board by SIGILL: trying the next older one")

    # -- inside -----------------------------------------------------------------------------------

    def _already_there(self) -> SetupResult | None:
        """Return NVIDIA's torch of the system if there is one: then nothing is built."""
        self._say("looking for a torch with CUDA in the system's Python")
        interpreter = self._probe(self._python)
        if not (interpreter.torch and interpreter.cuda):
            self._say(f"none there: {interpreter.reason or 'its torch has no CUDA device'}")
            return None
        python = str(interpreter.executable)
        missing = [
            row for row in self._beside(interpreter.torch) if not _importable(interpreter, row.imports)
        ]
        if missing:
            wanted = " ".join(f"'{what}'" for row in missing for what in row.requires)
            raise Refusal(
                f"torch {interpreter.torch} with CUDA is part of the system, and nothing is installed into that: on the"
                f" board, once: {python} -m pip install --user --no-deps {wanted}"
            )
        note = f"torch {interpreter.torch} with CUDA is part of the system: nothing was installed"
        return SetupResult(self._board.spec.id, python, interpreter.torch, True, False, (note,))

    def _why_not(self, choice: Choice) -> str:
        reasons = "\n  ".join(choice.reasons)
        for flavour in ("none", "cpu"):
            reasons = reasons.replace(f"use --torch {flavour}", f"use `{self._command(torch=flavour)}`")
        return f"no torch of the table fits this board:\n  {reasons}"

    def _beside(self, torch: str | None) -> list[Beside]:
        """Return what was asked for beside torch.

        Raises:
            Refusal: no wheel can be; nothing was fetched yet.
        """
        rows = []
        for name in self._wish.additions:
            row = choose_addition(name, facts_of(self._facts), torch)
            if isinstance(row, str):
                raise Refusal(f"--with {name}: {row}")
            rows.append(_beside_of(row))
        if self._wish.runtime is not None:
            rows.append(runtime_beside(self._wish.runtime, facts_of(self._facts)))
        return rows

    def _command(self, *, torch: str | None = None, offline: bool | None = None) -> str:
        """Return the command that sets this board up as it was asked for, or with something else in its place."""
        wish = self._wish
        words = ["setup", self._board.spec.id, "--torch", torch or wish.flavour]
        words += ["--runtime", wish.runtime] if wish.runtime else []
        words += ["--offline"] if (wish.offline if offline is None else offline) else []
        words += ["--python", wish.python] if wish.python else []
        words += ["--index-url", wish.index] if wish.index else []
        words += [word for name in wish.additions for word in ("--with", name)]
        return command(*words, inventory=True)

    def _build(self, wheel: Wheel | None, recipe: Mapping[str, Any], beside: Sequence[Beside]) -> BuildEnd:
        self._check(wheel, beside)
        if self._wish.offline and recipe["downloads"]:
            self._bring(wheel, beside)
            recipe = {**recipe, "downloads": []}
        give_up_s = time.monotonic() + BUILD_LIMIT_S

        def follow() -> BuildEnd:  # over a new link it goes on, and its time does not begin anew
            left_s = give_up_s - time.monotonic()
            return self._board.build_venv(self._name, recipe, Progress(self._say), left_s)

        return self._link.persist(follow)

    def _probe(self, python: Sequence[str]) -> Interpreter:
        return self._link.persist(lambda: self._board.probe([python])).interpreters[0]

    def _is_built(self, recipe: Mapping[str, Any]) -> bool:
        """Tell whether the same recipe, or one that holds more, was built before and still works."""
        state = self._facts.state
        complete = (state.complete or "").split(_BESIDE)
        wanted = recipe["label"].split(_BESIDE)
        same = state.python == recipe["python"] and complete[0] == wanted[0] and set(wanted) <= set(complete)
        if not same or self._facts.building:
            return False
        self._say("recorded as done; looking whether it still works")
        interpreter = self._probe([self._facts.venv + "/bin/python"])
        works = interpreter.torch or recipe["expect"] == "python"
        return bool(
            interpreter.ok
            and not interpreter.sigill
            and works
            and _importable(interpreter, recipe["imports"])
        )

    def _check(self, wheel: Wheel | None, beside: Sequence[Beside]) -> None:
        """Check, before anything is fetched, what would fail later.

        Raises:
            Refusal: names the one thing to do.
        """
        python, installs = self._facts.python, wheel is not None or bool(beside)
        if not python.venv or (installs and not python.ensurepip):
            raise Refusal(venv_missing(python, self._facts.distro))
        if installs and python.libstdcxx is False:
            what = "torch" if wheel is not None else beside[0].label
            raise Refusal(f"{what} needs libstdc++.so.6. " + _once(self._facts.distro, "libstdc++6"))
        need_b = NEED_B[self._wish.flavour] + sum(row.disk_b for row in beside)
        free_b = self._facts.disk_free_b
        if free_b < need_b:
            raise Refusal(
                f"{free_b / _MB:.0f} MB are free below the board's working directory, {need_b / _MB:.0f} MB are"
                " needed: free some, or set the inventory's `workdir` to a larger disk"
            )

    def _bring(self, wheel: Wheel | None, beside: Sequence[Beside]) -> None:
        """Fetch the wheels here and push them; not torch once more where it is there and something is put beside it."""
        facts = facts_of(self._facts)
        torch = (self._facts.state.complete or "").split(_BESIDE)[0]
        wanted = downloads_beside(beside, self._wish.index)
        if wheel is not None and torch != wheel.torch:
            wanted = [*downloads_of(wheel, facts.python, self._wish.index), *wanted]
        paths = wheelhouse.fetch(wanted, facts, self._wish.cache, self._say)
        present = self._facts.wheels
        pushed_b = self._link.persist(
            lambda: wheelhouse.push(self._board, self._name, paths, present, self._say)
        )
        self._say(f"{len(paths)} wheels on the board, {pushed_b / _MB:.1f} MB pushed now")

    def _outcome(
        self,
        wheel: Wheel | None,
        interpreter: Interpreter | None,
        beside: Sequence[Beside],
        *,
        changed: bool,
    ) -> SetupResult:
        interpreter = interpreter or Interpreter()
        notes = []
        if not changed:
            notes.append("nothing to do: it was set up before, and works")
        if self._wish.flavour == "jetson" and not interpreter.cuda:
            apt = f"; it needs: sudo apt install {' '.join(wheel.apt)}" if wheel and wheel.apt else ""
            notes.append(f"torch is there, but finds no CUDA device{apt}")
        if wheel is None and not beside:
            notes.append("no torch: the native engine and own commands run with this Python")
        return SetupResult(
            self._board.spec.id,
            self._facts.venv + "/bin/python",
            interpreter.torch,
            bool(interpreter.cuda),
            changed,
            tuple(notes),
            tuple(row.label for row in beside),
        )


def _importable(interpreter: Interpreter, modules: Sequence[str]) -> bool:
    return set(modules) <= set(interpreter.packages or ())


def facts_of(facts: VenvFacts) -> Facts:
    """Return those facts of a board that decide which wheel fits it."""
    python = facts.python
    return Facts(
        python=python.short,
        machine=python.machine,
        bits=python.bits,
        glibc=python.glibc,
        lse=facts.lse if python.machine == "aarch64" else None,
        jetpack=facts.jetpack,
    )


def describe(facts: VenvFacts) -> str:
    """Return the facts in one line."""
    python = facts.python
    libc = f"glibc {python.glibc}" if python.glibc else "no glibc"
    parts = [f"Python {python.version} ({python.tag}, {python.bits} bits)", f"{python.machine}, {libc}"]
    if facts_of(facts).lse is False:
        parts.append("cores without LSE atomics")
    if facts.jetpack:
        parts.append(f"JetPack {facts.jetpack}")
    parts.append(f"{facts.disk_free_b / _MB:.0f} MB free")
    return ", ".join(parts)


def downloads_of(wheel: Wheel, python: str, index: str | None) -> list[Download]:
    """Return the requirements to download; only torch itself comes from the table's own index."""
    torch, *others = wheel.requirements(python)
    own = ("--index-url", wheel.index) if wheel.index else ()
    mirror = ("--index-url", index) if index else None
    return [Download(torch, mirror or own), *(Download(other, mirror or ()) for other in others)]


def downloads_beside(beside: Sequence[Beside], index: str | None) -> list[Download]:
    """Return the requirements to download for what stands beside torch."""
    mirror = ("--index-url", index) if index else ()
    return [Download(what, mirror) for what in dict.fromkeys(what for row in beside for what in row.requires)]


def runtime_beside(name: str, facts: Facts) -> Beside:
    """Return what of PyPI a runtime needs on a board: the one wheel of it that fits, and what that imports.

    Raises:
        Refusal: no wheel of it fits the board.
    """
    row = choose_runtime(name, facts)
    if isinstance(row, str):
        raise Refusal(f"no wheel of runtime {name!r} fits this board: {row}")
    return _beside_of(row)


def _beside_of(row: Addition) -> Beside:
    return Beside(row.label, row.requires, row.imports, row.disk_mb << 20)


def make_recipe(
    wheel: Wheel | None,
    python: Sequence[str],
    wish: Wish,
    facts: Facts,
    beside: Sequence[Beside] = (),
) -> dict[str, Any]:
    """Return what the board is told to build: see :func:`tunebench.targets.agent.environment.venv_build.start`."""
    torch = wheel.torch if wheel is not None else None
    downloads = downloads_of(wheel, facts.python, wish.index) if wheel is not None else []
    downloads += downloads_beside(beside, wish.index)
    return {
        "python": list(python),
        "pip": bool(downloads),
        "label": _BESIDE.join([torch or "python", *(row.label for row in beside)]),
        "torch": torch,
        "downloads": [{"what": download.what, "args": list(download.args)} for download in downloads],
        "installs": [f"torch=={torch}", *wheel.requirements(facts.python)[1:]] if wheel is not None else [],
        "beside": [{"label": row.label, "installs": list(row.requires)} for row in beside],
        "expect": "torch" if wheel is not None else "python",
        "imports": [module for row in beside for module in row.imports],
    }


def venv_missing(python: PythonFacts, distro: Distribution) -> str:
    """Return what the board's Python lacks for a virtual environment, and the command that installs it."""
    what = "ensurepip" if python.venv else "venv"
    lacks = f"Python {python.version} ({python.executable}) has no {what}. "
    return lacks + _once(distro, f"python{python.short}-venv", "set `python` to another Python of the board")


def _once(distro: Distribution, package: str, otherwise: str = "") -> str:
    """Return how to install a package: the apt command where there is apt, else in words."""
    family = {str(distro.id), *(distro.id_like or "").split()}
    if family & set(_DEBIANS):
        return f"On the board, once: sudo apt install {package}"
    more = f", or {otherwise}" if otherwise else ""
    return f"Install the system's package that brings it{more}"


def explain(
    end: BuildEnd, facts: VenvFacts, wheel: Wheel | None, again: tuple[str, str], *, offline: bool
) -> str:
    """Return why a build ended, and what would help.

    Args:
        again: the commands that go on with it: as it was asked for, and with wheels that this machine fetches.
    """
    kind, reason = str(end.kind), str(end.reason)
    if kind == "environment" and "ensurepip" in reason:
        return venv_missing(facts.python, facts.distro)
    if kind == "download" and not offline:
        return (
            f"the board could not download: {reason}\n`{again[0]}` goes on from there. If the board has no internet:"
            f" `{again[1]}`; this machine then fetches the wheels and pushes them."
        )
    if kind == "import":
        more = "Install the package that brings it; " if "cannot open shared object file" in reason else ""
        return f"what was installed cannot be imported: {reason}\n{more}`{again[0]}` goes on from there."
    if kind == "check" and wheel is not None and wheel.apt:
        return f"torch does not start: {reason}\n" + _once(facts.distro, " ".join(wheel.apt))
    if kind == "check" and "cannot open shared object file" in reason:
        what_helps = f"Install the package that brings it; `{again[0]}` goes on."
        return f"torch is there, but lacks a library of the system: {reason}\n{what_helps}"
    return f"{kind}: {reason}\n`{again[0]}` goes on from there."


class Progress:
    """A function that turns a build's events into lines for the user."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def __call__(self, event: BuildEvent) -> None:
        if event.event == "step":
            done = ": done before" if event.done_before else ""
            self._say(f"{event.n}/{event.of} {event.title}{done}")
        elif event.event == "progress" and event.written_b is not None and event.seconds is not None:
            self._say(f"  {event.written_b / _MB:.0f} MB after {event.seconds:.0f} s")
