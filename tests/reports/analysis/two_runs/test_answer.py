"""What a comparison of two runs comes to: what is worse stands first, what is open is not hidden."""

from tunebench.reports.analysis.two_runs.answer import Moved, comparison_answer


def moved(verdict, far, label="ft-all", quantity="time"):
    return Moved(f"pi5-01 · digits/mlp · {label}", quantity, verdict, f"{100 * far:+.1f}%", abs(far))


def test_what_is_worse_stands_first_with_the_worst_of_it():
    answer = comparison_answer(
        [
            moved("FASTER", -0.5, "a"),
            moved("SLOWER", 0.1, "b"),
            moved("SLOWER", 0.348, "c"),
            moved("SAME", 0.0),
        ]
    )
    assert answer == (
        "B is worse than A in 2 of 4 comparisons: time +34.8% (pi5-01 · digits/mlp · c), "
        "time +10.0% (pi5-01 · digits/mlp · b); better in 1: time -50.0% (pi5-01 · digits/mlp · a); 1 is the same."
    )


def test_a_loss_of_accuracy_and_more_joules_are_worse():
    answer = comparison_answer(
        [moved("LOWER", -0.02, quantity="accuracy"), moved("MORE", 0.1, quantity="energy")]
    )
    assert answer.startswith("B is worse than A in 2 of 2 comparisons: energy +10.0%")


def test_only_better_is_better():
    assert comparison_answer([moved("LESS", -0.1, quantity="memory")]).startswith(
        "B is better than A in 1 of 1 comparisons: memory -10.0%"
    )


def test_what_is_open_is_told():
    answer = comparison_answer([moved("UNCLEAR", 0.1), moved("NO VERDICT", 0.1), moved("NO VERDICT", 0.2)])
    assert answer == (
        "B is not shown to differ from A in any of 3 comparisons; 1 is open; 2 are without a verdict."
    )


def test_of_many_two_are_named_and_the_rest_is_counted():
    answer = comparison_answer([moved("SLOWER", 0.1 * i, f"m{i}") for i in range(1, 6)])
    assert (
        "time +50.0% (pi5-01 · digits/mlp · m5), time +40.0% (pi5-01 · digits/mlp · m4) and 3 more" in answer
    )


def test_nothing_in_common_is_no_answer():
    assert comparison_answer([]) == "The runs share no series."
