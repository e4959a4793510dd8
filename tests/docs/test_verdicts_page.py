"""docs/verdicts.md describes every check as it is applied."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tunebench.harness.board import link
from tunebench.harness.config.tables.schema import Header
from tunebench.harness.planning import limits
from tunebench.harness.record.validity import checks, throttling, timing
from tunebench.targets.agent.job import watchdog

ROOT = Path(__file__).parents[2]


def writer():
    spec = importlib.util.spec_from_file_location("verdicts_page", ROOT / "scripts" / "verdicts_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_tables_say():
    text = (ROOT / "docs" / "verdicts.md").read_text()
    assert writer().page(text) == text, "run: python scripts/verdicts_page.py"


def test_the_figures_in_words_are_the_figures_applied():
    by_code = {check.code: check.threshold for check in (*checks.CHECKS, *writer().GATES)}
    figures = {
        "hot": f"({limits.MAX_TEMP_C:g} C)",
        "start-temp": f"({Header(name='x').start_window_c:g} C)",
        "disk": f"({limits.MIN_FREE_B >> 20} MiB)",
        "memory": f"({limits.MIN_FREE_B >> 20} MiB)",
        "clock-bound-before": f"({limits.MAX_CLOCK_BOUND_S:g} s)",
        "too-hot": f"{watchdog.MARGIN_C:g} C under",
        "clock-low": f"{100 * throttling.MIN_CLOCK_SHARE:g}%",
        "near-trip": f"within {throttling.TRIP_MARGIN_C:g} C",
        "suspended": f"{1000 * timing.MIN_SLEEP_S:g} ms",
        "clock-step": f"{timing.MAX_STEP_S:g} s",
        "busy-load": f"+ {checks.MAX_LOAD_1M:g}",
        "sampler-gap": f"{timing.MAX_GAP_PERIODS:g} periods",
        "sampler-rate": f"{100 * timing.MAX_RATE_SHARE:g}%, where at least {timing.MIN_SAMPLES}",
        "channel-errors": f"{100 * timing.MAX_ERROR_SHARE:g}%",
        "clock-bound": f"{100 * timing.MAX_CLOCK_SHARE:g}%",
        "clock-drift": f"{timing.MAX_DRIFT_PPM:g} ppm",
    }
    for code, figure in figures.items():
        assert figure in by_code[code], code
    busy = by_code["busy"]
    assert f"({limits.NOTE_BACKGROUND_CORES:g} of one core)" in busy
    assert f"({limits.MAX_BACKGROUND_CORES:g})" in busy
    text = (ROOT / "docs" / "verdicts.md").read_text()
    assert f"({link.CONDITION_PATIENCE_S:g} s)" in text
    assert f"for {limits.GAP_S:g} s" in text
    assert f"{watchdog.DEFAULT_C:g} C" in text
