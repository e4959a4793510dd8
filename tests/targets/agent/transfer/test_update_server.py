"""Updates on a board: fetched, applied in one step, and refused without a trace if anything about them is wrong."""

from __future__ import annotations

import hashlib
import json
import random
import struct
import zlib
from array import array

import pytest

from tunebench.targets.agent.transfer import safetensors, update_check, update_server
from tunebench.targets.agent.transfer.safetensors import Refused
from tunebench.targets.errors import TargetError
from tunebench.workloads import artefact
from tunebench.workloads import updates as made_by
from tunebench.workloads.updates import Exported, Form, Values
from tunebench.workloads.updates import safetensors as writer

SHAPES = {
    "conv.weight": (4, 3, 3, 3),
    "conv.gamma": (4,),
    "conv.beta": (4,),
    "head.weight": (5, 4),
    "head.bias": (5,),
}
RANK = 2


def numbers(seed, shape):
    rng = random.Random(seed)
    return Values(shape, array("f", [rng.gauss(0, 1) for _ in range(writer.product(shape))]))


def exported(seed=1):
    weights = {name: numbers(f"{seed}{name}", shape) for name, shape in SHAPES.items()}
    base = {name: numbers(f"base{name}", shape) for name, shape in SHAPES.items()}
    adapter = {
        "conv.extractor": numbers(f"{seed}a", (RANK, 3, 3, 3)),
        "conv.mapper": numbers(f"{seed}b", (4, RANK, 1, 1)),
        "head.extractor": numbers(f"{seed}c", (RANK, 4)),
        "head.mapper": numbers(f"{seed}d", (5, RANK)),
    }
    return Exported(weights, tuple(SHAPES), base, adapter, 1.0)


class Job:
    """A job that has ended, on disk as a board has it: base weights, updates, their index."""

    def __init__(self, folder, forms):
        self.folder = folder
        (folder / "updates").mkdir(parents=True)
        self.base = folder / "base.tbx"
        tensors = {
            name: artefact.tensor("float32", shape, numbers(f"base{name}", shape).data)
            for name, shape in SHAPES.items()
        }
        artefact.write(str(self.base), "weights", {}, tensors)
        paths = {"weights": str(self.base)}
        (folder / "job.json").write_text(json.dumps({"schema": "tunebench.job/1", "paths": paths}))
        wanted = [made_by.parse_form(text) for text in forms]
        self.index = made_by.write(str(folder), wanted, exported(), "lorae", str(self.base))

    def raw(self, name):
        return (self.folder / "updates" / name).read_bytes()

    @property
    def serving(self):
        path = self.folder / "updates" / update_server.SERVING
        return path.read_bytes() if path.exists() else None


FORMS = ("weights", "delta/float16", "adapter", "adapter/int8+zlib")


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path / "jobs" / "rep-1", FORMS)


def sha256(raw):
    return hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("at", range(len(FORMS)))
def test_a_whole_update_is_put_in_force(job, at):
    entry = job.index["files"][at]
    raw = job.raw(entry["name"])
    answer = update_server.apply(str(job.folder), raw, sha256(raw), entry["packed"])
    assert answer["applied"] is True and answer["apply_s"] > 0
    plain = zlib.decompress(raw) if entry["packed"] else raw
    assert job.serving == plain and answer["serving"] == sha256(plain)
    assert [path.name for path in (job.folder / "updates").glob("*.part*")] == []


# -- a hundred corrupted ones -------------------------------------------------------------------------


def parts_of(raw):
    """Return (header as JSON, bytes of the values) of a safetensors file."""
    size_b = 8 + struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8:size_b]), raw[size_b:]


def rewritten(header, body):
    """Return a file with another header, whose own checksum is right."""
    header["__metadata__"]["file_sha256"] = "0" * 64
    text = json.dumps(header, separators=(",", ":")).encode()
    head = struct.pack("<Q", len(text)) + text
    own = sha256(head + body).encode()
    return head.replace(b'"file_sha256":"' + b"0" * 64, b'"file_sha256":"' + own) + body


def bit_flipped(raw, rng):
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def cut_off(raw, rng):
    return raw[: rng.randrange(len(raw))]


def prolonged(raw, rng):
    return raw + rng.randbytes(rng.randrange(1, 200))


def swapped(raw, rng):
    half = len(raw) // 2
    return raw[half:] + raw[:half]


def of_noise(raw, rng):
    return rng.randbytes(len(raw))


def of_another_base(raw, rng):
    header, body = parts_of(raw)
    header["__metadata__"]["base_sha256"] = rng.randbytes(32).hex()
    return rewritten(header, body)


def renamed(raw, rng):
    header, body = parts_of(raw)
    name = rng.choice([key for key in header if key != "__metadata__"])
    header["elsewhere." + name] = header.pop(name)
    ordered = dict(sorted(header.items(), key=lambda row: row[1].get("data_offsets", [-1])[0]))
    return rewritten(ordered, body)


def reshaped(raw, rng):
    header, body = parts_of(raw)
    name = rng.choice([key for key in header if key != "__metadata__"])
    header[name]["shape"] = [1, writer.product(header[name]["shape"])]
    return rewritten(header, body)


def of_another_type(raw, rng):
    header, body = parts_of(raw)
    name = rng.choice([key for key in header if key != "__metadata__"])
    header[name] = {**header[name], "dtype": "F16", "shape": [*header[name]["shape"], 2]}
    return rewritten(header, body)


def not_finite(raw, rng):
    header, body = parts_of(raw)
    at = 4 * rng.randrange(len(body) // 4)
    wrong = struct.pack("<f", rng.choice([float("nan"), float("inf"), float("-inf")]))
    return rewritten(header, body[:at] + wrong + body[at + 4 :])


def of_another_form(raw, rng):
    header, body = parts_of(raw)
    header["__metadata__"]["form"] = rng.choice(["weights", "everything", ""])
    return rewritten(header, body)


def without_a_part(raw, rng):
    """Leave out the last tensor, with a header that agrees."""
    header, body = parts_of(raw)
    last = max(
        (key for key in header if key != "__metadata__"), key=lambda key: header[key]["data_offsets"][1]
    )
    begin = header.pop(last)["data_offsets"][0]
    return rewritten(header, body[:begin])


CORRUPTIONS = (
    bit_flipped, cut_off, prolonged, swapped, of_noise, of_another_base, renamed, reshaped, of_another_type,
    not_finite, of_another_form, without_a_part,
)  # fmt: skip


def test_a_hundred_corrupted_updates_are_all_refused_and_the_old_one_stays(job):
    first = job.raw("adapter.float32.safetensors")
    assert update_server.apply(str(job.folder), first, sha256(first), False)["applied"]
    old = job.serving
    refused = []
    for seed in range(100):
        rng = random.Random(seed)
        corrupt = CORRUPTIONS[seed % len(CORRUPTIONS)]
        wrong = corrupt(first, rng)
        assert wrong != first
        # Half of them announce the hash of the right bytes, as with a broken link; half their own hash, as a forger does.
        announced = sha256(wrong) if seed // len(CORRUPTIONS) % 2 else sha256(first)
        answer = update_server.apply(str(job.folder), wrong, announced, False)
        assert answer["applied"] is False, (seed, corrupt.__name__)
        assert answer["reason"] and answer["serving"] == sha256(old)
        assert job.serving == old, (seed, corrupt.__name__)
        refused.append(answer["reason"])
    assert len(refused) == 100
    assert len({reason.split(" ")[0] for reason in refused}) > 3  # not all by the same check
    assert sorted(path.name for path in (job.folder / "updates").iterdir()) == sorted(
        [*(entry["name"] for entry in job.index["files"]), "index.json", update_server.SERVING]
    )


@pytest.mark.parametrize("seed", range(12))
def test_a_forged_update_whose_checksums_are_right_is_refused_by_what_is_wrong(job, seed):
    raw = job.raw("adapter.float32.safetensors")
    wrong = CORRUPTIONS[seed](raw, random.Random(seed))
    base = update_check.read_base(str(job.base))
    with pytest.raises(Refused):
        update_check.check(wrong, sha256(wrong), False, base)


def beside(job, form, **changes):
    """An update of adapters with BatchNorm's statistics and a layer's weight beside them."""
    made = exported()
    own = {"conv.mean": numbers("m", (4,)), "head.weight": numbers("w", SHAPES["head.weight"]), **changes}
    made = made._replace(adapter={**made.adapter, **own})
    base = update_check.read_base(str(job.base))
    base = base._replace(shapes={**base.shapes, "conv.mean": (4,), "conv.variance": (4,)})
    raw, _ = made_by.make(made, made_by.parse_form(form), "lorae", base.sha256)
    return raw, base


@pytest.mark.parametrize("form", ["adapter", "adapter/float16", "adapter/int8"])
def test_what_changed_beside_adapters_travels_with_them(job, form):
    raw, base = beside(job, form)
    assert update_check.check(raw, sha256(raw), False, base) == raw


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"conv.mean": numbers("m", (5,))}, r"'conv.mean' has shape \[5\], the base's \[4\]"),
        ({"conv.size": numbers("m", (4,))}, "'conv.size' is no part of an adapter and none of the base"),
    ],
)
def test_what_does_not_fit_the_base_is_refused_beside_adapters(job, changes, reason):
    raw, base = beside(job, "adapter", **changes)
    with pytest.raises(Refused, match=reason):
        update_check.check(raw, sha256(raw), False, base)


def test_an_update_of_adapters_without_an_adapter_is_refused(job):
    raw, base = beside(job, "adapter")
    made = exported()._replace(adapter={"conv.mean": numbers("m", (4,))})
    raw, _ = made_by.make(made, made_by.parse_form("adapter"), "lorae", base.sha256)
    with pytest.raises(Refused, match="it holds no adapter"):
        update_check.check(raw, sha256(raw), False, base)


def test_statistics_that_are_not_float32_are_refused(job):
    raw, base = beside(job, "adapter/float16")
    header, body = parts_of(raw)
    header["conv.mean"] = {**header["conv.mean"], "dtype": "F16", "shape": [8]}
    wrong = rewritten(header, body)
    with pytest.raises(Refused, match=r"'conv.mean' is F16 in an update of float16"):
        update_check.check(wrong, sha256(wrong), False, base)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (zlib.compress(b"\0" * (update_check.MAX_UPDATE_B + 1)), "does not unpack to one whole stream"),
        (zlib.compress(b"x" * 1000)[:-5], "does not unpack to one whole stream"),
        (zlib.compress(b"x" * 1000) + b"more", "does not unpack to one whole stream"),
        (b"not zlib", "does not unpack"),
    ],
    ids=["bomb", "cut", "prolonged", "noise"],
)
def test_what_does_not_unpack_is_refused(job, packed, reason):
    answer = update_server.apply(str(job.folder), packed, sha256(packed), True)
    assert answer["applied"] is False and reason in answer["reason"]


def test_a_packed_update_that_claims_to_be_plain_is_refused(job):
    raw = job.raw("adapter.int8.safetensors.zz")
    assert update_server.apply(str(job.folder), raw, sha256(raw), False)["applied"] is False


def test_an_update_that_is_rewritten_without_a_change_is_taken(job):
    """The corruptions above are refused for what they change, not for how the tests write files."""
    raw = rewritten(*parts_of(job.raw("adapter.float32.safetensors")))
    assert update_server.apply(str(job.folder), raw, sha256(raw), False)["applied"] is True


def test_a_scale_that_is_missing_is_refused(job):
    raw, _ = made_by.make(exported(), Form("adapter", "int8", False), "lorae", "")
    header, body = parts_of(raw)
    assert header["conv.mapper.scale"]["dtype"] == "F32"
    header["conv.mapper.other"] = header.pop("conv.mapper.scale")
    ordered = dict(sorted(header.items(), key=lambda row: row[1].get("data_offsets", [-1])[0]))
    header["__metadata__"]["base_sha256"] = update_check.read_base(str(job.base)).sha256
    wrong = rewritten(ordered, body)
    answer = update_server.apply(str(job.folder), wrong, sha256(wrong), False)
    assert "has no scale" in answer["reason"]


def test_a_base_that_has_changed_since_takes_no_update(job):
    raw = job.raw("delta.float16.safetensors")
    job.base.write_bytes(job.base.read_bytes() + b"\0")
    answer = update_server.apply(str(job.folder), raw, sha256(raw), False)
    assert answer["applied"] is False and "it is for the base" in answer["reason"]
    assert job.serving is None


def test_a_job_without_base_weights_takes_no_update(job):
    (job.folder / "job.json").write_text("{}")
    raw = job.raw("weights.float32.safetensors")
    assert (
        "base weights cannot be read"
        in update_server.apply(str(job.folder), raw, sha256(raw), False)["reason"]
    )


def test_a_disk_that_is_full_leaves_the_old_update(job, monkeypatch):
    first, second = job.raw("adapter.float32.safetensors"), job.raw("weights.float32.safetensors")
    update_server.apply(str(job.folder), first, sha256(first), False)
    old = job.serving

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(update_server.os, "fsync", full)
    answer = update_server.apply(str(job.folder), second, sha256(second), False)
    assert answer["applied"] is False and "No space left" in answer["reason"]
    assert job.serving == old


# -- over a link --------------------------------------------------------------------------------------


@pytest.fixture
def on_board(board, tmp_path):
    """A job with updates in the board's working directory."""
    return Job(tmp_path / "work dir" / "jobs" / "rep-1", FORMS)


def test_an_update_goes_both_ways_and_is_applied(board, on_board):
    with board.updates("rep-1") as channel:
        listed = channel.listed()
        assert [entry["name"] for entry in listed["files"]] == [
            entry["name"] for entry in on_board.index["files"]
        ]
        assert listed["serving"] is None
        for entry in listed["files"]:
            fetched = channel.fetch(entry["name"])
            assert sha256(fetched.content) == entry["sha256"] and fetched.seconds > 0
            applied = channel.apply(fetched.content, entry["sha256"], packed=entry["packed"])
            assert applied.refused is None and applied.seconds > 0 and applied.apply_s > 0
        assert channel.listed()["serving"] == applied.serving == sha256(on_board.serving)


def test_a_refusal_is_an_answer_and_the_channel_goes_on(board, on_board):
    with board.updates("rep-1") as channel:
        entry = channel.listed()["files"][0]
        raw = channel.fetch(entry["name"]).content
        applied = channel.apply(raw[:-1], entry["sha256"], packed=False)
        assert "SHA-256" in str(applied.refused) and applied.serving is None
        assert channel.apply(raw, entry["sha256"], packed=False).refused is None


@pytest.mark.parametrize("name", ["../job.json", "index.json", "serving.safetensors", "", None])
def test_only_listed_updates_are_sent(board, on_board, name):
    with pytest.raises(TargetError, match="no update"), board.updates("rep-1") as channel:
        channel.fetch(name)


def test_a_job_without_updates_says_so(board):
    with pytest.raises(TargetError, match="rep-2 has no updates"), board.updates("rep-2") as channel:
        channel.listed()


def test_updates_are_no_part_of_the_harvest(on_board):
    from tunebench.targets.agent.job import job_files

    names = [name for name, _ in job_files.listed(str(on_board.folder))[0]]
    assert "job.json" in names and not any("updates" in name for name in names)


def test_values_are_checked_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(safetensors, "_CHUNK", 3)
    values = [1.0] * 10
    entry = safetensors.Entry("F32", (10,), 0, 40)
    safetensors.check_finite(array("f", values).tobytes(), "x", entry)
    with pytest.raises(Refused, match="'x' holds a value that is not finite"):
        safetensors.check_finite(array("f", [*values[:9], float("nan")]).tobytes(), "x", entry)
