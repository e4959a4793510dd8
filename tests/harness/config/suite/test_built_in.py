"""The suites that come with tunebench: their names, their blocks, and what each is for."""

from __future__ import annotations

import pytest

from tunebench.harness.cli import completion
from tunebench.harness.config.suite import built_in_suites, load_suite
from tunebench.harness.config.tables.schema import LEVELS
from tunebench.harness.errors import UsageError


def test_every_level_is_a_built_in_suite_with_its_number_of_blocks():
    blocks = {name: load_suite(name).header.blocks for name in LEVELS}
    assert blocks == {"smoke": 1, "demo": 8, "quick": 3, "nightly": 5, "paper": 10}
    assert set(LEVELS) <= set(built_in_suites())


def test_an_unknown_suite_names_the_built_in_ones():
    with pytest.raises(UsageError, match=r"built in: smoke, demo, quick, nightly, paper"):
        load_suite("tomorrow")


def test_every_built_in_suite_says_in_one_sentence_what_it_is_for():
    for name in built_in_suites():
        assert completion.description(completion.suite_file(name))[-1] in ".?", name
