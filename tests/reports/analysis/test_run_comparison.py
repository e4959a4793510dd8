"""Two runs side by side: which series, how far apart, what else differs, and that they are not paired."""

import itertools
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tunebench.reports.analysis.two_runs.comparison import OtherDifference, compare_runs
from tunebench.reports.formatting.privacy import scrubber
from tunebench.reports.records import Quality
from tunebench.reports.render.compare import as_markdown, as_text
from tunebench.reports.render.html import render_comparison
from tunebench.reports.results import RunReader
from tunebench.reports.results.writer import RunWriter
from tunebench.reports.stats.unpaired import MIN_VALUES, shift


@pytest.fixture
def two(campaign, tmp_path):
    """Writes two runs; ``second`` sets fields of the second campaign."""

    def write(first=None, second=None):
        readers = []
        for number, fields in enumerate((first or {}, second or {})):
            for name, value in fields.items():
                setattr(campaign, name, value)
            campaign.run_id = f"2026112{number}T074500Z-a1b{number}"
            readers.append(RunReader(campaign.write(tmp_path / "results")))
        return readers

    return write


@pytest.fixture
def runs_of(tmp_path, make_record, store_reps):
    """Function (records of A, records of B) -> readers of two runs."""

    def write(a, b):
        readers = []
        for name, reps in (("20261120T000000Z-aaaa", a), ("20261121T000000Z-bbbb", b)):
            readers.append(store_reps([rep.model_copy(update={"run_id": name}) for rep in reps]))
        return readers

    return write


def row_of(comparison, quantity, label="ft-all"):
    return next(row for row in comparison.rows if row.quantity == quantity and row.series.label == label)


def test_equal_series_are_compared_in_each_quantity(two):
    comparison = compare_runs(*two({"blocks": 6}))
    assert {(row.series.label, row.quantity) for row in comparison.rows} == set(
        itertools.product(
            ("ft-all", "ft-all A/A", "lora-all", "lora-last", "skip2-lora"), ("time", "memory", "accuracy")
        )
    )
    time = row_of(comparison, "time")
    assert time.n_a == time.n_b == 6
    assert time.interval == "mann-whitney"
    assert 0.9 < time.low <= time.ratio <= time.high < 1.1


def test_a_slower_run_is_told_as_slower_and_more_memory_as_more(runs_of, make_record):
    a = [make_record(block=b, seed=b, wall_s=4 + 0.01 * b, peak_rss_b=200_000_000 + b) for b in range(8)]
    b = [make_record(block=b, seed=b, wall_s=4.4 + 0.01 * b, peak_rss_b=220_000_000 + b) for b in range(8)]
    comparison = compare_runs(*runs_of(a, b))
    assert row_of(comparison, "time").verdict == "SLOWER"
    assert row_of(comparison, "time").ratio == pytest.approx(1.1, abs=0.01)
    assert row_of(comparison, "memory").verdict == "MORE"
    assert row_of(comparison, "accuracy").verdict == "SAME"


def test_few_repetitions_give_a_range_and_no_verdict(two):
    comparison = compare_runs(*two())
    assert row_of(comparison, "time").interval == "range"
    assert row_of(comparison, "time").verdict == "NO VERDICT"
    assert "*" in as_text(comparison)


def test_accuracy_is_paired_by_seed_and_item(two):
    comparison = compare_runs(*two({"blocks": 8}))
    accuracy = row_of(comparison, "accuracy")
    assert accuracy.points == 0.0
    assert accuracy.verdict == "SAME"
    assert accuracy.paired == 8


def test_stored_predictions_are_compared_item_by_item(tmp_path, make_record):
    """In A half of the items are right, in B the same half and two more."""
    readers = []
    for run_id, right in (("20261120T000000Z-aaaa", 6), ("20261121T000000Z-bbbb", 8)):
        preds = "".join(f"[{i}, 1, 0, {int(i < right)}]\n" for i in range(12)).encode()
        with RunWriter.create(tmp_path, "lab1", run_id, {}) as writer:
            for block in range(6):
                rep = make_record(run_id=run_id, rep_id=f"r{block}", block=block, seed=block)
                rep = rep.model_copy(update={"quality": rep.quality.model_copy(update={"after": right / 12})})
                writer.append(rep, preds=preds)
        readers.append(RunReader(writer.path))
    accuracy = row_of(compare_runs(*readers), "accuracy")
    assert accuracy.points == pytest.approx(100 * 2 / 12)
    assert accuracy.paired == 6
    assert accuracy.low < accuracy.points < accuracy.high


def test_accuracy_that_was_not_measured_is_left_out(runs_of, make_record):
    bare = [make_record(quality=Quality()) for _ in range(1)]
    assert not any(row.quantity == "accuracy" for row in compare_runs(*runs_of(bare, bare)).rows)


def test_builds_that_differ_are_listed_and_unreadable_environments_are_left_out(two, make_record, runs_of):
    prov = make_record().prov.model_copy(update={"engine_version": "torch 2.14.0"})
    comparison = compare_runs(*runs_of([make_record()], [make_record(prov=prov)]))
    assert [difference.what for difference in comparison.environment] == ["engine_version"]
    a, b = two()
    (b.path / "env" / "host.before.json").write_text("{")
    assert compare_runs(a, RunReader(b.path, check=False)).environment == []


def test_accuracy_on_other_seeds_is_told_without_a_verdict(runs_of, make_record):
    a = [make_record(block=b, seed=b) for b in range(6)]
    b = [make_record(block=b, seed=b + 100) for b in range(6)]
    accuracy = row_of(compare_runs(*runs_of(a, b)), "accuracy")
    assert accuracy.verdict == "NO VERDICT"
    assert accuracy.low is None


def test_joules_of_different_scopes_are_never_compared(two, fake_board):
    board = [fake_board("pi", "raspberry-pi", "Pi 5", power_scope="rails_sum")]
    other = [fake_board("pi", "raspberry-pi", "Pi 5", power_scope="wall_ac")]
    assert not any(
        row.quantity == "energy" for row in compare_runs(*two({"boards": board}, {"boards": other})).rows
    )


def test_joules_of_one_scope_are_compared_and_name_it(runs_of, make_record, fake_board):
    energy = {"gross_j": 20.0, "scope": "rails_sum", "source": "ina3221", "mean_w": 5.0, "n_samples": 20,
              "rate_hz": 5.0, "max_gap_s": 0.21, "repeats": 2}  # fmt: skip
    from tunebench.reports.records import Energy

    def reps(factor):
        return [
            make_record(block=b, seed=b, energy=Energy(**(energy | {"gross_j": 20.0 * factor + 0.01 * b})))
            for b in range(6)
        ]

    joules = row_of(compare_runs(*runs_of(reps(1), reps(1.2))), "energy")
    assert joules.scope == "rails_sum"
    assert joules.a == pytest.approx(10.0, abs=0.05)
    assert joules.verdict == "MORE"


def test_series_of_one_run_only_are_named(two):
    comparison = compare_runs(*two({}, {"methods": ["ft-all"]}))
    assert {series.label for series in comparison.only_a} == {
        "ft-all A/A",
        "lora-all",
        "lora-last",
        "skip2-lora",
    }
    assert comparison.only_b == []
    assert "Not compared" in as_text(comparison)


def test_what_differs_around_the_numbers_is_listed(two, tmp_path):
    a, b = two()
    env = b.path / "env" / "host.before.json"
    env.write_text(env.read_text().replace("6.12.40", "6.12.41"))
    comparison = compare_runs(a, RunReader(b.path, check=False))
    assert OtherDifference("host", "os.kernel", "6.12.40", "6.12.41") in comparison.environment


def test_it_says_that_blocks_are_not_paired_in_every_form(two):
    comparison = compare_runs(*two())
    for form in (as_text(comparison), as_markdown(comparison), render_comparison(comparison)):
        assert "Blocks of different runs are not paired" in " ".join(form.split())
        assert "What you may not conclude" in form


def test_names_of_people_and_machines_are_taken_out(two):
    a, b = two()
    path = OtherDifference("host", "python.agent", "/home/ann/venv/bin/python", "thor-7")
    comparison = replace(compare_runs(a, b), environment=[path])
    for form in (as_text(comparison, scrubber(["thor-7"])), as_markdown(comparison, scrubber(["thor-7"])),
                 render_comparison(comparison, words=["thor-7"])):  # fmt: skip
        assert "/home/ann" not in form
        assert "thor-7" not in form


def test_the_page_runs_no_script_and_escapes(two, fake_board):
    evil = "<script>alert(1)</script>\x1b[31m"
    board = [fake_board(f"b{evil}", "linux", "x")]
    html = render_comparison(compare_runs(*two({"boards": board})))
    assert "<script" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;" in html
    assert "default-src &#39;none&#39;" in html


@pytest.mark.slow
def test_many_series_still_fit_into_a_comment(runs_of, make_record):
    reps = [
        make_record(label=f"m{i}" + "#" * 100, series_key=f"k{i}", block=b)
        for i in range(300)
        for b in range(2)
    ]
    text = as_markdown(compare_runs(*runs_of(reps, reps)))
    assert len(text) < 65_000
    assert "the rest is left out" in text


def test_runs_without_a_common_series_have_no_rows_and_say_so(runs_of, make_record):
    comparison = compare_runs(*runs_of([make_record(series_key="a")], [make_record(series_key="b")]))
    assert comparison.rows == []
    assert "The runs share no series." in as_text(comparison)


def test_an_incomplete_run_is_marked(two):
    comparison = compare_runs(*two({}, {"finish": False}))
    assert "NOT COMPLETE" in as_text(comparison)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (5, 9), (8, 6), (12, 12)])
def test_the_interval_is_the_exact_mann_whitney_one(n, m):
    """Its confidence is the one that scipy's exact test gives at its ends."""
    rng = random.Random(n * m)
    a = [rng.lognormvariate(0, 0.1) for _ in range(n)]
    b = [rng.lognormvariate(0.05, 0.1) for _ in range(m)]
    interval = shift(a, b, delta=0.02)
    assert interval.confidence >= 0.95
    for edge, inside in ((interval.low, 1 + 1e-9), (interval.high, 1 - 1e-9)):
        kept = scipy_stats.mannwhitneyu(np.array(b) / (edge * inside), a, method="exact").pvalue
        lost = scipy_stats.mannwhitneyu(np.array(b) / (edge / inside), a, method="exact").pvalue
        assert kept > 1 - interval.confidence - 1e-9
        assert lost <= 1 - interval.confidence + 1e-9


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        a, b = np.exp(rng.normal(0, 0.05, 8)), 1.07 * np.exp(rng.normal(0, 0.05, 10))
        interval = shift(a.tolist(), b.tolist(), delta=0.02)
        hits += interval.low <= 1.07 <= interval.high
    assert hits / 400 >= 0.93


def test_samples_must_be_positive_and_there():
    with pytest.raises(ValueError, match="positive"):
        shift([1.0], [], delta=0.02)
    with pytest.raises(ValueError, match="positive"):
        shift([1.0, 0.0], [1.0], delta=0.02)
    assert shift([1.0] * (MIN_VALUES - 1), [1.0] * 9, delta=0.02).verdict == "NO VERDICT"


def texts_of(comparison):
    return [as_text(comparison), as_markdown(comparison), words(render_comparison(comparison))]


def words(html):
    body = re.sub(r"<style.*?</style>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


HASH = re.compile(r"[0-9a-f]{24,}")


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"params": {"epochs": 5, "batch": 20, "lr": 0.02, "rank": 4}}, ["setting epochs", "10", "5"]),
        (
            {"params": {"epochs": 10, "batch": 20, "lr": 0.02, "rank": 4, "optimizer": "adamw"}},
            ["setting optimizer", "sgd", "adamw"],
        ),
        ({"threads": 4}, ["threads", "1", "4"]),
        ({"lab": "lab2"}, ["lab", "lab1", "lab2"]),
        ({"board_id": "pi5-02"}, ["board", "host", "pi5-02"]),
        ({"engine": "native"}, ["engine", "torch", "native"]),
        ({"engine_build": "v3"}, ["engine build", "not known", "v3"]),
        ({"dtype": "float16"}, ["number format", "float32", "float16"]),
        ({"power_mode": "15W"}, ["power mode", "not known", "15W"]),
        ({"task": "har/mlp"}, ["task", "digits/mlp", "har/mlp"]),
        ({"label": "lora-all"}, ["method", "ft-all", "lora-all"]),
        ({"policy": "sustained"}, ["policy", "cold", "sustained"]),
        ({"bench_version": 2}, ["bench version", "1", "2"]),
    ],
)
def test_runs_without_a_common_series_say_what_differs(runs_of, make_record, change, shown):
    a = [make_record(block=b, seed=b) for b in range(2)]
    b = [make_record(block=b, seed=b, series_key="9" * 40, **change) for b in range(2)]
    comparison = compare_runs(*runs_of(a, b))
    assert comparison.rows == []
    assert [difference.what for difference in comparison.not_shared] == [shown[0]]
    for text in texts_of(comparison):
        assert "share no series" in text
        assert all(word in text for word in shown)
        assert HASH.search(text) is None


def test_hashes_that_differ_are_counted_not_dumped(runs_of, make_record):
    def prov(digit):
        return make_record().prov.model_copy(
            update=dict.fromkeys(
                ("payload_sha256", "data_sha256", "env_sha256", "workload_sha256"), digit * 64
            )
        )

    a = [make_record(label=f"m{i}", series_key=f"k{i}", prov=prov(str(i))) for i in range(4)]
    b = [make_record(label=f"m{i}", series_key=f"other{i}", prov=prov(str(i + 1))) for i in range(4)]
    comparison = compare_runs(*runs_of(a, b))
    assert any(len(str(difference.a)) > 200 for difference in comparison.environment), "the JSON keeps them"
    for text in texts_of(comparison):
        assert HASH.search(text) is None
        assert "4, 3 of them in both" in text
        assert "code that travelled" in text


def test_a_hash_that_only_one_run_tells_is_cut_too(runs_of, make_record):
    prov = make_record().prov.model_copy(update={"payload_sha256": "ab" * 32})
    comparison = compare_runs(*runs_of([make_record(prov=prov)], [make_record()]))
    for text in texts_of(comparison):
        assert HASH.search(text) is None
        assert "abababababab…" in text
        assert "not known" in text


def test_a_series_is_held_against_the_one_that_is_nearest_to_it(runs_of, make_record):
    a = [make_record(label="x", series_key="a")]
    b = [
        make_record(label="y", series_key="b"),
        make_record(label="x", series_key="c", threads=4, dtype="float16"),
    ]
    comparison = compare_runs(*runs_of(a, b))
    assert [difference.what for difference in comparison.not_shared] == ["threads", "number format"]


def test_the_same_difference_of_many_series_stands_in_one_line(two, campaign):
    a, b = two({"task": "digits/mlp"}, {"task": "har/mlp"})
    text = as_text(compare_runs(a, b))
    assert text.count("har/mlp") <= 8
    assert "every series of A" in text


def test_series_that_no_field_of_the_record_tells_apart_are_not_called_equal(runs_of, make_record):
    comparison = compare_runs(*runs_of([make_record()], [make_record(series_key="z")]))
    assert [difference.what for difference in comparison.not_shared] == ["tuning or own settings"]


def test_a_run_without_records_is_named(runs_of, make_record):
    lost = [make_record(verdict="invalid", outcome="oom", wall_s=None)]
    text = as_text(compare_runs(*runs_of([make_record()], lost)), width=150)
    assert "holds no repetition that may be used" in text


def test_two_runs_without_records_are_both_named(runs_of, make_record):
    lost = [make_record(verdict="invalid", outcome="oom", wall_s=None)]
    assert "Neither holds" in as_text(compare_runs(*runs_of(lost, lost)))


def test_once_against_once_has_no_interval(runs_of, make_record):
    comparison = compare_runs(*runs_of([make_record(wall_s=2.0)], [make_record(wall_s=2.696)]))
    for text in texts_of(comparison):
        assert "+34.8%" in text
        assert "[+34.8%, +34.8%]" not in text
        assert "one value each" in text
        assert "one seed" in text


def test_a_comparison_fits_its_reader(two):
    comparison = compare_runs(*two({"blocks": 6}))
    assert max(map(len, as_text(comparison, width=80).splitlines())) <= 80
    assert max(map(len, as_text(comparison).splitlines())) <= 150
    assert max(map(len, as_markdown(comparison).splitlines())) <= 150
