"""Exported runs: complete and checked; an anonymised one does not say who measured where."""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from dataclasses import replace

import duckdb
import pandas as pd
import pytest
from typer.testing import CliRunner

from tunebench.harness.cli.app import app
from tunebench.harness.errors import UsageError
from tunebench.reports.formatting.privacy import Anonymiser, scrubber
from tunebench.reports.history.simulated import SimulatedLab
from tunebench.reports.records import BoardEnv, Reason, Skip
from tunebench.reports.results import ResultsError, RunReader, RunWriter
from tunebench.reports.results.export import SALT, export_run, merge, salt_of, write_table
from tunebench.reports.results.layout import other_files
from tunebench.reports.summary import summarise

SECRETS = {
    "host": "zeus-lab-7",
    "user": "ann.miller",
    "address": "192.168.17.44",
    "ipv6": "fe80:0:0:0:1c2:3ff:fe4a:5b6c",
    "mac": "b8:27:eb:12:34:56",
    "serial": "10000000a1b2c3d4",
    "home": "/home/ann.miller/results",
    "board": "pi5-under-the-desk",
    "lab": "millers-lab",
}


@pytest.fixture
def secret_run(tmp_path, make_record):
    """A complete run that names a person or machine in every place that can hold text."""
    s = SECRETS
    where = f"{s['address']}, {s['ipv6']}, {s['mac']}"
    text = f"leased to {s['user']}@{s['host']} ({where}), serial: {s['serial']}, {s['home']}"
    plan = {
        "suite": {"name": "demo", "level": "demo", "blocks": 1, "delta": {"time": 0.02}},
        "boards": [s["board"]], "tasks": {}, "command": ["tunebench", "run", "--out", s["home"]],
        "repetitions": [{"rep_id": f"{s['board']}-b0"}], "started_utc": "2026-11-21T07:45:00Z",
    }  # fmt: skip
    writer = RunWriter.create(tmp_path / "results", s["lab"], "20261121T074500Z-a1b2", plan)
    rep = make_record(
        rep_id=f"{s['board']}-b0", lab=s["lab"], board_id=s["board"], outcome_reason=text,
        reasons=[Reason(code="lease", message=text)], missing={"energy": f"no sensor on {s['board']}: {text}"},
        check={"note": text},
    )  # fmt: skip
    trace = json.dumps({"schema": "tunebench.trace/1", "period_s": 0.2, "channels": [], "window_ns": [0, 1],
                        "events": [], "host": s["host"], "note": text}) + "\n[0]\n[5]\n"  # fmt: skip
    exit_record = {
        "schema": "tunebench.exit/1", "rep_id": rep.rep_id, "outcome": "ok", "process_s": 1.5, "boot_id": s["serial"],
        "warnings": [{"code": "busy", "message": text}], "lease_taken_over_from": {"owner": {"user": s["user"]}},
    }  # fmt: skip
    writer.append(
        rep,
        trace=trace.encode(),
        log=text.encode(),
        preds=b"[0,1,1,1]\n",
        exit_record=json.dumps(exit_record).encode(),
    )
    env = BoardEnv(
        board_id=s["board"], t_utc="2026-11-21T07:45:00Z", missing={"power": text},
        fingerprint={
            "hardware": {"model": "Raspberry Pi 5", "serial": s["serial"]},
            "os": {"hostname": s["host"], "kernel": "6.6"},
        },
    )  # fmt: skip
    writer.write_env(env, "before")
    writer.finish(
        suite="demo", tunebench="0.1.0", started_utc="2026-11-21T07:45:00Z", ended_utc="2026-11-21T08:00:00Z",
        boards=[s["board"], "offline-board"], blocks=1, command=["tunebench", s["home"]],
        skipped=[Skip(board_id="offline-board", reason=text)],
    )  # fmt: skip
    return writer.path


def everything_in(folder):
    """All text of a run, side files unpacked, names of files too."""
    from tunebench.reports.results.files import unpack

    parts = []
    for path in sorted(folder.rglob("*")):
        parts.append(str(path.relative_to(folder)))
        if path.is_file():
            data = path.read_bytes()
            parts.append((unpack(data) if path.suffix == ".gz" else data).decode())
    return "\n".join(parts)


def test_an_anonymised_copy_names_nobody(secret_run, tmp_path):
    assert all(secret in everything_in(secret_run.parents[4]) for secret in SECRETS.values())
    copy = RunReader(
        export_run(
            secret_run, tmp_path / "out", Anonymiser(b"salt", words=[SECRETS["host"], SECRETS["user"]])
        )
    )
    text = everything_in(tmp_path / "out")
    assert [name for name, secret in SECRETS.items() if secret in text] == []
    assert "offline-board" not in text
    record = json.loads(copy.exit_record(copy.repetitions[0]))
    assert (record["rep_id"], record["process_s"], record["outcome"]) == (
        copy.repetitions[0].rep_id,
        1.5,
        "ok",
    )


def test_an_anonymised_copy_is_a_whole_run_with_the_same_numbers(lab_run, tmp_path):
    copy = RunReader(export_run(lab_run, tmp_path / "out", Anonymiser(b"salt")))
    original = RunReader(lab_run)
    assert copy.verify() == []
    assert [rep.wall_s for rep in copy.repetitions] == [rep.wall_s for rep in original.repetitions]
    assert copy.manifest.counts == original.manifest.counts
    assert copy.preds(copy.repetitions[0]) == original.preds(original.repetitions[0])
    assert copy.trace(copy.repetitions[0]) == original.trace(original.repetitions[0])
    medians = [sorted(row.wall_s.median for row in summarise(run).rows) for run in (copy, original)]
    assert medians[0] == medians[1]


def test_an_anonymised_copy_holds_no_logs(secret_run, tmp_path):
    copy = RunReader(export_run(secret_run, tmp_path / "out", Anonymiser(b"salt")))
    assert copy.log(copy.repetitions[0]) is None


def test_pseudonyms_are_equal_with_one_salt_and_not_guessable_without(secret_run, tmp_path):
    first = RunReader(export_run(secret_run, tmp_path / "a", Anonymiser(b"salt"))).repetitions[0]
    two = RunReader(export_run(secret_run, tmp_path / "b", Anonymiser(b"salt"))).repetitions[0]
    other = RunReader(export_run(secret_run, tmp_path / "c", Anonymiser(b"pepper"))).repetitions[0]
    assert (first.board_id, first.series_key) == (two.board_id, two.series_key)
    assert first.board_id != other.board_id
    assert first.series_key != other.series_key
    assert first.board_model == "this machine (x86-64, 2 cores)"


def test_the_salt_is_made_once_is_secret_and_does_not_travel(secret_run, tmp_path):
    store = secret_run.parents[4]
    assert salt_of(store) == salt_of(store)
    assert (store / SALT).stat().st_mode & 0o077 == 0
    export_run(secret_run, tmp_path / "out", Anonymiser(salt_of(store)))
    assert not list((tmp_path / "out").rglob(SALT))
    (store / SALT).write_text("no salt")
    with pytest.raises(ResultsError, match="delete it to make a new one"):
        salt_of(store)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("at 10.0.0.12 now", "at [address] now"),
        ("kernel 6.1.0 and torch 2.13.0", "kernel 6.1.0 and torch 2.13.0"),
        ("eth0 DE-AD-BE-EF-00-01", "eth0 [mac]"),
        ("see /root/.ssh/id and /home/ann/x", "see ~/.ssh/id and ~/x"),
        ("by ann@zeus.example.org!", "by [user]@[host]!"),
        ("Serial: 10000000abcd", "Serial: [serial]"),
        ("time 12:30:45, ratio 3:4", "time 12:30:45, ratio 3:4"),
        ("board zeus is hot", "board [name] is hot"),
        ("a zeusian word", "a zeusian word"),
    ],
)
def test_free_text_loses_names_and_keeps_versions_and_times(text, hidden):
    assert Anonymiser(b"s", words=["zeus"]).text(text) == hidden


def test_an_unfinished_or_damaged_run_is_not_exported(secret_run, tmp_path):
    (secret_run / "reps.jsonl").open("a").write("x")
    with pytest.raises(ResultsError):
        export_run(secret_run, tmp_path / "out", Anonymiser(b"s"))
    (secret_run / "run.json").unlink()
    with pytest.raises(ResultsError, match="not exported"):
        export_run(secret_run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_plain_copy_is_equal_to_the_byte(lab_run, tmp_path):
    copy = export_run(lab_run, tmp_path / "out")
    assert everything_in(copy) == everything_in(lab_run)
    with pytest.raises(ResultsError, match="exists already"):
        export_run(lab_run, tmp_path / "out")


def test_merging_adds_each_run_once_and_refuses_another_of_its_name(lab_run, secret_run, tmp_path):
    roots = [lab_run.parents[4], secret_run.parents[4]]
    assert len(merge(roots, tmp_path / "all")) == 2
    assert merge(roots, tmp_path / "all") == []
    manifest = next(iter(merge(roots[:1], tmp_path / "other"))) / "run.json"
    manifest.write_text(manifest.read_text().replace('"blocks":', '"blocks" :'))
    with pytest.raises(ResultsError, match="another run of this name"):
        merge(roots[:1], tmp_path / "other")


# -- one name for two machines ----------------------------------------------------------------

PI5, PI4 = {"model": "Raspberry Pi 5", "ram_b": 1}, {"model": "Raspberry Pi 4", "ram_b": 1}


def lab_of(root, hardware, *, night=0, board_id="board-00", lab="my-lab"):
    """A results root with one night of one board."""
    made = SimulatedLab(boards=1, cells=1, lab=lab)
    made.series = [replace(series, board_id=board_id) for series in made.series]
    probed = {"os": {}} if hardware is None else {"hardware": hardware}
    folder = made.write_night(root, night, fingerprints={board_id: probed})
    manifest = json.loads((folder / "run.json").read_text())
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in other_files(folder)}
    (folder / "run.json").write_text(json.dumps(manifest | {"files": sums}))
    return root


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (PI5, PI4),
        (PI5 | {"serial_sha256": "a" * 64}, PI5 | {"serial_sha256": "b" * 64}),
        (PI5 | {"serial_sha256": None}, PI4 | {"serial_sha256": "b" * 64}),
        (PI5, PI5 | {"cores": 8, "model": "Raspberry Pi 5 Model B Rev 1.1"}),
    ],
)
def test_merging_refuses_two_machines_under_one_name(tmp_path, old, new):
    roots = [lab_of(tmp_path / "a", old), lab_of(tmp_path / "b b", new, night=1)]
    with pytest.raises(ResultsError, match=r"board 'board-00' of lab 'my-lab' is another machine than in") as refused:
        merge(roots, tmp_path / "all")
    assert not (tmp_path / "all").exists(), "nothing was copied"
    command = str(refused.value).partition("knowingly: ")[2]
    assert CliRunner().invoke(app, shlex.split(command)[1:]).exit_code == 0
    assert len(list((tmp_path / "all").glob("*/*/*/*/*/run.json"))) == 2
    assert merge(roots, tmp_path / "all") == [], "told once, they are together"


def test_it_refuses_a_machine_other_than_the_one_that_is_there(tmp_path):
    merge([lab_of(tmp_path / "a", PI5)], tmp_path / "all")
    with pytest.raises(ResultsError, match="model 'Raspberry Pi 5' and 'Raspberry Pi 4'"):
        merge([lab_of(tmp_path / "b", PI4, night=1)], tmp_path / "all")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (PI5, PI5 | {"ram_b": 2, "cores_online": "0-2"}),
        (PI5, PI5 | {"gpu": "found by a newer probe"}),
        (PI5, None),
        (PI5 | {"serial_sha256": "a" * 64}, PI5 | {"serial_sha256": "a" * 64, "model": "Rev 1.1"}),
        (PI5 | {"serial_sha256": None}, PI5 | {"serial_sha256": "b" * 64}),
    ],
)
def test_merging_takes_one_machine_for_one(tmp_path, old, new):
    assert len(merge([lab_of(tmp_path / "a", old), lab_of(tmp_path / "b", new, night=1)], tmp_path / "all")) == 2


@pytest.mark.parametrize("other", [{"board_id": "board-07"}, {"lab": "your-lab"}])
def test_machines_with_names_of_their_own_are_merged(tmp_path, other):
    roots = [lab_of(tmp_path / "a", PI5), lab_of(tmp_path / "b", PI4, night=1, **other)]
    assert len(merge(roots, tmp_path / "all")) == 2


def test_a_store_without_runs_beside_its_decisions_takes_some(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "decisions.jsonl").write_text("")
    assert len(merge([lab_of(tmp_path / "a", PI5)], tmp_path / "all")) == 1


def test_merging_leaves_out_what_is_not_complete(secret_run, tmp_path):
    (secret_run / "run.json").unlink()
    messages = []
    assert merge([secret_run.parents[4]], tmp_path / "all", progress=messages.append) == []
    assert "not complete" in messages[0]


def test_tables_hold_every_repetition(lab_run, tmp_path):
    n = len(RunReader(lab_run).repetitions)
    assert write_table([lab_run], tmp_path / "x.csv") == n
    assert write_table([lab_run], tmp_path / "x.parquet") == n
    assert len(pd.read_csv(tmp_path / "x.csv")) == n
    with duckdb.connect() as database:
        rows = database.execute(
            "SELECT count(*) FROM read_parquet(?)", [str(tmp_path / "x.parquet")]
        ).fetchall()
    assert rows == [(n,)]
    with pytest.raises(ResultsError, match=r"neither \.csv nor \.parquet"):
        write_table([lab_run], tmp_path / "x.xlsx")


def test_the_commands_do_the_same(secret_run, tmp_path):
    call = CliRunner().invoke
    result = call(app, ["export", str(secret_run), "--out", str(tmp_path / "out"), "--anonymise",
                        "--table", str(tmp_path / "t.csv")])  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "(1 repetitions)" in result.stdout
    assert SECRETS["board"] not in (tmp_path / "t.csv").read_text()
    result = call(app, ["merge", str(tmp_path / "out"), "--out", str(tmp_path / "all")])
    assert "1 run(s) added" in result.stdout


@pytest.mark.parametrize("args", [[], ["--anonymise", "--table", "x.csv"]])
def test_an_export_of_nothing_says_what_to_give(secret_run, args):
    result = CliRunner().invoke(app, ["export", str(secret_run), *args])
    assert isinstance(result.exception, UsageError)


@pytest.mark.parametrize("piece", ["x", "/a", "serial", "a.", "1.", "a:", "/", "-", "@", "/home", "serial="])
def test_looking_through_hostile_text_takes_time_in_proportion_to_its_length(piece):
    scrub = scrubber(["somebody"])
    begun_s = time.process_time()
    scrub((piece * 20_000)[:20_000])
    assert time.process_time() - begun_s < 0.5  # a quadratic pattern takes 2 s and more
