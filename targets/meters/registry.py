"""The kinds of external meters: tunebench's own, and those of a lab's packages (entry points ``tunebench.meters``).

A kind is a module (or an object) as :class:`MeterKind` describes it. To add one of ours: a module beside this one and
a line in :data:`KINDS`. To add one from a package of your own, without a fork::

    [project.entry-points."tunebench.meters"]
    my-meter = "my_lab.my_meter"

A kind is imported when an inventory first names it; one that cannot be imported is an error of that board alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, Union, cast, get_args

from pydantic import Field, SerializeAsAny, ValidationError, create_model, model_validator

from tunebench.targets.meters.base import Meter, MeterError
from tunebench.targets.meters.keys import MeterKeys

GROUP = "tunebench.meters"
#: Kind in the inventory -> its module in this package.
KINDS: Mapping[str, str] = {
    "hwmon": "hwmon",
    "serial-csv": "serial_csv",
    "csv-replay": "csv_replay",
    "shelly": "shelly",
    "joulescope": "joulescope",
}


class MeterKind(Protocol):
    """What a module must have to be a kind of meter.

    ``Keys`` is a :class:`~tunebench.targets.meters.keys.MeterKeys` with ``kind: Literal["its-name"]``: what
    ``[board.meter]`` may say, with descriptions and defaults. ``make(keys)`` gives the meter, not yet open: an optional
    driver is imported there and raises :class:`~tunebench.targets.meters.base.MeterError` where it is not installed.
    """

    Keys: type[MeterKeys]

    def make(self, keys: Any, /) -> Meter:
        """Return the meter that the keys describe."""
        ...


@cache
def plugins() -> Mapping[str, EntryPoint]:
    """Return the kinds that installed packages declare; a name of ours cannot be taken."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in KINDS}


@cache
def meter_kind(name: str) -> MeterKind:
    """Import a kind of meter.

    Raises:
        MeterError: there is no such kind (the message names those there are), or its package cannot be imported.
    """
    if name in KINDS:
        return cast(MeterKind, import_module(f"tunebench.targets.meters.{KINDS[name]}"))
    point = plugins().get(name)
    if point is None:
        known = ", ".join((*KINDS, *sorted(plugins())))
        raise MeterError(f"meter kind {name!r} is unknown; known: {known}")
    try:
        kind = point.load()
    except Exception as error:  # noqa: BLE001 - a package of somebody else's may raise anything
        raise MeterError(f"{_named(point)} cannot be imported: {type(error).__name__}: {error}") from None
    keys = getattr(kind, "Keys", None)
    if not (isinstance(keys, type) and issubclass(keys, MeterKeys)) or not callable(
        getattr(kind, "make", None)
    ):
        raise MeterError(f"{_named(point)} has no 'Keys' (a MeterKeys) and 'make'")
    return cast(MeterKind, kind)


def _named(point: EntryPoint) -> str:
    package = f" of package {point.dist.name}" if point.dist is not None else ""
    return f"meter kind {point.name!r}{package} ({point.value})"


def read_keys(spec: Mapping[str, Any] | MeterKeys) -> MeterKeys:
    """Check the keys of a meter that do not come from an inventory.

    Raises:
        MeterError: the kind is unknown, or a key is missing or wrong.
    """
    if isinstance(spec, MeterKeys):
        return spec
    name = spec.get("kind")
    if not isinstance(name, str):
        known = ", ".join((*KINDS, *sorted(plugins())))
        raise MeterError(f"meter kind {name!r} is unknown; known: {known}")
    keys = meter_kind(name).Keys
    try:
        return keys.model_validate(dict(spec))
    except ValidationError as error:
        raise MeterError(f"{name} meter: {_said(keys, error)}") from None


def _said(keys: type[MeterKeys], error: ValidationError) -> str:
    """Say what is wrong with the first key."""
    problem = error.errors(include_url=False)[0]
    key = str(problem["loc"][0]) if problem["loc"] else ""
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if problem["type"] == "missing":
        return f"key '{key}' is missing"
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{key}'; allowed: {', '.join(sorted(keys.model_fields))}"
    if problem["type"] == "literal_error":
        allowed = ", ".join(_literals(keys.model_fields[key].annotation))
        return f"key '{key}' is {problem['input']!r}; allowed: {allowed}"
    return f"key '{key}': {message}" if key else message


def _literals(annotation: Any) -> list[str]:
    """Return the words that a key may be, also where it may be left out."""
    words: list[str] = []
    for item in get_args(annotation):
        if isinstance(item, str):
            words.append(item)
        elif item is not type(None):
            words += _literals(item) or [str(item)]
    return words


def _deferred(name: str) -> type[MeterKeys]:
    """Return a stand-in for a package's keys: the package is imported when an inventory names the kind."""

    def load(cls: type[MeterKeys], value: Any, handler: Any) -> MeterKeys:
        if isinstance(value, MeterKeys):
            return value
        try:
            return read_keys(value)
        except MeterError as error:
            raise ValueError(str(error)) from None

    return create_model(
        f"{name} keys",
        __base__=MeterKeys,
        __validators__={"load": model_validator(mode="wrap")(classmethod(load))},  # type: ignore[arg-type,dict-item]
        kind=(Literal[name], ...),  # type: ignore[arg-type]
    )


if TYPE_CHECKING:
    MeterEntry = MeterKeys
else:
    #: ``[board.meter]``: the keys of any kind, told apart by ``kind``; written as what they are, not as a stand-in.
    MeterEntry = SerializeAsAny[
        Annotated[
            Union[(*(meter_kind(name).Keys for name in KINDS), *map(_deferred, sorted(plugins())))],
            Field(discriminator="kind"),
        ]
    ]
