"""Dataclasses as JSON: fields in their order, under the names that the public JSON has."""

import json
from dataclasses import dataclass, field

from tunebench.reports.formatting.json_value import INLINE, OMIT_NONE, json_value, named


@dataclass(frozen=True)
class Origin:
    scope: str | None


@dataclass(frozen=True)
class Row:
    first: int
    origin: Origin | None = field(metadata=INLINE)
    counts: dict[str, int] = field(metadata=INLINE)
    unequal: list[str] | None = field(metadata=OMIT_NONE)
    missing: str | None
    rep_class: str = field(metadata=named("class"))


def test_fields_keep_their_order_and_inlined_ones_their_place():
    row = Row(1, Origin(None), {"valid": 2}, ["epochs"], None, "valid")
    assert json.dumps(json_value(row)) == (
        '{"first": 1, "scope": null, "valid": 2, "unequal": ["epochs"], "missing": null, "class": "valid"}'
    )


def test_what_is_inlined_or_omitted_stands_nowhere_if_it_is_none():
    row = Row(1, None, {}, None, None, "failed")
    assert json_value(row) == {"first": 1, "missing": None, "class": "failed"}


def test_tuples_become_lists_at_any_depth():
    assert json_value({"curve": [(1, (0.5, None))]}) == {"curve": [[1, [0.5, None]]]}
