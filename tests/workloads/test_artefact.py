"""Artefact files: equal content gives equal bytes, and damage is an error."""

from __future__ import annotations

import hashlib
import json

import pytest

from tunebench.workloads import artefact
from tunebench.workloads.artefact import ArtefactError, tensor


def example() -> bytes:
    tensors = {"x": tensor("float32", (2, 3), [0.5, -1, 2, 3, 4, 5]), "y": tensor("int32", (2,), [1, -7])}
    return artefact.encode("data", {"n_in": 3, "name": "ü"}, tensors)


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "a.tbx"
    tensors = {"x": tensor("float32", (2, 3), [0.5, -1, 2, 3, 4, 5]), "y": tensor("int32", (2,), [1, -7])}
    sha256 = artefact.write(str(path), "data", {"n_in": 3, "name": "ü"}, tensors)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    contents = artefact.read(str(path))
    assert (contents.kind, contents.meta) == ("data", {"n_in": 3, "name": "ü"})
    assert contents.tensors["x"].array().tolist() == [0.5, -1, 2, 3, 4, 5]
    assert contents.tensors["y"].array().tolist() == [1, -7]
    assert contents.tensors["y"].shape == (2,)
    assert [file.name for file in tmp_path.iterdir()] == ["a.tbx"]


def test_data_begin_at_multiples_of_64_and_are_little_endian():
    raw = example()
    start = raw.index(b"\n") + 1
    rows = json.loads(raw[:start])["tensors"]
    assert start % 64 == 0
    assert [row["offset"] % 64 for row in rows] == [0, 0]
    assert raw[start : start + 4] == b"\x00\x00\x00\x3f"
    assert raw[start + rows[1]["offset"] :][:8] == b"\x01\x00\x00\x00\xf9\xff\xff\xff"


def test_equal_content_gives_these_bytes_on_every_machine():
    expected = "fdf73e2886e8fe011ef61446d3839ff70f566390ea1e9794f5a986fd2453f93e"
    assert hashlib.sha256(example()).hexdigest() == expected


@pytest.mark.parametrize("at", [-1, -120])
def test_a_flipped_bit_is_found(at):
    raw = bytearray(example())
    raw[at] ^= 1
    with pytest.raises(ArtefactError, match="damaged"):
        artefact.decode(raw)


def test_a_torn_file_is_found_and_named(tmp_path):
    path = tmp_path / "torn.tbx"
    path.write_bytes(example()[:-5])
    with pytest.raises(ArtefactError, match=r"torn\.tbx: damaged"):
        artefact.read(str(path))


@pytest.mark.parametrize(
    "raw", [b"", b"PK\x03\x04", b"{}\n", b"[1]\n", b'{"schema": "other/1"}\n', b"\xff\n"]
)
def test_another_kind_of_file_is_refused(raw):
    with pytest.raises(ArtefactError, match="not an artefact"):
        artefact.decode(raw)


def resigned(change) -> bytes:
    """The example with a changed header whose data still match."""
    raw = example()
    end = raw.index(b"\n")
    header = json.loads(raw[:end])
    change(header)
    return json.dumps(header).encode() + b"\n" + raw[end + 1 :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header["tensors"][0].update(shape=[2, 4]), "tensor 'x'"),
        (lambda header: header["tensors"][0].update(offset=-64), "tensor 'x'"),
        (lambda header: header["tensors"][1].update(offset=1 << 40), "tensor 'y'"),
        (lambda header: header["tensors"][1].update(dtype="float16"), "allowed: float32, int32"),
        (lambda header: header["tensors"][1].pop("size_b"), "damaged header"),
        (lambda header: header.update(tensors=None), "damaged header"),
    ],
)
def test_a_header_that_does_not_fit_its_data_is_refused(change, message):
    with pytest.raises(ArtefactError, match=message):
        artefact.decode(resigned(change))


def test_newer_minor_versions_are_read():
    raw = resigned(lambda header: header.update(schema=artefact.SCHEMA + ".3", more=1))
    assert artefact.decode(raw).meta["n_in"] == 3


def test_a_missing_tensor_or_file_is_named(tmp_path):
    with pytest.raises(ArtefactError, match=r"no tensor 'z'.*has: x, y"):
        artefact.decode(example()).need("z")
    with pytest.raises(ArtefactError, match=r"gone\.tbx: cannot be read"):
        artefact.read(str(tmp_path / "gone.tbx"))


def test_values_must_fill_the_shape():
    with pytest.raises(ArtefactError, match="3 values do not fill"):
        tensor("float32", (2, 2), [1, 2, 3])
    with pytest.raises(ArtefactError, match="use one of data, weights"):
        artefact.encode("model", {}, {})
