"""The page about methods of one's own names everything that such a method is given and may give back, and no more."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tunebench.harness.config.suite import load_suite
from tunebench.harness.planning.job import workload_spec
from tunebench.harness.planning.repetition import Planned
from tunebench.workloads import artefact, defaults, marks
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models import MODELS, graph_of
from tunebench.workloads.models.graph import weight_shapes
from tunebench.workloads.prepare.artefacts import SHIPPED
from tunebench.workloads.run import own_module
from tunebench.workloads.tasks.spec import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own-method.md").read_text(encoding="utf-8")
OWN = ROOT / "examples" / "own"


def section(heading: str) -> str:
    """Return a section of the page, without those that follow."""
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the tables in a text, heads and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0].startswith("`")]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([A-Za-z_.0-9]+)`", cell))


def given(suite: str) -> dict:
    """Return what the board is told of the method of an example's suite."""
    workload = next(workload for workload in load_suite(str(OWN / suite)).workloads if workload.own)
    return workload_spec(Planned("r", "b", 0, 0, "timed", 0, workload))


def test_the_page_names_every_key_of_a_modules_spec_and_no_other():
    documented = set().union(
        *(names(row[0]) for row in rows(section("What `spec` holds")) if row[2] == "yes")
    )
    assert documented == set(own_module.as_dict(parse(given("module.toml")), {}))


def test_the_page_names_every_key_of_a_commands_spec_and_no_other():
    documented = set().union(
        *(names(row[0]) for row in rows(section("What `spec` holds")) if row[3] == "yes")
    )
    assert documented == {*given("command.toml"), "paths"}


def test_the_page_names_the_functions_of_a_module():
    documented = {
        re.match(r"`(\w+)\(", row[0])[1] for row in rows(section("Form 1: a module (Python with torch)"))
    }
    assert documented == {*own_module.NEEDED, "facts"}


def test_the_page_says_that_batches_are_those_of_one_epoch():
    """As the code calls it: once an epoch."""
    (row,) = [row for row in rows(PAGE) if row[0] == "`batches(spec)`"]
    assert "**one epoch**" in row[1]
    assert "whole fine-tuning" not in row[1]


def test_the_page_names_what_facts_and_evaluate_may_return():
    facts = set().union(*(names(row[0]) for row in rows(section("What `facts` may return"))))
    assert facts == set(own_module.FACTS)
    source = inspect.getsource(own_module.OwnSession.evaluate)
    taken = set(re.findall(r'pop\("(\w+)"', source))
    assert taken == set().union(*(names(row[0]) for row in rows(section("What `evaluate` may return"))))


def test_the_page_names_the_arguments_of_result_and_the_functions_of_marks():
    text = section("Form 2: any command")
    arguments = [row for row in rows(text) if "(" not in row[0]]
    assert {name for row in arguments for name in names(row[0])} == set(
        inspect.signature(marks.result).parameters
    )
    functions = {re.match(r"`(\w+)\(", row[0])[1] for row in rows(text) if "(" in row[0]}
    assert functions == {"spec", "window_start", "mark", "window_end", "result"}
    assert all(callable(getattr(marks, name)) for name in functions)


def test_the_page_names_the_tensors_of_data():
    documented = set().union(
        *(names(cell) for row in section("Tensors").splitlines() for cell in row.split("|")[2:3])
    )
    shipped = set(artefact.read(str(SHIPPED / "digits.tbx")).tensors)
    assert shipped <= documented
    parts = {"finetune", "test"}
    assert {name for name in documented if name.split("_")[0] in parts} == {
        f"{part}_{kind}" for part in parts for kind in ("x", "y", "boxes")
    }


@pytest.mark.parametrize("model", sorted(MODELS))
def test_the_page_names_the_tensors_of_start_weights(model):
    documented = {
        name.partition(".")[2]
        for row in rows(section("Tensors"))
        for name in names(row[0])
        if "LAYER." in name
    }
    shape = (64,) if MODELS[model].task == "rows" else (3, 64, 64)
    try:
        tensors = weight_shapes(graph_of(model, shape, 4))
    except WorkloadError as error:
        pytest.skip(f"{model}: {error}")
    assert {name.rpartition(".")[2] for name, _ in tensors} <= documented
    assert documented == {"weight", "bias", "gamma", "beta", "mean", "variance"}


def test_the_epsilon_on_the_page_is_that_of_the_engines():
    assert "epsilon 1e-5" in section("Tensors")
    assert defaults.BATCHNORM_EPSILON == 1e-5


def test_a_module_gets_what_the_page_says_also_when_it_is_repeated():
    workload = next(workload for workload in load_suite(str(OWN / "module.toml")).workloads if workload.own)
    planned = Planned("r", "b", 0, 0, "energy", 0, replace(workload), window_s=12.0)
    spec = own_module.as_dict(parse(workload_spec(planned)), {})
    assert spec["mode"] == "energy"
    assert spec["repeat"].min_s == 12.0
