"""Quantise to 8 bits with scales that are fixed on the host, by calibration samples of the fine-tuning part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import Key
from tunebench.workloads.compress.state import Numbers, State
from tunebench.workloads.compress.train import ranges_of

KEYS: dict[str, Key] = {}


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Look at the range of every value over the calibration samples."""
    ranges = ranges_of(state, context.calibration.inputs)
    return replace(state, numbers=Numbers("int8-static", ranges=ranges))
