"""The examples in docstrings of SSH's pure modules hold."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    ["transport.config.host_config", "transport.config.parsed", "transport.config.route", "agent.linux.said"],
)
def test_examples_hold(name):
    result = doctest.testmod(importlib.import_module(f"tunebench.targets.{name}"))
    assert result.failed == 0
    assert result.attempted > 0
