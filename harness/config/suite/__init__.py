"""Suites: TOML files that say what to measure.

::

    [suite]
    name = "mine"
    blocks = 3                  # every method once a block, in random order
    epochs = 10                 # default: the protocol's for each data set
    baseline = "ft-all"         # what the others are compared with; also the A/A control
    energy = true               # energy repetitions and idle baselines on boards that tell their power
    bases = 3                   # start weights from 3 pretrainings: block k begins from base k modulo 3; default: 1

    [[workload]]
    dataset = "digits"
    model = "mlp"
    methods = ["ft-all", "lora-all", "skip2-lora"]

    [[workload]]                # a method of your own, compared with those above
    dataset = "digits"
    model = "mlp"
    label = "my-method"
    module = "my_ft.py"         # or: command = ["python3", "train.py"]
    files = ["my_ft.py"]        # travel with the payload; relative to this file
"""

from __future__ import annotations

from tunebench.harness.config.suite.built_in import built_in_suites
from tunebench.harness.config.suite.comparisons import AA_SUFFIX
from tunebench.harness.config.suite.load import load_suite, suite_of
from tunebench.harness.config.suite.suite import MAX_BLOCKS, Suite, sized
from tunebench.harness.config.suite.workload import Workload

__all__ = [
    "AA_SUFFIX",
    "MAX_BLOCKS",
    "Suite",
    "Workload",
    "built_in_suites",
    "load_suite",
    "sized",
    "suite_of",
]
