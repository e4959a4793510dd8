"""The fuzzer's corpus as tests, a short run of each engine on each reader, and what the fuzzer found."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.__main__ import fuzz
from tests.fuzz.mutators import MAX_B, mutate
from tests.fuzz.subjects import SUBJECTS, Subject
from tests.fuzz.watch import Watch
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.targets.agent.formats import MAX_CHARACTERS, read

ENGINES = ["hypothesis", "atheris"]


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda each: each.name)
def test_what_is_in_the_corpus_raises_documented_errors_only(subject):
    run, allowed = subject.load()
    for seed in subject.seeds():
        try:
            run(seed)
        except allowed:
            pass


def test_the_corpus_is_small():
    folder = Path(__file__).parent / "corpus"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda each: each.name)
def test_a_few_seconds_of_fuzzing_find_nothing(subject, engine, tmp_path):
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed (atheris has no wheel for every platform)")
    tally = fuzz(subject, engine, 2.0, tmp_path / "run")
    assert tally.executions > len(subject.seeds())
    assert tally.crashes == {}


def test_a_reader_that_raises_what_it_does_not_document_is_found(tmp_path):
    def careless(data: bytes) -> None:
        int(data.decode())

    watch = Watch(
        Subject("careless", "text", lambda: (careless, (UnicodeDecodeError,))), "none", 1.0, tmp_path
    )
    for data in (b"1", b"\xff", b"x", b"y"):
        watch.feed(data)
    (crash,) = watch.tally.crashes.items()
    assert crash[0].startswith("ValueError in ")
    assert (watch.tally.executions, watch.tally.accepted) == (4, 1)
    kept = Path(crash[1].partition(": ")[0])
    assert kept.read_bytes() == b"x"


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda each: each.name)
def test_changed_inputs_differ_and_mostly_keep_their_shape(subject):
    seeds, random = subject.seeds(), Random(7)
    changed = [mutate(subject.shape, random.choice(seeds), random, seeds) for _ in range(200)]
    assert len(set(changed)) > 100


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda each: each.name)
def test_an_input_that_is_changed_again_and_again_stays_small(subject):
    random, seeds = Random(7), subject.seeds()
    data = max(seeds, key=len)
    for _ in range(300):
        data = mutate(subject.shape, data, random, seeds)
        assert len(data) <= MAX_B


# -- found by the fuzzer ---------------------------------------------------------------------------------------

LONG = MAX_CHARACTERS - 100


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("throttled", "arm=948M" + "\n" * LONG + "x"),
        ("pmic", "a" * LONG + " current("),
        ("tegrastats", "RAM 1/2MB " + "a-" * (LONG // 2)),
        ("tegrastats", "RAM 1/2MB " + "CPU [" * (LONG // 5)),
        ("ina3221", "VDD" + "=" * LONG + "x"),
        ("ina3221", "VDD_IN: 1V " + "1" * LONG),
        ("nvpmodel", "NV Power Mode:x" + " " * LONG + "x"),
        ("nvpmodel", "NV Power Mode:" * (LONG // 14)),
        ("kasa", '{"a":' * (LONG // 5)),
    ],
)
def test_the_time_to_read_an_output_does_not_grow_with_the_square_of_its_length(kind, text):
    begun_s = time.process_time()
    read(kind, text)
    assert time.process_time() - begun_s < 2.0  # minutes, when it grew with the square


def test_an_output_that_is_too_long_is_refused():
    assert "at most" in str(read("tegrastats", "x" * (MAX_CHARACTERS + 1)).reason)


@pytest.mark.parametrize("params", ["{ a = nan }", "{ a = 2030-01-01 }", "{ a = [1, { b = -inf }] }"])
def test_what_cannot_travel_to_a_board_is_refused_in_the_suite(params, tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text(f'[suite]\nname = "a"\n\n[[workload]]\nlabel = "m"\ncommand = ["x"]\nparams = {params}\n')
    with pytest.raises(UsageError, match="params"):
        load_suite(str(path))
