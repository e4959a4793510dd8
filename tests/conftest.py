"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

_DATA = ("TUNEBENCH_DATA", "TUNEBENCH_CAPTURES")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where the real data are promised, a test that skips for want of them has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        promised = [name for name in _DATA if os.environ.get(name)]
        reason = str(report.longrepr)
        if promised and (item.get_closest_marker("data") or any(name in reason for name in _DATA)):
            report.outcome = "failed"
            report.longrepr = f"{', '.join(promised)} is set, yet this test was skipped: {reason}"
    return report
