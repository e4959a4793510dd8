"""The nights of a store on a run's page: bands, decisions, changes of the board, and what differs from another run."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from tunebench.reports.formatting.privacy import scrubber
from tunebench.reports.history import index
from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.simulated import SimulatedLab
from tunebench.reports.history.simulated.details import fill_up
from tunebench.reports.render.html import render
from tunebench.reports.results import ResultsError, RunReader, layout
from tunebench.reports.sections.base.changes import since
from tunebench.reports.sections.base.trend import MAX_FIGURES, trend_of

NIGHTS = 9


def fingerprint(**tiers):
    return {
        "hardware": {"model": "simulated"},
        "firmware": {"version": "1"},
        "os": {"kernel": "6.1"},
        **tiers,
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two boards, nine nights: night 3 has a new kernel, night 4 new firmware on one board; the last is 20% slower."""
    root = tmp_path_factory.mktemp("store")
    lab = SimulatedLab(boards=2, cells=3, repetitions=3, bad_nights=0.0)
    for night in range(NIGHTS):
        tiers = {"os": {"kernel": "6.1" if night < 3 else "6.2", "serial": f"secret-{night}"}}
        if night >= 2:
            tiers["firmware"] = {"version": "2"}
        prints = {"board-00": fingerprint(**tiers), "board-01": fingerprint()}
        slower = {lab.series[4].key: 0.2} if night == NIGHTS - 1 else {}
        lab.write_night(root, night, fingerprints=prints, slower=slower)
    return root


@pytest.fixture(scope="module")
def newest(store):
    return RunReader(layout.run_folders(store)[-1])


def decision(lab_night: int, **fields):
    return Decision(t_utc=f"2026-01-{lab_night + 1:02}T12:00:00Z", who="ann", **fields)


def trend(store, reader, decisions=()):
    return trend_of(reader, index.build(store).path, decisions, scrubber())


def words(html, ident="trend"):
    section = re.search(rf'<section id="{ident}".*?</section>', html, re.S).group(0)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section))


def test_every_series_of_the_run_stands_there_that_which_moved_most_first(store, newest):
    section = trend(store, newest)
    assert len(section.figures) == len(section.table.rows) == 6
    assert section.table.rows[0][0].startswith("board-01 · simulated/mlp · method-01")
    assert section.table.rows[0][-1] == "above"
    assert section.table.rows[0][5].startswith("+")


def test_new_firmware_opens_a_segment_and_a_new_kernel_is_marked(store, newest):
    text = words(render(newest, index=index.build(store).path))
    assert "firmware changed" in text
    assert "operating system changed" in text


def test_decisions_are_marked_at_their_night_with_their_reason(store, newest):
    series_key = next(rep.series_key for rep in newest.repetitions if rep.board_id == "board-01")
    made = [
        decision(3, kind="accept", reason="new kernels, see /home/ann/notes", series_key=series_key),
        decision(5, kind="note", reason="fan cleaned", board_id="board-01"),
        decision(5, kind="note", reason="of another board", board_id="board-77"),
    ]
    text = words(render(newest, index=index.build(store).path, decisions=made))
    assert "accept: new kernels" in text
    assert "/home/ann" not in text
    assert "note: fan cleaned" in text
    assert "of another board" not in text


def test_a_night_in_quarantine_is_shown_and_does_not_count(store, newest):
    made = [
        decision(4, kind="quarantine", reason="fan broken", board_id="board-01"),
        decision(6, kind="release", reason="mended", board_id="board-01"),
    ]
    text = words(render(newest, index=index.build(store).path, decisions=made))
    assert "board in quarantine: fan broken" in text


def test_what_is_usual_is_usual_for_the_machine_that_measured(tmp_path):
    """Two machines take turns under one id; the other is twice as slow."""
    lab = SimulatedLab(boards=1, cells=1, repetitions=3, bad_nights=0.0)
    for night in range(14):
        prints = {"board-00": fingerprint(hardware={"model": "ab"[night % 2]})}
        folder = lab.write_night(
            tmp_path, night, fingerprints=prints, factors={lab.series[0].key: 1.0 + night % 2}
        )
    section = trend(tmp_path, RunReader(folder))
    assert section.table.rows[0][1:3] == ["14", "2"], "14 nights; the last is of the second segment"
    assert section.table.rows[0][-1] == "yes"
    assert "hardware changed: back to segment 2" in words(
        render(RunReader(folder), index=index.build(tmp_path).path)
    )


@pytest.mark.parametrize("date", ["1970-01-01", "2025-06-01", "2099-01-01"])
def test_a_night_with_a_wrong_date_stands_behind_the_others(tmp_path, date):
    lab = SimulatedLab(boards=1, cells=1, repetitions=3, bad_nights=0.0)
    for night in range(7):
        lab.write_night(tmp_path, night, fingerprints={"board-00": fingerprint()})
    prints = {"board-00": fingerprint(firmware={"version": "2"})}
    wrong = datetime.fromisoformat(date).replace(tzinfo=UTC)
    folder = lab.write_night(tmp_path, 7, fingerprints=prints, started=wrong)
    section = trend(tmp_path, RunReader(folder))
    assert section.table.rows[0][1:3] == ["8", "2"]
    assert section.since.table.rows == [["board-00", "firmware.version", "1", "2"]]


def test_later_nights_are_not_shown_on_an_earlier_runs_page(store):
    early = RunReader(layout.run_folders(store)[4])
    assert {row[1] for row in trend(store, early).table.rows} == {"5"}


def test_the_first_night_has_no_trend_and_says_so(store):
    first = RunReader(layout.run_folders(store)[0])
    section = trend(store, first)
    assert section.why == "The store holds one night of these series: there is no trend yet."
    assert section.since.why == "No earlier run in the store had these boards."


def test_a_run_from_elsewhere_is_not_taken_for_a_first_night(store, demo):
    assert trend(store, demo).why == "This run does not lie in the store that was given."


def test_without_a_store_the_page_says_what_is_missing(demo):
    text = words(render(demo), "environment")
    assert "No store was given" in text
    assert "With --store DIR, tunebench report" in text


def test_a_missing_index_is_told(newest, tmp_path):
    with pytest.raises(ResultsError, match="no index"):
        trend_of(newest, tmp_path / "index.duckdb", (), scrubber())


def test_what_changed_since_the_run_before(store):
    after_firmware = RunReader(layout.run_folders(store)[2])
    changes = trend(store, after_firmware).since
    assert changes.table.rows == [["board-00", "firmware.version", "1", "2"]]
    assert trend(store, RunReader(layout.run_folders(store)[5])).since.why.startswith(
        "Nothing that the probe reads"
    )


def test_another_run_can_be_the_baseline_of_the_environment(store, newest):
    folders = layout.run_folders(store)
    changes = since(newest, RunReader(folders[0]), scrubber())
    assert [row[1:] for row in changes.table.rows] == [
        ["firmware.version", "1", "2"],
        ["os.kernel", "6.1", "6.2"],
    ]
    assert RunReader(folders[0]).plan["run_id"] in changes.heading
    html = render(newest, against=RunReader(folders[0]))
    assert "What differs from the baseline run" in html
    assert "secret-" not in html


def test_a_baseline_run_without_these_boards_is_given_as_the_reason(newest, demo):
    assert since(newest, demo, scrubber()).why == "The baseline run had none of these boards."


def test_unreadable_environments_are_passed_over(store, newest, tmp_path):
    lab = SimulatedLab(boards=1, cells=1, repetitions=3, bad_nights=0.0)
    folders = [lab.write_night(tmp_path, night) for night in range(2)]
    for folder, text in zip(folders, ("{", json.dumps({"board_id": "board-00"})), strict=True):
        (folder / "env" / "board-00.before.json").write_text(text)
    reader = RunReader(folders[1])
    assert trend(tmp_path, reader).since.why == "No earlier run in the store had these boards."
    assert since(reader, RunReader(folders[0]), scrubber()).table is None
    assert since(newest, RunReader(folders[0]), scrubber()).table is None


def test_a_large_night_draws_what_moved_most_and_stays_light(tmp_path):
    """Four boards x twelve cells: each figure has one drawing, and the table holds every series."""
    lab = SimulatedLab(boards=4, cells=12, repetitions=3, bad_nights=0.0)
    folders = [lab.write_night(tmp_path, night) for night in range(2)]
    assert fill_up(folders[1]) == 4 * 12 * 4
    reader = RunReader(folders[1])
    assert reader.warnings == []
    html = render(reader, index=index.build(tmp_path).path)
    assert f"Drawn are the {MAX_FIGURES} of 48 series" in html
    assert html.count('data-plot="') > 10
    assert len(html) < 1_300_000
