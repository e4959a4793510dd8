"""The answer to "what should I use here": read off verdicts, the same in every report, honest where there is none.

The campaigns are made up; what is tested is what is said of them.
"""

import itertools
import json
import re

import numpy as np
import pytest

from tests.reports.campaigns import blocks
from tunebench.reports.analysis.answers import answer_lines, answers
from tunebench.reports.analysis.answers.options import unbeaten
from tunebench.reports.analysis.cautions import cautions
from tunebench.reports.analysis.verdict_words import Settling, settling
from tunebench.reports.records import Quality
from tunebench.reports.render.html import render
from tunebench.reports.render.markdown import markdown
from tunebench.reports.render.text import table
from tunebench.reports.results import RunReader, RunWriter
from tunebench.reports.stats.attainable import fewest_blocks
from tunebench.reports.summary import as_json, summarise


@pytest.fixture
def run(tmp_path, make_record):
    """Writes timed repetitions from ``label -> one value a block``; returns a reader. ``points``: label -> gain."""
    numbers = itertools.count()

    def write(methods, *, points=None, extra=(), plan=None, noise=0.0, **fields):
        run_id = "20261121T074500Z-a1b2"
        root = tmp_path / f"results-{next(numbers)}"
        rng = np.random.default_rng(7)
        with RunWriter.create(root, "lab1", run_id, plan or {}) as writer:
            for label, seconds in methods.items():
                for block, wall_s in enumerate(seconds):
                    gain = (points or {}).get(label, 0.0) / 100
                    gain += noise * rng.normal() / 100
                    given = {name: get(label, block) for name, get in fields.items()}
                    rep = make_record(
                        rep_id=f"m{list(methods).index(label)}-{block}",
                        label=label,
                        aa_control=label.endswith("A/A"),
                        method="ft-all" if label.startswith("ft-all") else label,
                        block=block,
                        seed=block,
                        wall_s=wall_s,
                        quality=Quality(before=0.78, after=0.9 + 0.001 * (block % 3) + gain, n_items=360),
                    ).model_copy(update=given)
                    writer.append(rep)
            for rep in extra:
                writer.append(rep)
        return RunReader(writer.path)

    return write


def answer_of(reader, **options):
    (answer,) = summarise(reader, **options).answers
    return answer


def test_a_faster_method_at_equal_accuracy_is_recommended_with_its_factor(run):
    answer = answer_of(run({"ft-all": blocks(1), "fast": blocks(0.2)}))
    assert (answer.state, answer.choice, answer.verdict, answer.points_verdict) == (
        "use",
        "fast",
        "FASTER",
        "SAME",
    )
    assert answer.sentence == (
        "Use fast: 5.0× faster than ft-all at equal accuracy (±0.0 points), 69 KiB to ship."
    )
    assert answer.line == f"host · digits/mlp: {answer.sentence}"
    assert answer.factor == pytest.approx(5, rel=0.01)
    assert answer.blocks_missing is None


def test_of_several_the_fastest_without_a_loss_is_chosen_and_the_others_stand_behind(run):
    reader = run(
        {"ft-all": blocks(1), "lossy": blocks(0.1), "good": blocks(0.2), "rich": blocks(1.5)},
        points={"lossy": -4.0, "rich": 2.0},
        update_b=lambda label, block: {"good": 4608, "lossy": 1024}.get(label, 65536),
    )
    answer = answer_of(reader)
    assert answer.choice == "good"
    assert (
        answer.claim == "Use good: 5.0× faster than ft-all at equal accuracy (±0.0 points), 4.5 KiB to ship."
    )
    assert answer.others == [
        "rich if accuracy counts more (+2.0 points, 1.50× the time)",
        "lossy if 4.0 points of accuracy may be lost (10× faster, 1.0 KiB to ship)",
    ]
    assert all(other in answer.sentence for other in answer.others)


def test_a_faster_method_that_loses_accuracy_is_not_recommended_but_told_with_its_price(run):
    answer = answer_of(run({"ft-all": blocks(1), "fast": blocks(0.5)}, points={"fast": -3.0}))
    assert (answer.state, answer.choice, answer.lead) == ("keep", "ft-all", "fast")
    assert answer.sentence == (
        "Stay with ft-all: no method is shown to be faster at equal accuracy; "
        "fast if 3.0 points of accuracy may be lost (2.0× faster, 69 KiB to ship)."
    )


def test_an_accuracy_that_is_open_is_called_open(run):
    answer = answer_of(run({"ft-all": blocks(1), "fast": blocks(0.5)}, points={"fast": 0.4}, noise=0.6))
    assert (answer.state, answer.points_verdict) == ("use", "UNCLEAR")
    assert "(open: " in answer.sentence
    assert "equal accuracy" not in answer.sentence
    (note,) = answer.notes
    assert note.startswith("Whether fast ends at another accuracy is open: about ")


def test_a_loss_that_is_open_is_a_recommendation_to_who_can_bear_it(run):
    answer = answer_of(run({"ft-all": blocks(1), "fast": blocks(0.5)}, points={"fast": -0.9}, noise=1.2))
    assert (answer.state, answer.choice, answer.points_verdict) == ("use if", "fast", "UNCLEAR")
    assert re.match(
        r"Use fast if \d\.\d points of accuracy may be lost: 2\.0× faster than ft-all, accuracy −\d\.\d points "
        r"\(open: −\d\.\d to [+−]\d\.\d\), 69 KiB to ship; ft-all if not\.",
        answer.sentence,
    )


def test_a_sure_gain_goes_before_a_larger_one_whose_loss_is_open(run):
    losses = (0.02, 0.001, 0.015, 0.002)
    reader = run(
        {"ft-all": blocks(1), "risky": blocks(0.2), "sure": blocks(0.5)},
        quality=lambda label, block: Quality(after=0.9 - (losses[block % 4] if label == "risky" else 0.0)),
    )
    answer = answer_of(reader)
    assert (answer.state, answer.choice, answer.points_verdict) == ("use", "sure", "SAME")
    assert answer.others[0].startswith("risky if ")


def test_of_methods_that_lose_before_there_are_verdicts_the_unbeaten_one_is_told(run):
    methods = {"ft-all": blocks(1, 3), "bad": [2.0, 2.3, 2.3], "good": [2.24] * 3}
    answer = answer_of(run(methods, points={"bad": -6.0, "good": -3.0}))
    assert answer.lead == "good"


def test_without_an_accuracy_the_speed_is_told_and_that_accuracy_is_not_known(run):
    reader = run(
        {"ft-all": blocks(1), "mine": blocks(0.5)},
        quality=lambda label, block: Quality() if label == "mine" else Quality(after=0.9),
    )
    assert answer_of(reader).claim.startswith("Use mine: 2.0× faster than ft-all, accuracy not compared")


def test_a_slower_method_is_never_called_faster(run):
    answer = answer_of(run({"ft-all": blocks(1), "slow": blocks(2)}))
    assert (answer.state, answer.choice, answer.lead) == ("keep", "ft-all", "slow")
    assert answer.sentence == (
        "Stay with ft-all: no method is shown to be faster (nearest: slow, 2.0× the time of ft-all)."
    )


def test_a_slower_method_that_is_more_accurate_is_told_as_such(run):
    answer = answer_of(run({"ft-all": blocks(1), "rich": blocks(1.4)}, points={"rich": 1.9}))
    assert answer.others == ["rich if accuracy counts more (+1.9 points, 1.40× the time)"]


def test_a_method_that_is_the_same_in_everything_is_no_reason_to_change(run):
    answer = answer_of(run({"ft-all": blocks(1), "twin": blocks(1, seed=3)}))
    assert answer.state == "keep"
    assert "(nearest: twin, as fast as ft-all)" in answer.sentence


def test_a_method_that_is_as_fast_and_takes_less_memory_is_recommended_for_that(run):
    reader = run(
        {"ft-all": blocks(1), "light": blocks(1, seed=3)},
        peak_rss_b=lambda label, block: (100 if label == "light" else 200) * 10**6 + block,
    )
    answer = answer_of(reader)
    assert (answer.state, answer.verdict) == ("use", "SAME")
    assert answer.claim == (
        "Use light: as fast as ft-all at equal accuracy (±0.0 points), 69 KiB to ship, memory −50.0%."
    )


def test_an_open_verdict_says_which_figure_and_how_many_blocks(run):
    near = [4.0 * r for r in (1.0, 1.05, 0.99, 1.04, 1.0, 1.05, 1.01, 1.04)]
    summary = summarise(run({"ft-all": [4.0] * 8, "near": near}))
    (answer,) = summary.answers
    needed = summary.rows[1].speed_up.blocks_needed
    assert (answer.state, answer.choice, answer.blocks_missing) == ("open", None, needed)
    assert answer.sentence.startswith(
        "No verdict yet: whether near is faster than ft-all is open (0.98× as fast, 95% interval "
    )
    assert f"about {needed} more blocks would settle it. Until then stay with ft-all." in answer.sentence


def test_too_few_blocks_say_how_many_are_missing_and_what_was_seen(run):
    methods = {"ft-all": blocks(1, 3), "a": blocks(0.5, 3), "b": blocks(0.6, 3), "c": blocks(0.7, 3)}
    answer = answer_of(run(methods, points={"a": -6.0}))
    assert (answer.state, answer.blocks_missing, answer.lead) == ("too few", 4, "b")
    assert answer.sentence == (
        "No verdict yet: 3 blocks, and a verdict over 3 methods needs at least 7: 4 more are missing. "
        "So far b ran 1.66× as fast as ft-all, accuracy ±0.0 points (no verdict)."
    )


def test_one_block_is_called_one_block(run):
    answer = answer_of(run({"ft-all": blocks(1, 1), "fast": blocks(0.5, 1)}))
    assert answer.sentence.startswith(
        "No verdict yet: 1 block, and a verdict needs at least 6: 5 more are missing."
    )
    slow = answer_of(run({"ft-all": blocks(1, 1), "slow": blocks(2, 1)}))
    assert slow.sentence.endswith("So far none ran faster than ft-all.")


@pytest.mark.parametrize("methods", [1, 2, 3, 4, 5])
def test_the_least_number_of_blocks_is_true(run, methods):
    """With so many blocks the clearest difference has a verdict, with one less it has none."""
    fewest = fewest_blocks(methods)
    for n, expected in ((fewest - 1, {"UNCLEAR", "NO VERDICT"}), (fewest, {"FASTER"})):
        reader = run({"ft-all": blocks(1, n), **{f"m{i}": blocks(0.5, n, seed=i) for i in range(methods)}})
        assert {row.speed_up.verdict for row in summarise(reader).rows[1:]} <= expected
    few = summarise(
        run({"ft-all": blocks(1, 2), **{f"m{i}": blocks(0.5, 2, seed=i) for i in range(methods)}})
    )
    for row in few.rows[1:]:
        assert {row.verdicts[name].n + row.verdicts[name].blocks_needed for name in ("time", "accuracy")} == {
            fewest
        }


def test_a_failed_control_withholds_the_answer(run):
    answer = answer_of(run({"ft-all": blocks(1), "ft-all A/A": blocks(1.1), "fast": blocks(0.5)}))
    assert (answer.state, answer.choice, answer.aa) == ("withheld", None, "failed")
    assert answer.sentence.startswith("No answer: the A/A control failed, ft-all differs from itself by +10.")
    assert "faster" not in answer.sentence


def test_a_control_that_passes_stands_with_the_answer_and_is_no_method_to_choose(run):
    answer = answer_of(run({"ft-all": blocks(1), "ft-all A/A": blocks(1, seed=2), "fast": blocks(0.5)}))
    assert answer.aa == "passed"
    assert [option.label for option in answer.options] == ["ft-all", "fast"]


def test_a_board_on_which_all_failed_says_why(run):
    dead = {
        "outcome": "oom",
        "outcome_reason": "out of memory",
        "wall_s": None,
        "verdict": "invalid",
        "reasons": [],
    }
    fields = {name: (lambda label, block, value=value: value) for name, value in dead.items()}
    answer = answer_of(run({"ft-all": blocks(1), "fast": blocks(0.5)}, **fields))
    assert (answer.state, answer.choice) == ("nothing", None)
    assert "ft-all, the baseline, has no number that may be used (out of memory)" in answer.sentence


def test_invalid_repetitions_of_the_others_are_no_answer(run):
    reader = run(
        {"ft-all": blocks(1), "fast": blocks(0.5)},
        verdict=lambda label, block: "invalid" if label == "fast" else "valid",
    )
    answer = answer_of(reader)
    assert answer.state == "nothing"
    assert answer.sentence.startswith("No answer: no method may be compared with ft-all (fast: ")


def test_a_method_that_failed_is_left_out_by_name_beside_a_good_one(run):
    reader = run(
        {"ft-all": blocks(1), "fast": blocks(0.5), "broken": blocks(0.1)},
        verdict=lambda label, block: "invalid" if label == "broken" else "valid",
    )
    answer = answer_of(reader)
    assert answer.choice == "fast"
    assert any(note.startswith("broken is left out: ") for note in answer.notes)


def test_a_method_that_did_not_pass_its_correctness_check_is_never_chosen(run, make_record):
    check = make_record(
        rep_id="check", role="check", label="fast", check={"passed": False, "max_loss_diff": 0.2}
    )
    answer = answer_of(run({"ft-all": blocks(1), "fast": blocks(0.5)}, extra=[check]))
    assert answer.state == "nothing"
    assert "fast: it did not pass its correctness check" in answer.sentence


def test_a_run_without_a_baseline_or_with_it_alone_says_so(run):
    assert "the task has no baseline to compare with" in answer_of(run({"mine": blocks(1)})).sentence
    assert answer_of(run({"ft-all": blocks(1)})).sentence == "No answer: only ft-all was measured."


def test_an_emulated_boards_times_are_no_answer(run):
    answer = answer_of(run({"ft-all": blocks(1), "fast": blocks(0.5)}, emulated=lambda label, block: True))
    assert (answer.state, answer.choice) == ("emulated", None)
    assert answer.sentence.startswith("No answer on time: host is emulated, its times are the emulator's.")
    assert "faster" not in answer.sentence


def test_unequal_work_is_told_in_the_answer(run):
    reader = run(
        {"ft-all": blocks(1), "fast": blocks(0.5)},
        params=lambda label, block: {"epochs": 5 if label == "fast" else 10, "batch": 20},
    )
    assert "unequal work: epochs: 5 against 10" in answer_of(reader).sentence


def test_what_has_regressed_is_told_before_everything_else(run):
    reader = run({"ft-all": blocks(1), "fast": blocks(0.5)})
    answer = answer_of(reader, regressed={("host", "digits/mlp", "fast"): "time +34.8%"})
    assert answer.sentence.startswith("Regressed: fast (time +34.8%). Use fast: 2.0× faster than ft-all")
    assert answer.regressed == ["fast (time +34.8%)"]
    elsewhere = answer_of(reader, regressed={("other", "digits/mlp", "fast"): "time +34.8%"})
    assert elsewhere.regressed == []


def test_each_board_and_task_has_its_answer_in_the_order_of_the_run(lab):
    lines = answer_lines(summarise(lab))
    assert [line.split(": ")[0] for line in lines] == ["pi5-01 · digits/mlp", "orin-02 · digits/mlp"]
    assert all("Stay with ft-all" in line and "skip2-lora if 1.6 points" in line for line in lines)


def test_conditions_stand_where_only_they_tell_two_answers_apart(run, make_record):
    extra = [
        make_record(rep_id=f"x-{label}-{b}", label=label, method=label, block=b, threads=4, wall_s=wall_s)
        for label, wall_s in (("ft-all", 2.0), ("fast", 1.9))
        for b in range(8)
    ]
    reader = run({"ft-all": blocks(1, 8), "fast": blocks(0.5, 8)}, extra=extra)
    assert [answer.where for answer in summarise(reader).answers] == [
        "host · digits/mlp (cpu 1 thread float32)",
        "host · digits/mlp (cpu 4 threads float32)",
    ]


def test_the_time_to_the_baselines_quality_is_told_where_another_method_wins_it(run, make_record):
    curves = {"ft-all": [(0, 0.0, 0.5), (1, 0.4, 0.9)], "fast": [(0, 0.0, 0.5), (1, 1.0, 0.9)]}
    marks = [
        make_record(
            rep_id=f"i-{label}", role="instrumented", label=label, method=label, quality=Quality(curve=curve)
        )
        for label, curve in curves.items()
    ]
    answer = answer_of(run({"ft-all": blocks(1), "fast": blocks(0.5)}, extra=marks))
    assert answer.notes == [
        "Counted by the time to reach the baseline's quality, ft-all is first (400 ms, 1 of 1 runs)."
    ]


def test_every_form_of_the_report_has_the_same_sentence(run):
    reader = run({"ft-all": blocks(1), "fast": blocks(0.2), "rich": blocks(1.5)}, points={"rich": 2.0})
    summary = summarise(reader)
    (answer,) = summary.answers
    plain = " ".join(table(summary).split())
    assert plain.startswith(f"What to use - {answer.line}")
    assert f"### What to use - {answer.line}" in " ".join(markdown(summary).split())
    assert as_json(summary)["answers"][0]["sentence"] == answer.sentence
    html = render(reader)
    words = answer.claim.removeprefix("Use fast").removesuffix(".")
    assert f'<p class="claim" data-slot="claim">Use <em>fast</em>{words}.</p>' in html
    assert all(f"<li>{other}</li>" in html for other in answer.others)
    json.dumps(as_json(summary), allow_nan=False)


def test_cautions_and_reasons_speak_of_the_same_number_of_blocks(run):
    """One method is one block away from a verdict, the other never will be: neither speaks for the other."""
    near = [4.0 * r for r in (1.0, 1.02, 0.99, 1.03, 1.0, 1.02, 0.99, 1.0)]
    edge = [4.0 * r for r in (1.02, 1.02, 1.021, 1.019, 1.02, 1.02, 1.021, 1.019)]
    summary = summarise(run({"ft-all": [4.0] * 8, "near": near, "edge": edge}))
    messages = {caution.message for caution in summary.cautions if caution.code == "unclear"}
    for row in summary.rows[1:]:
        words = settling(row.speed_up).words
        mine = [message for message in messages if row.label in message.split(":")[0]]
        assert [words in message for message in mine] == [True], (row.label, messages)
        assert f"{words[0].upper()}{words[1:]}." in row.verdicts["time"].reason
    assert settling(summary.rows[2].speed_up) == Settling(None)
    assert settling(summary.rows[1].speed_up).blocks is not None


def test_what_is_settled_or_withheld_needs_no_blocks(run):
    clear = summarise(run({"ft-all": blocks(1), "fast": blocks(0.5)}))
    assert settling(clear.rows[1].speed_up) is None
    withheld = summarise(run({"ft-all": blocks(1), "ft-all A/A": blocks(1.1), "fast": blocks(0.5)}))
    assert settling(withheld.rows[2].speed_up) is None


def test_the_few_blocks_of_a_caution_are_those_of_the_answer(run):
    summary = summarise(run({"ft-all": blocks(1, 3), "a": blocks(0.5, 3), "b": blocks(0.6, 3)}))
    (few,) = [caution.message for caution in cautions(summary) if caution.code == "few-blocks"]
    assert "3 blocks: too few for a verdict, which needs at least 7 with so many methods" in few
    assert "needs at least 7: 4 more are missing" in answers(summary)[0].sentence


def test_hostile_names_are_clean_in_the_sentence(run):
    answer = answer_of(run({"ft-all": blocks(1), "ev\x1b[31mil\n" + "x" * 5000: blocks(0.5)}))
    assert "\x1b" not in answer.sentence
    assert "\n" not in answer.sentence
    assert len(answer.sentence) < 600


@pytest.mark.parametrize("seed", range(6))
def test_the_word_faster_stands_for_a_verdict_and_for_nothing_else(run, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 10))
    ratios = {f"m{i}": float(np.exp(rng.normal(0, 0.4))) for i in range(3)}
    gains = {label: float(rng.normal(0, 1.5)) for label in ratios}
    methods = {
        "ft-all": blocks(1, n),
        **{label: blocks(r, n, noise=0.1, seed=i) for i, (label, r) in enumerate(ratios.items())},
    }
    summary = summarise(run(methods, points=gains, noise=0.5))
    (answer,) = summary.answers
    faster = {row.label for row in summary.rows if row.speed_up and row.speed_up.verdict == "FASTER"}
    assert ("× faster than" in answer.sentence) <= bool(faster)
    equal = {
        row.label
        for row in summary.rows
        if row.judged("accuracy") and row.judged("accuracy").verdict == "SAME"
    }
    assert (answer.state == "use" and "at equal" in answer.claim) <= (answer.choice in equal)


def test_a_point_that_equals_another_in_one_thing_and_is_worse_in_the_other_is_beaten():
    assert unbeaten([(1, 0.8), (1, 0.9), (2, 0.9)]) == [1]
    assert unbeaten([]) == []
