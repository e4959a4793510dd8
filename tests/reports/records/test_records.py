"""The schema: frozen, finite, tolerant; its JSON Schema files are current and true."""

import json
import subprocess
import sys

import jsonschema
import pytest
from pydantic import ValidationError

from tunebench.reports.records import Energy, Reason, Repetition
from tunebench.reports.results import schema_files


def test_schema_files_are_current():
    texts = schema_files.schema_texts()
    assert set(texts) == {path.name for path in schema_files.FOLDER.iterdir()}
    for name, text in texts.items():
        stored = json.loads((schema_files.FOLDER / name).read_text(), object_hook=without_defaults)
        assert stored == json.loads(text, object_hook=without_defaults), (
            "run: python -m tunebench.reports.results.schema_files"
        )


def without_defaults(schema):
    """A part of a schema without what says nothing: pydantic below 2.10 writes it otherwise, or not at all."""
    says_nothing = [("additionalProperties", True)]
    if "const" in schema:
        says_nothing.append(("enum", [schema["const"]]))
    return {key: value for key, value in schema.items() if (key, value) not in says_nothing}


def test_schema_files_are_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(schema_files, "FOLDER", tmp_path / "schema")
    schema_files.main()
    assert len(list((tmp_path / "schema").iterdir())) == 3


@pytest.mark.parametrize(
    ("schema", "files"),
    [("rep", "reps.jsonl"), ("run", "run.json"), ("env", "env/host.before.json")],
)
def test_what_the_writer_stores_follows_its_schema(demo_run, schema, files):
    rules = json.loads((schema_files.FOLDER / f"{schema}.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(rules)
    for line in (demo_run / files).read_text().splitlines():
        validator.validate(json.loads(line))
        validator.validate({**json.loads(line), "a_newer_field": 1})


def test_the_schema_refuses_a_wrong_unit_type(demo_run):
    rules = json.loads((schema_files.FOLDER / "rep.schema.json").read_text())
    line = json.loads((demo_run / "reps.jsonl").read_text().splitlines()[0])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**line, "wall_s": "fast"}, rules)


def test_a_record_survives_its_line_bit_for_bit(make_record):
    rep = make_record(wall_s=0.1 + 0.2)
    again = Repetition.model_validate_json(rep.to_line())
    assert again == rep
    assert again.to_line() == rep.to_line()


def test_a_record_of_before_builds_and_multiply_adds_is_read(make_record):
    old = make_record().model_dump(by_alias=True, exclude={"engine_build", "madds"})
    assert (Repetition.model_validate(old).engine_build, Repetition.model_validate(old).madds) == (None, None)
    rep = make_record(engine_build="cortex_a53", madds={"forward": 3, "backward": 2, "update": 1})
    assert Repetition.model_validate_json(rep.to_line()) == rep


def test_a_record_of_before_energy_repetitions_is_read(make_record):
    old = make_record().model_dump(by_alias=True, exclude={"energy_other", "repeats", "repeats_s"})
    old |= {
        "schema": "tunebench.rep/1",
        "energy": {
            "gross_j": 30.0, "net_j": None, "scope": "module", "source": "ina3221", "mean_w": 3.0,
            "n_samples": 100, "rate_hz": 10.0, "max_gap_s": 0.1, "quantum_w": 0.04,
        },
    }  # fmt: skip
    read = Repetition.model_validate(old)
    assert read.schema_ == "tunebench.rep/1"
    assert (read.energy_other, read.repeats, read.repeats_s) == ([], None, [])
    assert read.energy is not None
    assert (read.energy.gross_j, read.energy.repeats, read.energy.j_per_finetuning) == (30.0, 1, None)


@pytest.mark.parametrize("role", ["timed", "instrumented", "check", "energy", "idle"])
def test_every_role_survives_its_line(make_record, role):
    energy = Energy(
        gross_j=60.0, scope="dc_input", source="ina228", rails=["in"], mean_w=5.0, std_w=0.1, window_s=12.0,
        n_samples=120, rate_hz=10.0, max_gap_s=0.1, coverage=1.0, quantum_w=0.01, repeats=4,
        j_per_finetuning=15.0, idle_before_w=2.0, net_reason="no idle baseline after it", clock_bound_s=0.001,
    )  # fmt: skip
    other = energy.model_copy(update={"scope": "module", "source": "ina3221"})
    rep = make_record(role=role, energy=energy, energy_other=[other], repeats=4, repeats_s=[3.0] * 4)
    assert Repetition.model_validate_json(rep.to_line()) == rep
    assert json.loads(rep.to_line())["schema"] == "tunebench.rep/1.4"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(make_record, value):
    with pytest.raises(ValidationError):
        Repetition.model_validate({**make_record().model_dump(by_alias=True), "wall_s": value})


def test_records_are_frozen():
    with pytest.raises(ValidationError):
        Reason(code="a", message="b").code = "c"


def test_importing_the_records_stays_light():
    code = (
        "import sys, tunebench.reports.records; "
        "print(sorted({'pandas', 'scipy', 'numpy', 'jinja2'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
