"""Starts, watches and ends an emulated board. Everything of one board lies in one folder; no root is needed.

A board is one QEMU process. Whether a process is ours is told by its command line, which names our pid file: a
process id alone may have been given to another.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tunebench.targets.errors import TargetError
from tunebench.targets.transport.endpoint import Endpoint, Timeouts
from tunebench.targets.transport.ssh import Ssh
from tunebench.targets.virtual.qemu import BOOT_S, recipe
from tunebench.targets.virtual.qemu.errors import EmulationError, InUseError, MissingError
from tunebench.targets.virtual.qemu.image import Image, Tell, apt_line

Machine = Literal["raspi3b", "virt"]
MACHINES: tuple[Machine, ...] = ("raspi3b", "virt")

HOST = "127.0.0.1"
SOFT_S = 90.0
#: Everything on an emulated board is slow, the more so while the host is busy.
TIMEOUTS = Timeouts(connect_s=20.0, banner_s=60.0, auth_s=60.0, channel_s=60.0, command_s=240.0)
_QEMU = "qemu-system-aarch64"
_STATE = "state.json"
_NOTICE_S = 15.0


@dataclass(frozen=True)
class State:
    """What was started.

    Attributes:
        image: folder of the image that its card was copied from.
        started_utc: when QEMU was started; a reboot of the guest does not change it.
    """

    board_id: str
    machine: Machine
    pid: int
    port: int
    image: str
    started_utc: str


@dataclass(frozen=True)
class Status:
    """What is known of a board now; ``login`` is ``None`` where it was not tried."""

    state: State | None
    running: bool
    login: bool | None
    reason: str | None = None


def state_folder(board_id: str) -> Path:
    """Return where a board's card, logs and state lie: below ``$XDG_STATE_HOME`` or ``~/.local/state``."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))  # a relative one is to be ignored (XDG specification)
    return (
        (base if base.is_absolute() else Path.home() / ".local" / "state")
        / "tunebench"
        / "emulated"
        / board_id
    )


class EmulatedBoard:
    """One emulated board and its folder."""

    def __init__(self, folder: Path, board_id: str) -> None:
        self.folder = folder
        self.board_id = board_id

    @property
    def disk(self) -> Path:
        """Return the path of this board's own card."""
        return self.folder / "disk.img"

    @property
    def serial_log(self) -> Path:
        """Return the path of the log of what the guest's kernel and init print."""
        return self.folder / "serial.log"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def inventory(self) -> Path:
        """Return where the inventory entry is written by default."""
        return self.folder / "lab.toml"

    @property
    def _pid_file(self) -> Path:
        return self.folder / "qemu.pid"

    # -- up ---------------------------------------------------------------------------------------

    def up(
        self,
        image: Image,
        tell: Tell,
        *,
        machine: Machine = "raspi3b",
        port: int | None = None,
        keep_disk: bool = False,
        boot_s: float = BOOT_S,
    ) -> State:
        """Start the board and wait until it can be logged in to; one that is up is left as it is.

        Args:
            port: on 127.0.0.1; None: a free one.
            keep_disk: go on with the card of the last run, as after a power cut; else a fresh copy.

        Raises:
            MissingError: QEMU is not installed.
            EmulationError: the port is taken, QEMU ended, or nobody could log in within ``boot_s``.
        """
        if shutil.which(_QEMU) is None:
            raise MissingError(f"{_QEMU} is not installed: {apt_line(['qemu-system-arm'])}")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            running = self.state()
            if running is not None:
                self._check_same(running, machine, port)
                tell(f"{self.board_id} is up already (pid {running.pid}, port {running.port})")
                return running
            self._card(image, keep_disk)
            state = self._start(image, machine, port or _free_port())
        tell(f"{machine} started: pid {state.pid}, port {state.port}; waiting for a login")
        self._await_login(state, tell, boot_s)
        return state

    def _check_same(self, running: State, machine: Machine, port: int | None) -> None:
        if running.machine != machine or port not in (None, running.port):
            raise InUseError(
                f"{self.board_id} is up as {running.machine} on port {running.port}; end it first:"
                f" `{self._down_command()}`, or start another beside it: `{self._other_command()}`"
            )

    def _card(self, image: Image, keep_disk: bool) -> None:
        if keep_disk and self.disk.is_file():
            return
        # Raw and not an overlay: QEMU's SD model never flushes, so a killed one loses an overlay's tables with the data.
        copy = self.disk.with_suffix(".part")
        self._run(["cp", "--sparse=always", "--reflink=auto", str(image.disk), str(copy)], "copying the card")
        copy.rename(self.disk)

    def _start(self, image: Image, machine: Machine, port: int) -> State:
        self.known_hosts.write_text(f"[{HOST}]:{port} {image.host_key}\n", encoding="ascii")
        self._pid_file.unlink(missing_ok=True)
        self.serial_log.write_bytes(b"")
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        state = State(self.board_id, machine, 0, port, str(image.path), started)
        # Before QEMU: whoever kills us after its start still finds what was started.
        part = self.folder / f"{_STATE}.part"
        part.write_text(json.dumps(asdict(state)), encoding="utf-8")
        part.rename(self.folder / _STATE)
        self._run(self._command(image, machine, port), "starting QEMU")
        return replace(state, pid=self._pid())

    def _pid(self) -> int:
        """Return the process that QEMU wrote down; 0 if it has not, or has ended."""
        try:
            return int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def _command(self, image: Image, machine: Machine, port: int) -> list[str]:
        raspi = machine == "raspi3b"
        append = [
            "ro",
            "panic=10",
            "mitigations=off",
            "nokaslr",
            "audit=0",
            "net.ifnames=0",
            "loglevel=4",
            f"console={'ttyS1,115200' if raspi else 'ttyAMA0'}",
            f"board.family={'raspi' if raspi else 'virt'}",
            f"board.root={'/dev/mmcblk0' if raspi else '/dev/vda'}",
        ]
        drive = f"file={_escaped(self.disk)},format=raw,cache=unsafe"
        serial = f"file:{self.serial_log}"
        if raspi:
            hardware = ["-M", "raspi3b", "-dtb", str(image.device_tree), "-drive", f"{drive},if=sd"]
            hardware += ["-device", "usb-net,netdev=net0", "-serial", "null", "-serial", serial]
        else:
            hardware = ["-M", "virt", "-cpu", "cortex-a53", "-m", "1024", "-smp", "4"]
            hardware += ["-drive", f"{drive},if=none,id=card", "-device", "virtio-blk-pci,drive=card"]
            hardware += ["-device", "virtio-net-pci,netdev=net0,romfile=", "-device", "virtio-rng-pci"]
            hardware += ["-serial", serial]
        return [
            _QEMU,
            *hardware,
            *("-name", f"tunebench-{self.board_id}"),
            *("-accel", "tcg,thread=multi,tb-size=256"),
            *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", " ".join(append)),
            *("-netdev", f"user,id=net0,hostfwd=tcp:{HOST}:{port}-:22"),
            *("-display", "none", "-monitor", "none", "-pidfile", str(self._pid_file), "-daemonize"),
        ]

    def _run(self, argv: list[str], doing: str) -> None:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EmulationError(f"{self.board_id}: {doing}: {done.stderr.strip()[-500:] or 'failed'}")

    def _await_login(self, state: State, tell: Tell, boot_s: float) -> None:
        began_s = time.monotonic()
        notice_s = _NOTICE_S
        while True:
            reason = self.try_login(state)
            waited_s = time.monotonic() - began_s
            if reason is None:
                tell(f"logged in after {waited_s:.1f} s")
                return
            if not self._is_ours(state.pid):
                raise EmulationError(
                    f"{self.board_id}: QEMU has ended while it booted; {self._serial_tail()}"
                )
            if waited_s > boot_s:
                raise EmulationError(
                    f"{self.board_id}: no login within {boot_s:g} s ({reason}); it is still running: end it with"
                    f" `{self._down_command()}`; {self._serial_tail()}"
                )
            if waited_s > notice_s:
                tell(f"booting, {waited_s:.0f} s (last line of its console: {self._last_line()})")
                notice_s += _NOTICE_S
            time.sleep(1.0)

    def _other_command(self) -> str:
        return shlex.join(["tunebench", "emulate", "raspi3b", "up", "--name", f"{self.board_id}-2"])

    def _down_command(self) -> str:
        words = ["tunebench", "emulate", "raspi3b", "down", "--hard", "--name", self.board_id]
        return shlex.join([*words, "--state", str(self.folder)])

    def _last_line(self) -> str:
        lines = self.serial_log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][-100:] if lines else "none yet"

    def _serial_tail(self) -> str:
        lines = self.serial_log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-8:]
        return f"console ({self.serial_log}):\n" + ("\n".join(lines) or "nothing")

    # -- status -----------------------------------------------------------------------------------

    def state(self) -> State | None:
        """Return what runs, or ``None`` (also after the process has ended)."""
        try:
            record: dict[str, Any] = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            state = replace(State(**record), pid=self._pid())
        except (OSError, ValueError, TypeError):
            return None
        return state if self._is_ours(state.pid) else None

    def status(self) -> Status:
        """Tell whether the process is there and whether one can log in."""
        state = self.state()
        if state is None:
            return Status(None, running=False, login=None, reason="not started, or ended")
        reason = self.try_login(state)
        return Status(state, running=True, login=reason is None, reason=reason)

    def _is_ours(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self._pid_file) in words

    # -- reaching it ------------------------------------------------------------------------------

    def endpoint(self, state: State, timeouts: Timeouts = TIMEOUTS) -> Endpoint:
        """Return how to log in to the board."""
        return Endpoint(
            host=HOST,
            user=recipe.USER,
            port=state.port,
            key_file=str(Image(Path(state.image)).key),
            known_hosts=str(self.known_hosts),
            ssh_config="",
            timeouts=timeouts,
        )

    def try_login(self, state: State) -> str | None:
        """Log in and run something; return the reason if that fails (QEMU accepts connections before the guest does)."""
        quick = Timeouts(connect_s=5.0, banner_s=10.0, auth_s=20.0, channel_s=20.0, command_s=20.0)
        try:
            with Ssh(self.endpoint(state, quick)) as ssh:
                ssh.run(["true"])
        except TargetError as error:
            return str(error)
        return None

    def inventory_text(self, state: State) -> str:
        """Return the board as a whole inventory file."""
        text = json.dumps  # a TOML basic string is written like a JSON one
        kind = "raspberry-pi" if state.machine == "raspi3b" else "linux"
        waits = {**asdict(TIMEOUTS), "comeback_s": BOOT_S}
        timeouts = ", ".join(f"{name} = {value}" for name, value in waits.items())
        return f"""\
# An emulated board ({state.machine}): its times are not a board's. Written by `tunebench emulate raspi3b up`.
[lab]
name = "emulated"

[[board]]
id = {text(state.board_id)}
kind = "{kind}"
emulated = true
host = "{HOST}"
port = {state.port}
user = "{recipe.USER}"
key = {text(str(Image(Path(state.image)).key))}
known_hosts = {text(str(self.known_hosts))}
host_keys = "verify"
gates = "warn"
timeouts = {{ {timeouts} }}
capabilities = {{ ram_gb = 0.89 }}
tags = ["emulated"]
"""

    # -- down -------------------------------------------------------------------------------------

    def down(self, tell: Tell, *, hard: bool = False) -> bool:
        """End the board: power it off, or with ``hard`` cut its power.

        Returns:
            Whether there was one.
        """
        if not self.folder.is_dir():
            return False
        with self._locked():
            state = self.state()
            if state is None:
                return False
            if hard:
                tell(f"cutting the power (pid {state.pid})")
                self._kill(state.pid, signal.SIGKILL)
            else:
                self._power_off(state, tell)
            (self.folder / _STATE).unlink(missing_ok=True)
        return True

    def _power_off(self, state: State, tell: Tell) -> None:
        tell("powering off")
        try:
            with Ssh(self.endpoint(state)) as ssh:
                ssh.run(["sudo", "-n", "/usr/sbin/poweroff"], timeout_s=20.0)
        except TargetError as error:
            tell(f"it does not take orders ({error}); ending QEMU")
        else:
            if self._gone(state.pid, SOFT_S):
                return
            tell("it did not switch itself off; ending QEMU")
        self._kill(state.pid, signal.SIGTERM)
        if not self._gone(state.pid, 10.0):
            self._kill(state.pid, signal.SIGKILL)

    def _kill(self, pid: int, number: signal.Signals) -> None:
        if self._is_ours(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            self._gone(pid, 10.0)

    def _gone(self, pid: int, timeout_s: float) -> bool:
        return _until(lambda: not self._is_ours(pid) and not _is_dying(pid), timeout_s)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise EmulationError(f"{self.board_id}: another `up` or `down` of it is running") from None
            yield


def _is_dying(pid: int) -> bool:
    """Tell whether a killed process has given up its memory, and so its name, but not yet its files and ports."""
    try:
        nameless = not Path(f"/proc/{pid}/cmdline").read_bytes()
        return nameless and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _until(done: Callable[[], bool], timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.1)
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _escaped(path: Path) -> str:
    """Double the commas of a path: an option's value is written so."""
    return str(path).replace(",", ",,")
