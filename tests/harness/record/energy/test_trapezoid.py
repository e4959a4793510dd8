"""Analytic traces are integrated within 0.5%, or refused with the reason; regular ones are never refused."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebench.harness.record.energy.counter import integrate_counter
from tunebench.harness.record.energy.rules import Rules, rules_for
from tunebench.harness.record.energy.trapezoid import Integral, integrate

RULES = Rules()
WINDOW = (3.0, 18.0)
ALLOWED = 0.005
EXAMPLES = settings(max_examples=150, deadline=None, derandomize=True)


def times(period_s=0.1, start_s=0.0, end_s=21.0):
    return [start_s + i * period_s for i in range(round((end_s - start_s) / period_s) + 1)]


def shifts(seed, jitter):
    """Yield random shifts of sampling times without end."""
    draw = random.Random(seed)
    while True:
        yield draw.uniform(-jitter, jitter)


def steps(edges):
    """Piecewise constant power from [(t, watts), ...], and its exact integral."""
    at = [t for t, _ in edges]

    def power(t):
        return edges[max(0, bisect_right(at, t) - 1)][1]

    def integral(a, b):
        cuts = [a, *[t for t in at if a < t < b], b]
        return math.fsum((right - left) * power(left) for left, right in pairwise(cuts))

    return power, integral


def check(outcome, exact):
    """Return whether energy was computed, which must then lie within 0.5% of ``exact``; False for a refusal."""
    if isinstance(outcome, str):
        return False
    assert abs(outcome.energy_j - exact) <= ALLOWED * exact
    return True


@pytest.mark.parametrize("slope", [-0.2, 0.0, 0.5])
def test_a_ramp_is_exact_with_interpolated_edges(slope):
    window = (3.03, 18.07)
    integral = integrate(times(), [5.0 + slope * t for t in times()], window, rules=RULES)
    exact = 5.0 * 15.04 + slope / 2 * (18.07**2 - 3.03**2)
    assert isinstance(integral, Integral)
    assert integral.energy_j == pytest.approx(exact, rel=1e-9)
    assert integral.mean_w == pytest.approx(exact / 15.04)
    assert (integral.n_samples, integral.coverage) == (150, 1.0)


@EXAMPLES
@given(
    low=st.floats(0.5, 20), high=st.floats(0.5, 20), jitter=st.floats(0, 0.6),
    start=st.floats(0.4, 5), length=st.floats(10.5, 15), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_ramps_sampled_irregularly_are_computed_within_the_bound(low, high, jitter, start, length, seed):
    grid = [t + 0.05 * shift for t, shift in zip(times(), shifts(seed, jitter), strict=False)]
    slope = (high - low) / 21.0
    window = (start, start + length)
    outcome = integrate(grid, [low + slope * t for t in grid], window, rules=RULES)
    assert check(outcome, low * length + slope / 2 * (window[1] ** 2 - window[0] ** 2)), outcome


@EXAMPLES
@given(
    mean=st.floats(2, 20), share=st.floats(0, 0.5), frequency=st.floats(0.02, 1.0), phase=st.floats(0, 6.3),
    jitter=st.floats(0, 0.6), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_a_sine_that_the_samples_resolve_is_computed_within_the_bound(
    mean, share, frequency, phase, jitter, seed
):
    grid = [t + 0.05 * shift for t, shift in zip(times(), shifts(seed, jitter), strict=False)]
    omega, swing = 2 * math.pi * frequency, share * mean
    values = [mean + swing * math.sin(omega * t + phase) for t in grid]
    a, b = WINDOW
    exact = mean * (b - a) - swing / omega * (math.cos(omega * b + phase) - math.cos(omega * a + phase))
    assert check(integrate(grid, values, WINDOW, rules=RULES), exact)


@EXAMPLES
@given(
    levels=st.lists(st.tuples(st.floats(0, 21), st.floats(0.3, 30)), min_size=1, max_size=8),
    period=st.floats(0.02, 0.14), offset=st.floats(0, 1), jitter=st.floats(0, 0.6),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_steps_are_within_the_bound_or_refused(levels, period, offset, jitter, seed):
    """No sampling sees a pulse shorter than its longest interval, so levels here last for two intervals."""
    kept = [(-10.0, 2.0)]
    for at, watts in sorted(levels):
        kept += [(at, watts)] if at - kept[-1][0] > 2 * period else []
    power, integral = steps(kept)
    grid = [
        t + (offset + shift / 2) * period
        for t, shift in zip(times(period), shifts(seed, jitter), strict=False)
    ]
    check(integrate(grid, [power(t) for t in grid], WINDOW, rules=RULES), integral(*WINDOW))


@EXAMPLES
@given(
    at=st.floats(3.5, 17.5), low=st.floats(2.0, 5.0), rise=st.floats(0.0, 4.0), period=st.floats(0.01, 0.05)
)
def test_one_step_that_the_samples_resolve_is_never_refused(at, low, rise, period):
    power, integral = steps([(-10.0, low), (at, low + rise)])
    outcome = integrate(times(period), [power(t) for t in times(period)], WINDOW, rules=RULES)
    assert check(outcome, integral(*WINDOW)), outcome


@EXAMPLES
@given(
    slope=st.floats(-0.2, 0.5), swing=st.floats(0, 2),
    lost=st.lists(st.integers(0, 420), max_size=30), as_null=st.booleans(),
)  # fmt: skip
def test_dropouts_are_within_the_bound_or_refused(slope, swing, lost, as_null):
    omega = 2 * math.pi * 0.2
    grid = times(0.05)
    values = [5.0 + slope * t + swing * math.sin(omega * t) for t in grid]
    a, b = WINDOW
    exact = 5.0 * (b - a) + slope / 2 * (b * b - a * a)
    exact -= swing / omega * (math.cos(omega * b) - math.cos(omega * a))
    if as_null:
        samples = [None if i in lost else value for i, value in enumerate(values)]
    else:
        grid = [t for i, t in enumerate(grid) if i not in lost]
        samples = [value for i, value in enumerate(values) if i not in lost]
    computed = check(integrate(grid, samples, WINDOW, rules=RULES), exact)
    assert computed or lost, "nothing was lost and yet it was refused"


def test_late_samples_lose_nothing_yet_and_failed_reads_do():
    """A busy sampler is up to a period late now and then: the trapezoid holds. A failed read is a gap."""
    kept = [i for i in range(421) if i % 40 != 7]
    late = integrate([0.05 * i for i in kept], [5.0 for _ in kept], WINDOW, rules=RULES)
    assert isinstance(late, Integral)
    assert late.coverage == 1.0
    failed = [None if i % 40 == 7 else 5.0 for i in range(421)]
    assert "97.7% of the window" in integrate(times(0.05), failed, WINDOW, rules=RULES)


def test_a_source_slower_than_the_sampler_has_rows_without_a_value_in_between():
    values = [5.0 if i % 4 == 0 else None for i in range(421)]
    integral = integrate(times(0.05), values, WINDOW, rules=rules_for("rails_sum", "pmic"))
    assert isinstance(integral, Integral)
    assert (integral.n_samples, integral.coverage) == (76, 1.0)


def test_one_lost_sample_in_a_hundred_is_no_reason_to_refuse():
    values = [None if i == 250 else 5.0 + 0.1 * i / 20 for i in range(421)]
    assert isinstance(integrate(times(0.05), values, WINDOW, rules=RULES), Integral)


@EXAMPLES
@given(first=st.floats(0, 5), last=st.floats(16, 21))
def test_gaps_at_the_edges_are_refused_unless_samples_enclose_the_window(first, last):
    grid = [t for t in times() if first <= t <= last]
    outcome = integrate(grid, [5.0 + 0.2 * t for t in grid], WINDOW, rules=RULES)
    encloses = grid[0] <= WINDOW[0] and grid[-1] >= WINDOW[1]
    assert check(outcome, 5.0 * 15 + 0.1 * (18**2 - 3**2)) == encloses
    if not encloses:
        assert "edge is not known" in outcome


def test_a_gap_over_an_edge_is_refused():
    grid = [t for t in times() if not 17.5 < t < 18.4]
    reason = integrate(grid, [5.0 for _ in grid], WINDOW, rules=RULES)
    assert reason == "no power sample for 0.90 s; more than 5 periods of 0.1 s are a gap"


def test_a_square_wave_locked_to_the_samples_is_refused():
    """Ten samples a period see 30% or 40% where 34.9% is true: no averaging helps."""
    values = [10.0 if (t % 1.0) < 0.349 else 1.0 for t in times()]
    assert "steps between samples" in integrate(times(), values, WINDOW, rules=RULES)


def test_noise_is_told_as_an_error_not_refused():
    values = [5.0 + 0.5 * math.sin(1000.0 * i * i) for i in range(211)]
    integral = integrate(times(), values, WINDOW, rules=RULES)
    assert isinstance(integral, Integral)
    assert abs(integral.energy_j - 75.0) < 3 * integral.error_j
    assert 0.1 < integral.error_j < 1.5


def test_steps_of_the_sensors_resolution_are_noise():
    quantum = 0.4
    exact = [5.0 + 0.02 * t for t in times()]
    readings = [quantum * round(value / quantum) for value in exact]
    integral = integrate(times(), readings, WINDOW, rules=Rules(quantum=quantum))
    assert isinstance(integral, Integral)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"window": (3.0, 12.0)}, "9.00 s is shorter than the 10 s"),
        ({"rules": Rules(clock_bound_s=0.5)}, "shorter than 50 times the 500.0 ms"),
        ({"power": lambda t: -5.0}, "negative (-5 W)"),
        ({"power": lambda t: 0.1}, "0.1 W is outside 0.2 .. 1000 W"),
        ({"power": lambda t: 5000.0}, "not believed"),
        ({"power": lambda t: None}, "0 power samples in the window; 100 are needed"),
        ({"power": lambda t: float("nan")}, "0 power samples in the window"),
        ({"grid": times(0.2)}, "76 power samples in the window; 100 are needed"),
        ({"grid": [*times(end_s=10.0), *times(start_s=9.0)]}, "do not increase"),
        ({"power": lambda t: 20.0 if round(10 * t) % 2 else 0.0}, "changes too much"),
    ],
)
def test_what_cannot_be_integrated_is_refused_with_the_reason(change, words):
    grid = change.get("grid", times())
    power = change.get("power", lambda t: 5.0)
    rules = change.get("rules", RULES)
    if words == "changes too much":
        rules = Rules(max_noise=0.02)
    reason = integrate(grid, [power(t) for t in grid], change.get("window", WINDOW), rules=rules)
    assert isinstance(reason, str)
    assert words in reason


def test_sequences_of_unequal_length_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="zip"):
        integrate([0.0, 1.0], [5.0], WINDOW, rules=RULES)


def test_a_step_where_clocks_are_not_known_is_refused():
    """A meter's window may lie 0.2 s off: with 4 W more on one side that is 0.8 J of 75 J."""
    power, _ = steps([(-10.0, 2.0), (3.1, 6.0)])
    values = [power(t) for t in times()]
    assert "at the window's edges" in integrate(times(), values, WINDOW, rules=Rules(clock_bound_s=0.2))
    flat = [6.0 for _ in times()]
    assert isinstance(integrate(times(), flat, WINDOW, rules=Rules(clock_bound_s=0.2)), Integral)


@pytest.mark.parametrize(
    ("scope", "source", "rate_hz", "window_s", "samples"),
    [
        ("module", "ina3221 hwmon", 25.0, 10.0, 100),
        ("module", "ina3221 hwmon", 1.0, 10.0, 30),
        ("rails_sum", "vcgencmd pmic_read_adc", None, 10.0, 30),
        ("dc_input", "ina228", 50.0, 10.0, 100),
        ("wall_ac", "shelly", 1.0, 60.0, 30),
    ],
)
def test_rules_follow_the_kind_of_source(scope, source, rate_hz, window_s, samples):
    rules = rules_for(scope, source, rate_hz=rate_hz)
    assert (rules.min_window_s, rules.min_samples) == (window_s, samples)
    assert rules_for("dc_input", "joulescope", rate_hz=1000.0).min_coverage == 0.999


# counters ------------------------------------------------------------------------------------------------------


def cumulative(power, grid, step_j=0.0, wrap_j=None):
    """Return readings of an ideal counter of the energy ``power(t)``, cut to its steps and wrapped."""
    primitive = [power(t) for t in grid]
    if step_j:
        primitive = [step_j * math.floor(value / step_j) for value in primitive]
    return [value % wrap_j for value in primitive] if wrap_j else primitive


@EXAMPLES
@given(
    watts=st.floats(1, 20), slope=st.floats(0, 1), period=st.floats(0.1, 1.0), offset=st.floats(0, 1),
    wrap=st.sampled_from([None, 50.0, 262.0]),
)  # fmt: skip
def test_a_counter_of_a_ramp_is_computed_within_the_bound_wraps_included(watts, slope, period, offset, wrap):
    grid = [t - 1 + offset * period for t in times(period, end_s=23.0)]
    readings = cumulative(lambda t: watts * (t + 2) + slope / 2 * (t + 2) ** 2, grid, wrap_j=wrap)
    exact = watts * 15 + slope / 2 * (20**2 - 5**2)
    outcome = integrate_counter(grid, readings, WINDOW, rules=RULES, wrap_j=wrap)
    computed = check(outcome, exact)
    assert computed or (wrap == 50.0 and (watts + 25 * slope) * period > 25), outcome


@EXAMPLES
@given(watts=st.floats(1, 100), step_j=st.floats(0.001, 20), step_known=st.booleans())
def test_a_coarse_counter_is_within_the_bound_or_refused(watts, step_j, step_known):
    grid = times()
    readings = cumulative(lambda t: watts * t, grid, step_j)
    rules = Rules(quantum=step_j) if step_known else RULES
    outcome = integrate_counter(grid, readings, WINDOW, rules=rules)
    computed = check(outcome, watts * 15)
    assert computed or step_j > 0.001 * watts * 15


@EXAMPLES
@given(at=st.floats(1, 20), low=st.floats(0.5, 5), high=st.floats(0.5, 30), period=st.floats(0.1, 2.0))
def test_a_counter_with_a_step_of_power_is_within_the_bound_or_refused(at, low, high, period):
    _, integral = steps([(-10.0, low), (at, high)])
    grid = times(period, start_s=-2.0, end_s=24.0)
    readings = [integral(-5.0, t) for t in grid]
    check(integrate_counter(grid, readings, WINDOW, rules=RULES), integral(*WINDOW))


@pytest.mark.parametrize(
    ("readings", "wrap_j", "words"),
    [
        (lambda t: 5 * t if t < 10 else 5 * (t - 10), None, "went backwards"),
        (lambda t: 5 * t if t < 10 else 5 * (t - 10), 60.0, "reset rather than wrapped"),
        (lambda t: 5 * t if t < 10 else 5 * (t - 10), 40.0, "read too rarely"),
        (lambda t: 5 * t if t < 17 else None, None, "both sides"),
        (lambda t: 100.0, None, "0 W is outside"),
        (lambda t: 3.6 * math.floor(5 * t / 3.6), None, "the counter tells the window's"),
    ],
)
def test_a_counter_that_cannot_be_believed_is_refused_with_the_reason(readings, wrap_j, words):
    reason = integrate_counter(times(), [readings(t) for t in times()], WINDOW, rules=RULES, wrap_j=wrap_j)
    assert isinstance(reason, str)
    assert words in reason
