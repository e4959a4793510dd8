"""The gate on a real board: a slower build of one's own method is caught the same night; a slow board is not."""

from __future__ import annotations

import json
import shutil

import pytest
from rich.console import Console

from tunebench.harness.artifacts import build_cache
from tunebench.harness.campaign.run import run as run_suite
from tunebench.harness.campaign.session import Request
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.nightly import gate
from tunebench.harness.nightly.confirm import find_baseline
from tunebench.reports.results import RunReader

NIGHTS = 11


@pytest.fixture
def lab(own_method, tmp_path, monkeypatch):
    """A results root with eleven nights of one method on a loopback board, ready for one more night."""
    monkeypatch.setattr(build_cache, "default_folder", lambda: tmp_path / "built")
    lab = Lab(tmp_path, own_method)
    first = lab.night(0.40)
    for number in range(1, NIGHTS):
        _copy_night(first, number)
    return lab


class Lab:
    """Runs nights of the suite with a method that takes so many seconds."""

    def __init__(self, path, own_method):
        own_method(0.0)
        self.path, self.own_method = path, own_method
        self.store = path / "results"
        self.inventory = load_inventory(path / "lab.toml")

    def night(self, seconds):
        self.own_method(seconds)
        request = Request(
            load_suite(str(self.path / "suite.toml")), self.inventory.boards, "lab1", self.store
        )
        code, folder = run_suite(request, Console(quiet=True))
        assert code == 0
        return folder

    def judge(self, folder, baseline):
        screened = gate.gate(folder, self.store)
        return gate.confirmed(screened, folder, self.store, self.inventory, baseline)


def _copy_night(folder, number):
    """Copy a night to some days before it: a test cannot wait for a real history."""
    run_id = f"20260101T0000{number:02}Z-000000"
    target = folder.parents[2] / "01" / f"{number:02}" / run_id
    shutil.copytree(folder, target)
    (target / "run.json").unlink()
    for name in ("plan.json", "reps.jsonl"):
        lines = []
        for line in (
            (target / name).read_text().splitlines()
            if name == "reps.jsonl"
            else [(target / name).read_text()]
        ):
            value = json.loads(line)
            value["run_id"] = run_id
            if name == "plan.json":
                value["started_utc"] = f"2026-01-{number:02}T00:00:00Z"
            lines.append(json.dumps(value))
        (target / name).write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_a_slower_build_is_a_regression_confirmed_on_the_board(lab):
    pinned = RunReader(gate.find_run(lab.store)).path
    payload = RunReader(pinned).repetitions[0].prov.payload_sha256
    folder = lab.night(0.52)
    judgement = lab.judge(folder, payload[:12])
    finding = judgement.findings[0]
    assert (judgement.exit_code, finding.verdict) == (1, "REGRESSION")
    assert finding.confirmation.n == 10
    assert finding.confirmation.change == pytest.approx(0.3, abs=0.05)
    confirmations = list((lab.store / "confirmations").glob("*/*/*/*/*/run.json"))
    assert len(confirmations) == 1
    assert gate.gate(folder, lab.store).screened == judgement.screened, "pairs are no nights"


@pytest.mark.slow
def test_the_pinned_build_is_found_in_a_store_that_hosts_share_and_confirmed_from_there(lab, tmp_path):
    from typer.testing import CliRunner

    from tunebench.harness.cli import gate as gate_cli
    from tunebench.reports.history.simulated import seal
    from tunebench.reports.stores.address import address_of
    from tunebench.reports.stores.pushing import push

    pinned = RunReader(max(lab.store.glob("*/*/*/*/*/run.json")).parent).path
    payload = RunReader(pinned).repetitions[0].prov.payload_sha256
    store = address_of(f"parquet://{tmp_path}/share")
    push([pinned], store)
    for wanted in (payload[:12], f"{store}#{pinned.name}"):
        assert find_baseline(store, wanted).plan_view.run_id == pinned.name
    with pytest.raises(UsageError, match="no other run of parquet:"):
        find_baseline(store, payload[:12], judged=pinned.name)
    with pytest.raises(UsageError, match="no other run of parquet:"):
        find_baseline(store, "0123456789ab")
    # Tonight's run is judged by the store's history, and its pairs lie in a folder of this host.
    for night in lab.store.glob("*/2026/01/*/*"):
        manifest = json.loads((pinned / "run.json").read_text())
        (night / "run.json").write_text(json.dumps({**manifest, "run_id": night.name}))
        seal(night)
    folder = lab.night(0.52)
    push([lab.store], store)
    words = ["--run", f"{store}#{folder.name}", "--store", str(store), "-i", str(tmp_path / "lab.toml")]
    done = CliRunner().invoke(
        gate_cli.app,
        [*words, "--baseline", f"{store}#{pinned.name}", "--out", str(tmp_path / "pairs"), "--json"],
    )
    (finding,) = json.loads(done.stdout)["findings"]
    assert (done.exit_code, finding["verdict"]) == (1, "REGRESSION"), done.stderr
    assert len(list((tmp_path / "pairs" / "confirmations").glob("*/*/*/*/*/run.json"))) == 1


@pytest.mark.slow
def test_a_night_cannot_be_its_own_yardstick(lab):
    folder = lab.night(0.52)
    judgement = lab.judge(folder, str(folder))
    assert judgement.exit_code == 3
    assert "byte for byte" in judgement.findings[0].reason


@pytest.mark.slow
def test_a_build_that_is_gone_is_unclear_with_the_reason(lab):
    pinned = gate.find_run(lab.store)
    own = RunReader(pinned).repetitions[0].prov.own_sha256
    folder = lab.night(0.52)
    (lab.path / "built" / f"{own}.zip").unlink()
    judgement = lab.judge(folder, str(pinned))
    assert judgement.exit_code == 3
    assert f"own {own[:12]} is not kept on this host" in judgement.findings[0].reason


@pytest.mark.slow
def test_a_wrong_baseline_is_told_on_quiet_nights_too(lab):
    folder = lab.night(0.40)
    assert lab.judge(folder, str(folder)).exit_code == 0
    with pytest.raises(UsageError, match="used that payload"):
        lab.judge(folder, "0123456789ab")


@pytest.mark.parametrize("wrong", ["abc", "not-a-hash", "/nowhere/at/all"])
def test_what_is_no_baseline_is_refused_with_what_one_must_be(tmp_path, wrong):
    with pytest.raises(UsageError, match="neither a run's directory nor 8 or more"):
        find_baseline(tmp_path, wrong)


def test_boards_without_a_build_to_compare_with_are_refused(tmp_path):
    from typer.testing import CliRunner

    from tunebench.harness.cli.app import app

    result = CliRunner().invoke(app, ["gate", "--run", str(tmp_path), "-i", "lab.toml"])
    assert isinstance(result.exception, UsageError)
    assert "--inventory lab.toml: is for confirming" in str(result.exception)
    assert "--baseline" in str(result.exception)


def test_a_kept_build_that_was_damaged_is_not_used(tmp_path):
    from tunebench.targets.payload import Blob

    blob = Blob.of_bytes(b"content", ".zip", role="own")
    build_cache.keep([blob, Blob.of_bytes(b"data", ".tbx", role="data")], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [blob.name]
    assert build_cache.kept(blob.sha256, ".zip", "own", tmp_path).sha256 == blob.sha256
    (tmp_path / blob.name).write_bytes(b"other")
    assert build_cache.kept(blob.sha256, ".zip", "own", tmp_path) is None
