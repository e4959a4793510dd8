"""Write weights in 16 bits. Whether a runtime computes in them is for the board to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import Key
from tunebench.workloads.compress.state import Numbers, State

KEYS: dict[str, Key] = {}


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Ask for float16; the tensors themselves stay as they are until they are written."""
    return replace(state, numbers=Numbers("float16"))
