"""Simulated labs whose nights are told apart by what a test does to them, not by noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tunebench.reports.history.simulated import SimulatedLab


def quiet_lab(**options: Any) -> SimulatedLab:
    """Make a lab of two boards with 0.3% noise within a night and 0.4% between nights."""
    lab = SimulatedLab(**{"boards": 2, "cells": 2, "bad_nights": 0.0, "seed": 3, **options})
    lab.series = [replace(series, repetition_noise=0.003, night_noise=0.004) for series in lab.series]
    return lab
