"""The inventory: ``lab.toml`` -> frozen board specs.

A first lab, in ten lines::

    [lab]
    name = "my-lab"

    [[board]]
    id = "pi5-01"
    host = "pi5-01"            # an alias of ~/.ssh/config, a name or an address
    kind = "raspberry-pi"
    tags = ["8gb"]
    capabilities = { ram_gb = 8 }
"""

from __future__ import annotations

import fnmatch
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from tunebench.harness.account import cache_place, home_can_be_written
from tunebench.harness.config.toml import read_toml, validate
from tunebench.harness.errors import UsageError
from tunebench.harness.farm.provider import FarmBoard, FarmError
from tunebench.harness.farm.source import FORM, Pool, Source, parse, provider
from tunebench.targets.boards import KINDS, kind_of
from tunebench.targets.client.connection import DEFAULT_WORKDIR, BoardSpec
from tunebench.targets.meters.keys import HostPath
from tunebench.targets.meters.registry import MeterEntry
from tunebench.targets.transport.endpoint import Timeouts, Transport

if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[*KINDS]

#: A week; sockets take no number of seconds beyond some years.
_MAX_WAIT_S = 7 * 86400.0

#: Stands for the address that a farm will say.
_ANY_HOST = "the-farm-says-it"

_VERSION = r"^[0-9]+(\.[0-9]+)+$"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def is_name(value: str) -> bool:
    """Return whether this may be the id of a board or a lab: it becomes part of file names."""
    return _ID.match(value) is not None


class _Strict(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, allow_inf_nan=False
    )


class Capabilities(_Strict):
    """What a board can do; a workload's ``needs`` are held against it."""

    ram_gb: float | None = Field(default=None, gt=0, description="main memory, GiB")
    gpu: bool = Field(default=False, description="a CUDA device that torch can use")
    machine: str | None = Field(
        default=None, min_length=1, description="as uname -m says; of a 32-bit system armv7l"
    )
    python: str | None = Field(
        default=None, pattern=_VERSION, description="version of the workload's interpreter, as in 3.11"
    )
    glibc: str | None = Field(default=None, pattern=_VERSION, description="version of the C library")


class TimeoutKeys(_Strict):
    """Bounds of the link, in seconds; each wait has its own."""

    connect_s: float = Field(default=10.0, gt=0, le=_MAX_WAIT_S)
    # sshd that asks a dead resolver (UseDNS) takes 30 s for a login; plain ssh waits, too.
    banner_s: float = Field(default=60.0, gt=0, le=_MAX_WAIT_S)
    auth_s: float = Field(default=60.0, gt=0, le=_MAX_WAIT_S)
    channel_s: float = Field(default=10.0, gt=0, le=_MAX_WAIT_S)
    command_s: float = Field(default=60.0, gt=0, le=_MAX_WAIT_S)
    comeback_s: float = Field(
        default=180.0, gt=0, le=_MAX_WAIT_S, description="for a board that has vanished, e.g. to reboot"
    )


class TuningKeys(_Strict):
    """``[board.tuning]``: what is set before a run and put back after it; docs/tuning.md."""

    governor: str | None = Field(default=None, description="of all CPU clusters, e.g. performance")
    freq_khz: int | str | None = Field(default=None, description='CPU clock, fixed: kHz, or "max"')
    min_freq_khz: int | None = Field(default=None, gt=0)
    max_freq_khz: int | None = Field(default=None, gt=0)
    power_mode: str | None = Field(default=None, description="Jetson: a name of /etc/nvpmodel.conf")
    jetson_clocks: bool = Field(default=False, description="Jetson: all clocks at the power mode's maximum")
    drop_caches: bool = False
    required: bool = Field(default=False, description="skip the board where any of it fails")

    @field_validator("governor", "power_mode")
    @classmethod
    def _name_is_a_word(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9_.+-]{1,64}", value):
            raise ValueError(f"{value!r}: expected a name as the board itself uses it")
        return value

    @field_validator("freq_khz", mode="before")
    @classmethod
    def _frequency_is_a_number_or_max(cls, value: Any) -> Any:
        if value is not None and value != "max" and (type(value) is not int or value <= 0):
            raise ValueError(f'expected a number of kHz or "max", got {value!r}')
        return value

    @model_validator(mode="after")
    def _check_clock_keys(self) -> TuningKeys:
        limits = self.min_freq_khz is not None or self.max_freq_khz is not None
        if self.freq_khz is not None and limits:
            raise ValueError(
                "'freq_khz' fixes both limits: it does not go with 'min_freq_khz' or 'max_freq_khz'"
            )
        if self.jetson_clocks and (self.freq_khz is not None or limits):
            raise ValueError("'jetson_clocks' fixes the clocks itself: it does not go with '..._khz'")
        return self

    def wanted(self) -> dict[str, Any]:
        """Return the settings that the board is asked for, key -> value; keys that are not set are left out."""
        values = self.model_dump(exclude={"required"}, exclude_none=True)
        return {key: value for key, value in values.items() if value is not False}


class BoardEntry(_Strict):
    """One ``[[board]]`` of the inventory."""

    id: str
    kind: Kind
    host: str | None = Field(default=None, description="alias of ~/.ssh/config, name or address")
    user: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    key: str | None = Field(default=None, description="private key file; ~ is expanded")
    proxy_jump: str | None = None
    known_hosts: str | None = Field(default=None, description="default: as the ssh config says")
    host_keys: Literal["verify", "accept-new"] | None = Field(
        default=None, description="default: as StrictHostKeyChecking of the ssh config says; else verify"
    )
    transport: Transport = Field(
        default="paramiko", description="who speaks SSH: this process, or the system's ssh (openssh)"
    )
    interpreter: str | list[str] | None = Field(
        default=None, description="runs the workload; a list is a whole command, e.g. docker exec ..."
    )
    python: str | None = Field(default=None, description="runs the agent: any Python >= 3.6")
    workdir: str | None = None
    gates: Literal["enforce", "warn"] = Field(
        default="enforce", description="wait until the board is cool and idle, or only note that it is not"
    )
    patience_s: float = Field(
        default=600.0, gt=0, description="how long to wait for a board that is hot, busy or leased to another"
    )
    max_temp_c: float | None = Field(
        default=None, gt=0, le=150, description="the thermal watchdog ends workloads above it"
    )
    emulated: bool = Field(default=False, description="an emulator: its times are not a board's")
    simulated_root: HostPath | None = Field(
        default=None, description="loopback only: read the sensors below this folder instead of /"
    )
    tags: list[str] = Field(default_factory=list)
    capabilities: Capabilities = Field(default_factory=Capabilities)
    timeouts: TimeoutKeys = Field(default_factory=TimeoutKeys)
    tuning: TuningKeys = Field(default_factory=TuningKeys)
    meter: MeterEntry | None = Field(default=None, description="an external meter, read by the host")
    farm: str | None = Field(default=None, description=f"whose turn it is, a farm says: {FORM} without tags")
    place: str | None = Field(default=None, description="its name there; default: its id")
    power: Literal["none", "place"] = Field(
        default="none",
        description="place: the farm cycles the power of a board that hangs, between two repetitions",
    )
    #: Where a run draws it from, if it is one of several of which a run takes only some.
    _pool: Pool | None = PrivateAttr(default=None)
    _found: bool = PrivateAttr(default=False)

    @property
    def pool(self) -> Pool | None:
        """Return the boards of which this is one, if a run takes only some of them."""
        return self._pool

    @property
    def found(self) -> bool:
        """Return whether a farm told of it; False: it has a table of its own."""
        return self._found

    def as_found(self, pool: Pool | None) -> BoardEntry:
        """Return the same board as one that a farm told of, and of which a run takes only some (None: all)."""
        entry = self.of_pool(pool)
        entry._found = True
        return entry

    def of_pool(self, pool: Pool | None) -> BoardEntry:
        """Return the same board as one of several of which a run takes only some; None: as one that is always taken."""
        entry = self.model_copy()
        entry._pool = pool
        return entry

    @field_validator("farm")
    @classmethod
    def _farm_is_a_source(cls, value: str | None) -> str | None:
        if value is not None and _source(value).tags:
            raise ValueError(f"{value!r}: tags choose boards in a table [[farm]]; one board has a 'place'")
        return value

    @field_validator("id")
    @classmethod
    def _id_is_a_file_name(cls, value: str) -> str:
        if not _ID.match(value):
            raise ValueError(f"{value!r}: use 1-64 letters, digits, '.', '_' or '-', a letter or digit first")
        return value

    @field_validator("interpreter")
    @classmethod
    def _interpreter_is_a_command(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value is not None and (not value or not all(value)):
            raise ValueError("must be a command or a list of its words, none of them empty")
        return value

    @model_validator(mode="after")
    def _remote_boards_have_a_host(self) -> BoardEntry:
        host_itself = kind_of(self.kind).host_itself
        if host_itself and self.host is not None:
            raise ValueError(f"'host' does not go with kind {self.kind!r}: it is this machine")
        if not host_itself and self.simulated_root is not None:
            raise ValueError("'simulated_root' goes with kind 'loopback' only")
        if self.place is not None and self.farm is None:
            raise ValueError("'place' goes with 'farm': the coordinator that knows the place")
        if self.power == "place" and self.farm is None and self.host != _ANY_HOST:
            raise ValueError("power = 'place' goes with 'farm': the coordinator that switches it")
        if not host_itself and not self.host:
            raise ValueError("'host' is missing: an alias of ~/.ssh/config, a name or an address")
        return self

    @property
    def gates_policy(self) -> Literal["enforce", "warn"]:
        """Return what gates do: as the inventory says; by default they only warn on a loopback board (it is busy)."""
        given = "gates" in self.model_fields_set
        return "warn" if kind_of(self.kind).host_itself and not given else self.gates

    def spec(self) -> BoardSpec:
        """Return the same board as the transport sees it."""
        default_python = sys.executable if kind_of(self.kind).host_itself else "python3"
        interpreter = self.interpreter or default_python
        words = (interpreter,) if isinstance(interpreter, str) else tuple(interpreter)
        return BoardSpec(
            id=self.id,
            kind=self.kind,
            host=self.host or "127.0.0.1",
            user=self.user,
            port=self.port,
            key_file=self.key,
            proxy_jump=self.proxy_jump,
            known_hosts=self.known_hosts,
            host_keys=self.host_keys,
            transport=self.transport,
            python=self.python or default_python,
            interpreter=words,
            workdir=self.workdir or self._default_workdir(),
            root=self.simulated_root or "/",
            timeouts=Timeouts(**self.timeouts.model_dump(exclude={"comeback_s"})),
        )

    def _default_workdir(self) -> str:
        """Return the working directory where the inventory gives none.

        A loopback board with the usual one gets a folder of its own below it. Where this machine's home cannot be
        written (a container's nameless user), it lies where our caches lie then.
        """
        if kind_of(self.kind).host_itself and not home_can_be_written():
            return str(cache_place("loopback") / self.id)
        return DEFAULT_WORKDIR


class Lab(_Strict):
    """``[lab]``: whose results these are."""

    name: str = "lab"

    @field_validator("name")
    @classmethod
    def _name_is_a_file_name(cls, value: str) -> str:
        if not _ID.match(value):
            raise ValueError(f"{value!r}: use 1-64 letters, digits, '.', '_' or '-', a letter or digit first")
        return value


def _source(text: str) -> Source:
    try:
        return parse(text)
    except UsageError as error:
        raise ValueError(str(error)) from None


class FarmEntry(BaseModel):
    """One ``[[farm]]``: its source, and keys of ``[[board]]`` that hold for all of its boards."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    source: str = Field(description=FORM)
    count: int | None = Field(
        default=None, ge=1, description="how many of the boards a run takes, whichever are free; default: all"
    )

    @field_validator("source")
    @classmethod
    def _is_a_source(cls, value: str) -> str:
        _source(value)
        return value

    @model_validator(mode="after")
    def _keys_are_a_boards(self) -> FarmEntry:
        for key in _OF_THE_FARM:
            if key in self.keys:
                raise ValueError(f"{key!r} is the farm's to say: leave it out of [[farm]]")
        try:
            BoardEntry.model_validate({"host": _ANY_HOST, **self.keys, "id": "x"})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(
                f"{where}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")
            ) from None
        return self

    @property
    def keys(self) -> dict[str, Any]:
        """Return the keys that hold for all of its boards."""
        return dict(self.model_extra or {})


#: Keys of a board that a farm knows.
_OF_THE_FARM = ("id", "host", "port", "farm", "place")


class Inventory(_Strict):
    """A lab and its boards, in the order of the file."""

    lab: Lab = Field(default_factory=Lab)
    boards: list[BoardEntry] = Field(alias="board", default_factory=list)
    farms: list[FarmEntry] = Field(alias="farm", default_factory=list)

    @model_validator(mode="after")
    def _names_boards(self) -> Inventory:
        if not self.boards and not self.farms:
            given = "boards" in self.model_fields_set
            raise ValueError(
                f"key 'board'{': must have 1 or more entries' if given else ' is missing'}, or [[farm]] those of a farm"
            )
        return self

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Inventory:
        twice = [board_id for board_id, n in Counter(board.id for board in self.boards).items() if n > 1]
        if twice:
            raise ValueError(f"board id {twice[0]!r} is given twice; every board needs an id of its own")
        return self

    def select(self, patterns: str | None) -> list[BoardEntry]:
        """Return the boards whose id or tag matches one of the comma-separated glob ``patterns``.

        A pattern without a wildcard is the name of a board or a tag: one that is not there is a mistake.

        Raises:
            UsageError: no board matches, or none has a name that is given; the message names those there are.
        """
        if patterns is None:
            return list(self.boards)
        known = ", ".join(board.id for board in self.boards)
        wanted = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
        if not wanted:
            raise UsageError(f"--boards {patterns!r}: names no board; the inventory has: {known}")
        chosen = [board for board in self.boards if any(_matches(board, pattern) for pattern in wanted)]
        if not chosen:
            raise UsageError(f"--boards {patterns!r} matches no board id or tag; the inventory has: {known}")
        for pattern in wanted:
            if not any(_matches(board, pattern) for board in self.boards) and not set(pattern) & set("*?["):
                raise UsageError(
                    f"--boards: no board has the id or tag {pattern!r}; the inventory has: {known}"
                )
        return chosen


def _matches(board: BoardEntry, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in (board.id, *board.tags))


def _place(location: tuple[int | str, ...], data: Mapping[str, Any]) -> str:
    """Return the place of an error in words, e.g. ``board 'pi5-01'`` for one inside the third ``[[board]]``."""
    if len(location) >= 2 and location[0] in ("board", "boards") and isinstance(location[1], int):
        entry = data[location[0]][location[1]]
        name = entry.get("id") if isinstance(entry, dict) else None
        return f"board {name!r}" if isinstance(name, str) else f"board number {location[1] + 1}"
    return f"[{location[0]}]" if location else "inventory"


def load_inventory(path: Path) -> Inventory:
    """Read an inventory, validate it, and return it with the paths in it absolute.

    Raises:
        UsageError: with file, board, key and the allowed keys or values.
    """
    inventory = validate(Inventory, read_toml(path, "inventory"), path, _place)
    boards = [*inventory.boards, *(board for farm in inventory.farms for board in _of_farm(farm, path))]
    try:
        # Once more with the farms' boards: their ids are to be unique, too.
        return Inventory(
            lab=inventory.lab, board=[_placed(board, path.parent) for board in boards], farm=inventory.farms
        )
    except ValidationError as error:
        raise UsageError(f"{path}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def farms_of(path: Path) -> list[str]:
    """Return the farms that an inventory names, each once, without asking them.

    Raises:
        UsageError: as :func:`load_inventory`.
    """
    inventory = validate(Inventory, read_toml(path, "inventory"), path, _place)
    named = [
        *(parse(farm.source).farm for farm in inventory.farms),
        *(board.farm for board in inventory.boards),
    ]
    return list(dict.fromkeys(parse(farm).farm for farm in named if farm is not None))


def _of_farm(farm: FarmEntry, path: Path) -> list[BoardEntry]:
    """Ask a farm which boards it has, and return those that are chosen and can be reached.

    Raises:
        UsageError: it has none of them; says why not.
        FarmError: it cannot be asked.
    """
    source = parse(farm.source)
    try:
        chosen = source.choose(provider(source).boards())
    except UsageError as none:
        raise UsageError(f"{path}: {none}") from None
    usable = [board for board in chosen if board.problem is None and is_name(board.name)]
    # What an exporter that is down has may come back: that is no mistake of the inventory.
    enough_if_back = sum(is_name(board.name) for board in chosen) >= (farm.count or 1)
    error = FarmError if enough_if_back else UsageError
    if not usable:
        reasons = "; ".join(
            f"{board.name}: {board.problem or 'its name cannot be that of a file'}" for board in chosen[:5]
        )
        raise error(f"{path}: {farm.source}: has no board for us{f': {reasons}' if reasons else ''}")
    if farm.count is not None and farm.count > len(usable):
        raise error(
            f"{path}: {farm.source}: count = {farm.count}, but only {len(usable)} of its boards can be used"
        )
    pool = Pool(source, farm.count) if farm.count is not None else None
    return [_entry_of(board, farm, source).as_found(pool) for board in usable]


def _entry_of(board: FarmBoard, farm: FarmEntry, source: Source) -> BoardEntry:
    return BoardEntry.model_validate(
        {
            **({"user": board.user} if board.user is not None else {}),
            **farm.keys,
            "id": board.name,
            "host": board.address,
            "port": board.port,
            "farm": source.farm,
            "tags": [*farm.keys.get("tags", []), *(f"{key}:{value}" for key, value in board.tags.items())],
        }
    )


def _placed(board: BoardEntry, folder: Path) -> BoardEntry:
    """Return a board with absolute paths of its simulated tree and meter: the file gives them relative to itself."""
    update: dict[str, Any] = {}
    if board.simulated_root is not None:
        update["simulated_root"] = str((folder / board.simulated_root).resolve())
    if board.meter is not None:
        update["meter"] = board.meter.placed(folder)
    return board.model_copy(update=update)


def loopback_inventory() -> Inventory:
    """Return the built-in default: this machine as one board."""
    return Inventory(lab=Lab(name="loopback"), board=[BoardEntry(id="loopback", kind="loopback")])
