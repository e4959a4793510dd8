"""Frames: tidy, complete in their columns, and strict about what belongs together."""

import pytest

from tunebench.reports.results.frames import COLUMNS, frame, pairs, usable


def test_an_empty_frame_has_all_columns():
    table = frame([])
    assert list(table.columns) == COLUMNS
    assert usable(table).empty


def test_only_good_timed_repetitions_are_usable(make_record):
    reps = [
        make_record(rep_id="good"),
        make_record(rep_id="invalid", verdict="invalid"),
        make_record(rep_id="failed", outcome="oom"),
        make_record(rep_id="marks", role="instrumented"),
        make_record(rep_id="no-time", wall_s=None),
    ]
    assert usable(frame(reps))["rep_id"].tolist() == ["good"]


def test_of_several_attempts_in_a_block_the_last_counts(make_record):
    reps = [make_record(rep_id="one"), make_record(rep_id="two", attempt=2), make_record(rep_id="b", block=1)]
    assert usable(frame(reps))["rep_id"].tolist() == ["two", "b"]


def test_pairs_join_by_block_whatever_the_order(make_record):
    base = frame([make_record(block=b, wall_s=10.0 + b) for b in (2, 0, 1)])
    other = frame([make_record(block=b, wall_s=5.0 + b, label="fast") for b in (1, 2, 7)])
    paired = pairs(base, other)
    assert paired.to_dict("list") == {"block": [1, 2], "baseline": [11.0, 12.0], "candidate": [6.0, 7.0]}


@pytest.mark.parametrize(
    ("field", "value"),
    [("board_id", "b"), ("task", "t"), ("device", "cuda"), ("threads", 4), ("dtype", "f16"),
     ("power_mode", "15W"), ("engine_build", "v3")],
)  # fmt: skip
def test_values_under_different_conditions_are_never_paired(make_record, field, value):
    with pytest.raises(ValueError, match=f"never compared: {field}"):
        pairs(frame([make_record()]), frame([make_record(**{field: value})]))
