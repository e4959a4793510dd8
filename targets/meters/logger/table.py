"""Which line of a logger's file names its columns, where those asked for stand, and in what unit each is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tunebench.targets.meters.logger.fields import Form
from tunebench.targets.meters.logger.text import is_comment
from tunebench.targets.meters.logger.times import read_moment
from tunebench.targets.meters.logger.units import Quantity, Unit, plain, unit_in, unit_named

#: Signs that may stand between fields, for advice.
_DELIMITERS = {",": '","', ";": '";"', "\t": '"\\t"', "|": '"|"', " ": '" "'}
#: Rows whose fields are counted: what most of them have is a row's width.
_ROWS_COUNTED = 100


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
        cells: the columns asked for.
        header_widths: fields of the header, with and without empty ones behind its last name; none, where names do not
            matter because all columns are given by number.
        width: fields of a row; ``None``: there was no row yet.
    """

    begin: int
    cells: Mapping[Quantity, Cell]
    header_widths: tuple[int, ...]
    width: int | None

    def misfit(self, width: int | None) -> str | None:
        """Return why rows of so many fields are not those that the header names; ``None``: they are."""
        if width is None or not self.header_widths or width in self.header_widths:
            return None
        return (
            f"its rows have {width} fields, its header names {min(self.header_widths)}: is 'delimiter' right? (a decimal "
            "comma needs another one; else give the columns by number)"
        )


def find_table(lines: Sequence[str], form: Form, asked: Sequence[Asked]) -> Table:
    """Return the columns of a file by its first lines.

    The header is the first line that has all names asked for, be it a comment (``#time,current``) or not. Where columns
    are given by number, it is the first line that is no comment; unless that is data, and a comment with as many fields
    stands above. A line of units may follow.

    Args:
        lines: the file's first ones; the last of them may still be written.
        form: how they are cut.
        asked: the columns.

    Raises:
        Unreadable: there is no such line, a name stands twice, a unit contradicts a key, or rows have not as many fields
            as the header names (so that a name may stand over another's field).
    """
    rows = [index for index, line in enumerate(lines) if not is_comment(line)]
    begin, header = _header(lines, rows, form, asked)
    names = _names(header)
    places = {
        item.quantity: _place(item, names, len(header) or len(form.cut(lines[rows[0]]))) for item in asked
    }
    units: Mapping[Quantity, Unit] = {}
    following = next((index for index in rows if index >= begin), None)
    if form.header and following is not None:
        units = _units_row(form.cut(lines[following]), form, places)
        begin = following + 1 if units else begin
    width = row_width([lines[index] for index in rows if begin <= index < len(lines) - 1], form)
    cells = {}
    for item in asked:
        index = places[item.quantity]
        named = units.get(item.quantity) or (
            unit_in(names[index], item.quantity) if index < len(names) else None
        )
        unit = _agreed(item, named)
        cells[item.quantity] = Cell(item, index, unit.factor, is_unit_told=unit is not item.default)
    is_by_name = any(isinstance(item.column, str) for item in asked)
    table = Table(begin, cells, (len(names), len(header)) if is_by_name else (), width)
    misfit = table.misfit(width)
    if misfit is not None:
        raise Unreadable(misfit)
    return table


def row_width(lines: Sequence[str], form: Form) -> int | None:
    """Return how many fields most rows have; ``None``: there are no rows."""
    counts = Counter(len(form.cut(line)) for line in lines[:_ROWS_COUNTED])
    return max(counts, key=counts.__getitem__) if counts else None


def _header(
    lines: Sequence[str], rows: Sequence[int], form: Form, asked: Sequence[Asked]
) -> tuple[int, tuple[str, ...]]:
    """Return how many lines stand before what may be data, and the fields that name the columns; none, if none do."""
    wanted = [plain(item.column) for item in asked if isinstance(item.column, str)]
    if not form.header:
        if not rows:
            raise Unreadable("the file is empty: start the logger first")
        if wanted:
            raise Unreadable(f"with header = false columns are given by number, not {wanted[0]!r}")
        return 0, ()
    if wanted:
        for index, line in enumerate(lines):
            header = _cut(line, form)
            if all(name in header for name in wanted):
                return index + 1, header
    if not rows:
        raise Unreadable("the file is empty: start the logger first")
    if wanted:
        raise _no_column(lines, rows, form, asked)
    fields = form.cut(lines[rows[0]])
    remarks = [_cut(line, form) for line in lines[: rows[0]]]
    remark = next((header for header in reversed(remarks) if len(header) == len(fields) > 1), None)
    if remark is not None and _is_data(fields, form, asked):
        return rows[0], remark
    return rows[0] + 1, _cut(lines[rows[0]], form)


def _cut(line: str, form: Form) -> tuple[str, ...]:
    """Return the fields of a line that may be a header, which may be written as a comment."""
    return tuple(plain(field) for field in form.cut(line.lstrip(" #")))


def _names(header: Sequence[str]) -> tuple[str, ...]:
    """Return the fields of a header without those behind its last name."""
    count = len(header)
    while count and not header[count - 1]:
        count -= 1
    return tuple(header[:count])


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
            if sign != form.delimiter and all(name in _cut(line, other) for name in wanted):
                return Unreadable(
                    f"no column {wanted[0]!r}: its header is cut by another sign: set delimiter = {key}"
                )
    names = _names(_cut(lines[rows[0]], form))
    if _is_numeric(names, form):  # then a remark above may name them
        remarks = [_names(_cut(line, form)) for line in lines[: rows[0]]]
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


def _place(item: Asked, names: Sequence[str], width: int) -> int:
    if isinstance(item.column, int):
        if not 0 <= item.column < width:
            raise Unreadable(
                f"no column number {item.column}; it has 0 to {width - 1} (key '{item.quantity}_column')"
            )
        return item.column
    places = [index for index, name in enumerate(names) if name == plain(item.column)]
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


def _agreed(item: Asked, named: Unit | None) -> Unit:
    """Return the unit of a column: the file's own word and the key must not contradict each other.

    A column given by number is what its number says: its name counts only where the key is not given.
    """
    is_by_name = isinstance(item.column, str)
    if named is None or (named.quantity != item.quantity and not is_by_name):
        return item.unit or item.default
    if named.quantity != item.quantity:
        raise Unreadable(
            f"{item.named} is in {named.text}, and a {item.quantity} is read in {item.default.text}: give another column "
            "(or this one by number, if its name misleads)"
        )
    if item.unit is not None and item.unit.factor != named.factor:
        if not is_by_name:
            return item.unit
        raise Unreadable(
            f"{item.named} is in {named.text}, and key '{item.quantity}_unit' is {item.unit.text!r}: leave the key out "
            "(or give the column by number, if its name misleads)"
        )
    return named
