"""Which line of a logger's file names its columns, where those asked for stand, and in what unit each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tunebench.targets.meters.logger.fields import Form
from tunebench.targets.meters.logger.text import is_comment
from tunebench.targets.meters.logger.times import read_moment
from tunebench.targets.meters.logger.units import Quantity, Unit, plain, unit_in, unit_named

#: Signs that may stand between fields, for advice.
_DELIMITERS = {",": '","', ";": '";"', "\t": '"\\t"', "|": '"|"', " ": '" "'}


class Unreadable(Exception):
    """A file, or a key about it, does not allow its values to be read; says what would be right."""


@dataclass(frozen=True)
class Asked:
    """One column that the inventory asks for.

    Attributes:
        quantity: what it is read for.
        column: its name, or its number from 0.
        unit: as the inventory gives it; ``None``: as the header says, else ``default``.
        default: s, W, V or A.
    """

    quantity: Quantity
    column: str | int
    unit: Unit | None
    default: Unit

    @property
    def named(self) -> str:
        """Return the column and its key, for messages."""
        return f"column {self.column!r} (key '{self.quantity}_column')"


@dataclass(frozen=True)
class Cell:
    """Where a column stands, and what turns its numbers into s, W, V or A."""

    asked: Asked
    index: int
    factor: float
    is_unit_told: bool


@dataclass(frozen=True)
class Table:
    """What is known of a file's columns.

    Attributes:
        begin: lines before the first one that may be data.
        names: of the columns; ``None``: the file names none.
        cells: the columns asked for.
        is_by_name: some of them by name.
    """

    begin: int
    names: tuple[str, ...] | None
    cells: Mapping[Quantity, Cell]
    is_by_name: bool

    def misfit(self, fields: Sequence[str]) -> str | None:
        """Return why a row is not one of this table; ``None``: it is.

        A row with more fields than names was cut where it should not be; one with fewer is torn, or its names are not
        those of its fields. Columns given by number need no names.
        """
        if self.names is None:
            return None
        count = len(fields)
        while count > len(self.names) and not fields[count - 1]:
            count -= 1
        if count > len(self.names) or (count < len(self.names) and self.is_by_name):
            return f"{count} fields in this row, the header names {len(self.names)}"
        return None


def find_table(lines: Sequence[str], form: Form, asked: Sequence[Asked]) -> Table:
    """Return the columns of a file by its first lines.

    The header is the first line that has all names asked for, be it a comment (``#time,current``) or not. Where columns
    are given by number, it is the first line that is no comment; unless that is data, and a comment with as many fields
    stands above. A line of units may follow.

    Raises:
        Unreadable: there is no such line, a name stands twice, or a unit contradicts a key.
    """
    rows = [index for index, line in enumerate(lines) if not is_comment(line)]
    begin, names = _header(lines, rows, form, asked)
    width = len(names) if names is not None else len(form.cut(lines[rows[0]]))
    places = {item.quantity: _place(item, names, width) for item in asked}
    units: Mapping[Quantity, Unit] = {}
    following = next((index for index in rows if index >= begin), None)
    if form.header and following is not None:
        units = _units_row(form.cut(lines[following]), form, places)
        begin = following + 1 if units else begin
    cells = {}
    for item in asked:
        index = places[item.quantity]
        name = None if names is None or index >= len(names) else names[index]
        told = units.get(item.quantity) or (None if name is None else unit_in(name, item.quantity))
        unit = _agreed(item, told)
        cells[item.quantity] = Cell(item, index, unit.factor, is_unit_told=unit is not item.default)
    return Table(begin, names, cells, any(isinstance(item.column, str) for item in asked))


def _header(
    lines: Sequence[str], rows: Sequence[int], form: Form, asked: Sequence[Asked]
) -> tuple[int, tuple[str, ...] | None]:
    """Return how many lines stand before what may be data, and the columns' names where there are any."""
    wanted = [plain(item.column) for item in asked if isinstance(item.column, str)]
    if not form.header:
        if not rows:
            raise Unreadable("the file is empty: start the logger first")
        if wanted:
            raise Unreadable(f"with header = false columns are given by number, not {wanted[0]!r}")
        return 0, None
    if wanted:
        for index, line in enumerate(lines):
            names = _names(line, form)
            if all(name in names for name in wanted):
                return index + 1, names
    if not rows:
        raise Unreadable("the file is empty: start the logger first")
    if wanted:
        raise _no_column(lines, rows, form, asked)
    fields = form.cut(lines[rows[0]])
    remarks = [_names(line, form) for line in lines[: rows[0]]]
    remark = next((names for names in reversed(remarks) if len(names) == len(fields) > 1), None)
    if remark is not None and _is_data(fields, form, asked):
        return rows[0], remark
    return rows[0] + 1, _names(lines[rows[0]], form)


def _names(line: str, form: Form) -> tuple[str, ...]:
    fields = [plain(field) for field in form.cut(line.strip().lstrip("#").strip())]
    while fields and not fields[-1]:
        fields.pop()
    return tuple(fields)


def _is_data(fields: Sequence[str], form: Form, asked: Sequence[Asked]) -> bool:
    """Tell whether a row has a time and no field that could be a name, in the columns asked for by number."""
    for item in asked:
        text = fields[int(item.column)] if 0 <= int(item.column) < len(fields) else ""
        is_number = form.number(text, item.quantity) is not None
        is_time = item.quantity == "time" and read_moment(text, None, is_local=False) is not None
        if not is_number and not is_time and (text or item.quantity == "time"):
            return False
    return True


def _no_column(lines: Sequence[str], rows: Sequence[int], form: Form, asked: Sequence[Asked]) -> Unreadable:
    """Return the message for a name that no line has: the names there are, and the sign that would cut them rightly."""
    wanted = [plain(item.column) for item in asked if isinstance(item.column, str)]
    for sign, key in _DELIMITERS.items():
        other = replace(form, delimiter=sign)
        for line in lines:
            if sign != form.delimiter and all(name in _names(line, other) for name in wanted):
                return Unreadable(
                    f"no column {wanted[0]!r}: its header is cut by another sign: set delimiter = {key}"
                )
    names = _names(lines[rows[0]], form)
    if _is_numeric(names, form):  # then a remark above may name them
        remarks = [_names(line, form) for line in lines[: rows[0]]]
        names = next((remark for remark in reversed(remarks) if len(remark) > 1), names)
    if _is_numeric(names, form):
        return Unreadable("it names no columns: give them by number, with header = false")
    missing = next(
        (item for item in asked if isinstance(item.column, str) and plain(item.column) not in names), asked[0]
    )
    return Unreadable(
        f"no column {missing.column!r}; it has: {', '.join(names)} (key '{missing.quantity}_column')"
    )


def _is_numeric(fields: Sequence[str], form: Form) -> bool:
    return bool(fields) and all(form.number(field, "time") is not None for field in fields)


def _place(item: Asked, names: tuple[str, ...] | None, width: int) -> int:
    if isinstance(item.column, int):
        if not 0 <= item.column < width:
            raise Unreadable(
                f"no column number {item.column}; it has 0 to {width - 1} (key '{item.quantity}_column')"
            )
        return item.column
    places = [index for index, name in enumerate(names or ()) if name == plain(item.column)]
    if len(places) > 1:
        numbers = " and ".join(map(str, places))
        raise Unreadable(f"{item.named} stands more than once: give it by number ({numbers})")
    return places[0]


def _units_row(fields: Sequence[str], form: Form, places: Mapping[Quantity, int]) -> Mapping[Quantity, Unit]:
    """Return the units in a row below the header (``Second,Volt``); none, if it is no such row."""
    units = {}
    for quantity, index in places.items():
        text = fields[index] if index < len(fields) else ""
        if form.number(text, quantity) is not None:
            return {}
        unit = unit_named(text.strip("()[] "))
        if unit is not None:
            units[quantity] = unit
    return units


def _agreed(item: Asked, told: Unit | None) -> Unit:
    """Return the unit of a column: the file's own word and the key must not contradict each other.

    A column given by number is what its number says: its name counts only where the key is not given.
    """
    is_by_name = isinstance(item.column, str)
    if told is None or (told.quantity != item.quantity and not is_by_name):
        return item.unit or item.default
    if told.quantity != item.quantity:
        raise Unreadable(
            f"{item.named} is in {told.text}, and a {item.quantity} is read in {item.default.text}: give another column "
            "(or this one by number, if its name misleads)"
        )
    if item.unit is not None and item.unit.factor != told.factor:
        if not is_by_name:
            return item.unit
        raise Unreadable(
            f"{item.named} is in {told.text}, and key '{item.quantity}_unit' is {item.unit.text!r}: leave the key out "
            "(or give the column by number, if its name misleads)"
        )
    return told
