"""Updates after a fine-tuning: what a suite may ask for, and a campaign that ships them over every kind of link."""

from __future__ import annotations

import json
from array import array

import pytest

from tunebench.harness.artifacts.gather import Artifacts
from tunebench.harness.board import link
from tunebench.harness.campaign import repetition
from tunebench.harness.campaign.over_links.update_transfer import Index, computed, ship
from tunebench.harness.cli import params
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.planning.job import BoardContext, make_job, ships, workload_spec
from tunebench.harness.planning.plan import make_plan
from tunebench.harness.record.harvest import ExitRecord, Harvested, Samples, WorkloadResult
from tunebench.reports.records import Repetition
from tunebench.targets.client.replies import Owner
from tunebench.targets.client.update_channel import Applied, Fetched
from tunebench.targets.errors import UnreachableError
from tunebench.targets.payload import Blob
from tunebench.targets.transport.traffic_shaping import PROFILES
from tunebench.workloads import artefact, updates
from tunebench.workloads.methods import plan as plans
from tunebench.workloads.methods.table import method
from tunebench.workloads.models import graph_of

SUITE = """
[suite]
name = "shipping"
blocks = {blocks}
epochs = 1
aa = {aa}
instrumented = false
{keys}

[[workload]]
dataset = "shapes"
model = "unet-small"
methods = {methods}
batch = 6
lr = 0.005
rank = 2
"""


def write(folder, keys="", methods=("ft-all", "lorae"), blocks=1, aa="false"):
    path = folder / "shipping.toml"
    names = json.dumps(list(methods))
    path.write_text(SUITE.format(keys=keys, methods=names, blocks=blocks, aa=aa))
    return path


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('ship = ["adaptor"]', "expected FORM"),
        ('ship = ["adapter", "adapter/float32"]', "an update is given twice"),
        (
            'ship = ["adapter"]\nship_links = ["dsl"]',
            "unknown link 'dsl'; allowed: lan, wifi, lte, 250k, 50k",
        ),
        ('ship = ["adapter"]\nship_wait_s = -1', "ship_wait_s"),
    ],
)
def test_what_cannot_be_shipped_is_refused_with_what_can(tmp_path, keys, message):
    with pytest.raises(UsageError, match=message):
        load_suite(str(write(tmp_path, keys)))


def test_only_timed_repetitions_ship_and_the_control_does_not(tmp_path):
    suite = load_suite(str(write(tmp_path, 'ship = ["adapter"]', aa="true")))
    board = BoardEntry(id="here", kind="loopback")
    plan = make_plan(suite, [board], run_id="r", lab="l")
    shipping = {(planned.role, planned.workload.label) for planned in plan.repetitions if ships(planned)}
    assert shipping == {("timed", "ft-all"), ("timed", "lorae")}
    specs = [workload_spec(planned) for planned in plan.repetitions if ships(planned)]
    assert all(spec["ship"] == ["adapter/float32"] for spec in specs)


def test_a_suite_that_ships_nothing_keeps_its_plans_hash(tmp_path):
    suite = load_suite(str(write(tmp_path)))
    assert not any("ship" in key for key in suite.as_dict())
    assert not any("ship" in workload for workload in suite.as_dict()["cells"])


def test_the_built_in_suite_asks_for_every_form():
    suite = load_suite("lorae-ship")
    forms = {text.partition("/")[0] for text in suite.header.ship}
    assert forms == {"weights", "delta", "adapter"} and suite.header.ship_links == list(PROFILES)


def test_params_tells_the_files_size_beside_the_updates():
    counts = params.count("yolov8x", "lorae", 4)
    header_b = counts["update_file_b"] - counts["update_b"]
    assert header_b % 8 == 0 and 0 < header_b < 0.02 * counts["update_b"]
    full = params.count("unet-small", "ft-all", 4)
    assert full["update_file_b"] > full["update_b"] == 4 * full["trainable"]


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"name": "../../etc/passwd"}]},
        {"base_sha256": "x"},
        {"files": "many"},
        {"files": [{}] * 33},
    ],
)
def test_an_index_that_is_not_of_the_agreed_form_is_refused(change):
    with pytest.raises(ValueError, match="validation error"):
        Index.model_validate({"base_sha256": "a" * 64, "files": [], **change})


def test_a_transfer_that_is_not_waited_for_is_computed_and_says_so():
    transfer = computed(PROFILES["50k"], "board-host", 62_500)
    assert (transfer.how, transfer.seconds) == ("computed", pytest.approx(10.4))
    assert transfer.bit_s == pytest.approx(8 * 62_500 / 10.4)
    assert (transfer.link_bit_s, transfer.link_rtt_s) == (50e3, 0.4)


# -- boards and links that fail or lie: the measured fine-tuning keeps its record -----------------------


class ChannelStub:
    """Answer as a board would, with the test's index and contents; ``contents`` by file name."""

    def __init__(self, index, contents):
        self.index, self.contents = index, contents

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def listed(self):
        return self.index

    def fetch(self, name):
        return Fetched(self.contents[name], 0.1)

    def apply(self, content, sha256, *, packed, bound_s=0.0):
        return Applied(None, 0.1, 0.01, sha256)


class BoardStub:
    """A board that has one job with updates."""

    def __init__(self, channel):
        self.channel = channel

    def occupy(self, owner, hold_s, wait_s=0.0):
        return {}

    def updates(self, rep_id):
        return self.channel


class LinkStub:
    """A link on which every action happens at once, or fails with one error."""

    def __init__(self, board, error=None):
        self.board, self.error = board, error

    def persist(self, action):
        if self.error is not None:
            raise self.error
        return action()

    def check_stop(self):
        pass

    def tell(self, message):
        pass


@pytest.fixture
def shipping(tmp_path):
    """Return (job, context, index, contents) of a fine-tuning that has ended; ``contents`` by file name."""
    weights = artefact.encode(
        "weights", {}, {"x.weight": artefact.tensor("float32", (2, 2), [1.0, 2.0, 3.0, 4.0])}
    )
    base = tmp_path / "base.tbx"
    base.write_bytes(weights)
    after = {"x.weight": updates.Values((2, 2), array("f", [1.5, 2.0, 3.0, 4.5]))}
    before = {"x.weight": updates.Values((2, 2), array("f", [1.0, 2.0, 3.0, 4.0]))}
    made = updates.Exported(after, ("x.weight",), before, {}, 1.0)
    index = updates.write(str(tmp_path), [updates.parse_form("delta")], made, "ft-all", str(base))
    name = index["files"][0]["name"]
    contents = {name: (tmp_path / "updates" / name).read_bytes()}
    suite = load_suite(str(write(tmp_path, 'ship = ["delta"]\nship_links = []')))
    planned = make_plan(suite, [BoardEntry(id="here", kind="loopback")], run_id="r", lab="l").repetitions[0]
    task = planned.workload.task
    blob = Blob.of_bytes(weights, ".tbx")
    artifacts = Artifacts(Blob.of_bytes(b"", ".zip"), data={task: blob}, weights={task: blob})
    context = BoardContext("r", "l", "loopback", ("python3",), artifacts, owner=Owner(token="t"))
    return make_job(planned, context), context, index, contents


def test_what_a_board_ships_stands_in_the_record(shipping):
    job, context, index, contents = shipping
    done = ship(LinkStub(BoardStub(ChannelStub(index, contents))), job, context)
    assert done.missing is None
    (update,) = done.updates
    assert (update.form, update.n_values, update.tensor_b) == ("delta", 4, 16)
    assert [transfer.seconds for transfer in update.transfers] == [0.1, 0.1]
    assert update.transfers[0].bit_s == pytest.approx(80 * update.size_b)


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda index, raw: ({**index, "base_sha256": "b" * 64}, raw), "are of the base bbb"),
        (lambda index, raw: (index, raw[:-1]), "SHA-256 is"),
        (
            lambda index, raw: ({**index, "files": [{**index["files"][0], "header_b": 1}]}, raw),
            "were announced",
        ),
        (lambda index, raw: ({**index, "files": "all"}, raw), "index of updates: files"),
        (lambda index, raw: ({}, raw), "index of updates: base_sha256"),
    ],
    ids=["base", "bytes", "sizes", "form", "empty"],
)
def test_a_board_that_lies_about_its_updates_ships_none_and_keeps_its_record(shipping, lie, reason):
    job, context, index, contents = shipping
    (name,) = contents
    index, raw = lie(index, contents[name])
    done = ship(LinkStub(BoardStub(ChannelStub(index, {name: raw}))), job, context)
    assert done.updates == [] and reason in str(done.missing)


def test_a_board_that_is_lost_while_it_ships_leaves_a_reason(shipping):
    job, context, _, _ = shipping
    done = ship(LinkStub(None, UnreachableError("the link did not come back within 180 s")), job, context)
    assert done.updates == [] and "did not come back" in str(done.missing)


def test_a_stop_while_updates_are_shipped_loses_no_measurement(shipping):
    job, context, _, _ = shipping
    ended = ExitRecord(rep_id=job.planned.rep_id, outcome="ok")
    harvest = Harvested(ended, WorkloadResult(), None, Samples(), None, None)
    done = repetition._shipped(LinkStub(None, link.Interrupted()), job, context, harvest)
    assert done.updates == [] and "stopped" in str(done.missing)


def test_a_repetition_that_did_not_end_well_ships_nothing(shipping):
    job, context, _, _ = shipping
    ended = ExitRecord(rep_id=job.planned.rep_id, outcome="oom")
    harvest = Harvested(ended, None, None, Samples(), None, None)
    assert "did not end well" in str(repetition._shipped(LinkStub(None), job, context, harvest).missing)


@pytest.mark.slow
@pytest.mark.torch
def test_a_campaign_ships_updates_over_its_own_and_shaped_links(campaign, lab, few_shapes, tmp_path):
    keys = (
        'ship = ["weights", "delta", "adapter", "adapter/float16", "adapter/int8+zlib"]\n'
        'ship_links = ["lan", "lte", "50k"]\nship_wait_s = 3'
    )
    ran = campaign(lab("here"), write(tmp_path, keys, blocks=2))
    records = {(rep.label, rep.block): rep for rep in ran.reader.repetitions}
    assert all(rep.outcome == "ok" for rep in records.values())
    graph = graph_of("unet-small", (1, 64, 64), 4)
    for label, form in (("ft-all", "delta"), ("lorae", "adapter")):
        rep = records[label, 0]
        plan = plans.plan(method(label), graph, 2)
        files = {(update.form, update.dtype, update.packed): update for update in rep.updates}
        plain_update = files[form, "float32", False]
        # The measured number of bytes is the counted one.
        assert plain_update.tensor_b == rep.update_b == plans.counts(plan).update_b
        assert plain_update.size_b == plain_update.safetensors_b == params.file_b(plan, label)
        assert plain_update.base_sha256 == rep.prov.weights_sha256
        for update in rep.updates:
            own = [transfer for transfer in update.transfers if transfer.link == "own"]
            assert [(transfer.direction, transfer.how) for transfer in own] == [
                ("board-host", "measured"),
                ("host-board", "measured"),
            ]
            assert all(transfer.reason is None and transfer.seconds > 0 for transfer in update.transfers)
            assert all(transfer.apply_s > 0 for transfer in own if transfer.direction == "host-board")
            assert {transfer.size_b for transfer in update.transfers} == {update.size_b}
            assert [transfer.link for transfer in update.transfers] == ["own"] * 2 + ["lan"] * 2 + [
                "lte"
            ] * 2 + ["50k"] * 2
            for transfer in update.transfers[2:]:
                least_s = PROFILES[transfer.link].least_s(
                    update.size_b, up=transfer.direction == "board-host"
                )
                assert transfer.how == ("computed" if least_s > 3 else "shaped")
                assert transfer.seconds >= 0.98 * least_s
    assert len(records["ft-all", 0].updates) == 2 and len(records["lorae", 0].updates) == 5
    assert "no adapters" in records["ft-all", 0].missing["updates"]
    # Shaped links are measured in the first block only.
    assert {transfer.link for update in records["lorae", 1].updates for transfer in update.transfers} == {
        "own"
    }
    # Where the link takes the time, seconds are in proportion to bytes: the adapter is quicker than the weights.
    weights, adapter = (records["lorae", 0].updates[at] for at in (0, 2))
    for at in (4, 5):
        slow, quick = (update.transfers[at].seconds - PROFILES["lte"].rtt_s for update in (weights, adapter))
        assert 0.3 * weights.size_b / adapter.size_b < slow / quick < 1.3 * weights.size_b / adapter.size_b
    # Shipping is no part of the measured window.
    assert records["lorae", 0].wall_s < 30 and "save" not in records["lorae", 0].window_phases_s
    assert ran.reader.verify() == []


def test_records_of_before_updates_are_read(make_repetition):
    old = make_repetition().model_dump(by_alias=True, exclude={"updates"}) | {"schema": "tunebench.rep/1.1"}
    assert Repetition.model_validate(old).updates == []


@pytest.fixture
def make_repetition():
    """Function () -> a record with its required fields alone."""

    def make():
        return Repetition.model_validate(
            {
                "rep_id": "r1", "run_id": "run", "block": 0, "slot": 0, "role": "timed", "lab": "lab",
                "board_id": "b", "board_kind": "loopback", "task": "t", "dataset": "d", "model": "m",
                "method": "lorae", "label": "lorae", "engine": "torch", "device": "cpu", "threads": 1,
                "dtype": "float32", "seed": 0, "series_key": "k", "outcome": "ok", "verdict": "valid",
                "prov": {"tunebench": "0", "workload_sha256": "0"},
            }
        )  # fmt: skip

    return make
