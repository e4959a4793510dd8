"""Data sets: splits that do not leak, a drift that is there, and errors that say how to get a file."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tunebench.workloads import artefact, datasets, defaults
from tunebench.workloads.datasets import DataUnavailable, digits, fan, fan_csv, har, har_uci
from tunebench.workloads.prepare import artefacts, pretrain


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep the tests away from the cache of the user who runs them."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


def test_digits_are_split_by_contiguous_rows_and_only_the_target_drifts():
    sklearn_datasets = pytest.importorskip("sklearn.datasets", reason="digits are built from scikit-learn")
    dataset = datasets.load("digits")
    bunch = sklearn_datasets.load_digits()
    assert (len(dataset.pretrain_x), len(dataset.finetune_x), len(dataset.test_x)) == (900, 450, 447)
    labels = np.concatenate([dataset.pretrain_y, dataset.finetune_y, dataset.test_y])
    assert np.array_equal(labels, bunch.target)
    assert np.array_equal(dataset.pretrain_x, (bunch.data[:900] / 16).astype("float32"))
    assert not np.array_equal(dataset.finetune_x, (bunch.data[900:1350] / 16).astype("float32"))
    assert dataset.meta["n_in"] == 64
    assert dataset.meta["n_classes"] == 10
    assert dataset.meta["rows"] == {"pretrain": 900, "finetune": 450, "test": 447}
    for part in (dataset.finetune_x, dataset.test_x):
        assert part.dtype == np.float32
        assert part.min() >= 0
        assert part.max() <= 1
        assert np.array_equal(part * 1024, np.round(part * 1024)), (
            "rounded: other numpy builds give equal bytes"
        )


def test_rotation_by_a_quarter_turn_is_exact():
    image = np.arange(64, dtype=float).reshape(1, 64)
    turned = digits.rotate(image, 90.0).reshape(8, 8)
    assert np.allclose(turned, np.rot90(image.reshape(8, 8), -1)) or np.allclose(
        turned, np.rot90(image.reshape(8, 8))
    )
    assert np.allclose(digits.rotate(image, 0.0), image)


def test_an_unknown_data_set_is_told_the_known_ones():
    with pytest.raises(
        datasets.UnknownDataset, match="use one of: digits, fan-damage1, fan-damage2, har-hapt, har-uci"
    ):
        datasets.load("cifar")


@pytest.mark.parametrize(
    ("name", "file"), [("har-hapt", har.FILE), ("fan-damage1", fan.FILE), ("har-uci", "human.activity.*zip")]
)
def test_a_missing_file_says_which_where_from_and_how_to_place_it(name, file, tmp_path, monkeypatch):
    monkeypatch.delenv("TUNEBENCH_DATA", raising=False)
    with pytest.raises(DataUnavailable, match=rf"TUNEBENCH_DATA is not set; {file} comes from https://"):
        datasets.load(name)
    with pytest.raises(DataUnavailable, match=rf"no file {tmp_path}/{file}; .*place it in a folder"):
        datasets.load(name, tmp_path)


def test_a_damaged_file_is_named_with_both_hashes(tmp_path):
    (tmp_path / har.FILE).write_bytes(b"PK not really")
    sha256 = hashlib.sha256(b"PK not really").hexdigest()
    with pytest.raises(DataUnavailable, match=rf"{har.FILE} is damaged .*{sha256}, expected {har.SHA256}"):
        datasets.load("har-hapt", tmp_path)


def test_what_can_be_downloaded_says_so_and_what_cannot_does_not(tmp_path):
    for name in ("fan-damage1", "fan-damage2", "har-uci"):
        with pytest.raises(DataUnavailable, match="tunebench prepare --download"):
            datasets.load(name, tmp_path)
    for download in (False, True):
        with pytest.raises(DataUnavailable, match="no file") as error:
            datasets.load("har-hapt", tmp_path, download=download)
        assert "--download" not in str(error.value)


# UCI HAR, in the exact layout of the official archive but with few rows

FIRST_PASS, SECOND_PASS = [5, 4, 6, 1, 3, 2], [5, 4, 6, 4, 6, 1, 3, 2, 3]
TRAIN_SUBJECTS, TEST_SUBJECTS = (1, 14, 16, 19, 25), (2, 9)
TARGETS = (9, 14, 16, 19, 25)


def uci_rows(subjects, labels_of):
    """Labels and subjects, three windows an activity; features that tell each row from every other."""
    labels = [label for who in subjects for label in np.repeat(labels_of(who), 3)]
    who = [who for who in subjects for _ in np.repeat(labels_of(who), 3)]
    features = np.random.default_rng(min(subjects)).uniform(-1, 1, (len(labels), 561)).astype("float32")
    return features, labels, who


def uci_archive(labels_of=lambda who: FIRST_PASS + SECOND_PASS, change=None, nested=True):
    """Bytes of the archive; ``change`` edits its files; rows a part for har_uci.ROWS."""
    files, rows = {}, {}
    for part, subjects in (("train", TRAIN_SUBJECTS), ("test", TEST_SUBJECTS)):
        features, labels, who = uci_rows(subjects, labels_of)
        text = feature_text(features.tobytes())
        top = f"UCI HAR Dataset/{part}"
        files[f"{top}/X_{part}.txt"] = text
        files[f"{top}/y_{part}.txt"] = "".join(f"{label}\n" for label in labels)
        files[f"{top}/subject_{part}.txt"] = "".join(f"{subject}\n" for subject in who)
        files[f"{top}/Inertial Signals/body_acc_x_{part}.txt"] = "1.0\n"
        files[f"__MACOSX/{top}/._X_{part}.txt"] = "a note of macOS"
        rows[part] = len(labels)
    files["UCI HAR Dataset/activity_labels.txt"] = "1 WALKING\n"
    if change is not None:
        change(files)
    inner = zip_of(files)
    return (
        zip_of({"UCI HAR Dataset.zip": inner, "UCI HAR Dataset.names": "names"}) if nested else inner
    ), rows


@functools.cache
def feature_text(features):
    rows = np.frombuffer(features, dtype="float32").reshape(-1, 561)
    return "".join("  " + " ".join(f"{value: .7e}" for value in row) + "\n" for row in rows)


def zip_of(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def uci(tmp_path, monkeypatch):
    """Function (**how of uci_archive) -> folder with that archive."""

    def make(nested=True, **how):
        body, rows = uci_archive(nested=nested, **how)
        monkeypatch.setattr(har_uci, "ROWS", rows)
        (tmp_path / (har_uci.SOURCE.name if nested else "UCI HAR Dataset.zip")).write_bytes(body)
        return tmp_path

    return make


@pytest.mark.parametrize("nested", [True, False])
def test_uci_har_is_read_from_the_official_archive_and_from_the_one_inside(uci, nested):
    dataset = datasets.load("har-uci", uci(nested=nested))
    assert (dataset.meta["n_in"], dataset.meta["n_classes"]) == (561, 6)
    # 18 windows of the first pass and 27 of the second; the subjects 1 and 2 are the source domain
    assert dataset.meta["rows"] == {"pretrain": 2 * 45, "finetune": 5 * 18, "test": 5 * 27}
    features, labels, who = uci_rows(TRAIN_SUBJECTS, lambda who: FIRST_PASS + SECOND_PASS)
    assert np.allclose(dataset.pretrain_x[:45], features[:45], atol=1e-6)
    assert np.array_equal(dataset.pretrain_y[:45], np.array(labels[:45]) - 1)
    assert dataset.meta["classes"] == har.META["classes"]
    assert dataset.meta["cuts"] == {str(who): "at the second pass" for who in TARGETS}
    assert dataset.meta["source_sha256_pinned"] is False
    assert defaults.epochs("har-uci", "mlp") == defaults.epochs("har-hapt", "mlp")
    assert who[:45] == [1] * 45


def test_uci_har_is_cut_where_the_second_pass_begins():
    labels = np.repeat(FIRST_PASS + SECOND_PASS, 3)
    assert har_uci.cut(labels) == ("at the second pass", 18, 18)
    assert labels[17] in (2, 3)
    assert labels[18] == 5


@pytest.mark.parametrize(
    "passes", [FIRST_PASS, FIRST_PASS * 3, [5, 4, 6, 1]], ids=["one pass", "three passes", "no stairs"]
)
def test_a_subject_whose_labels_show_no_second_pass_is_cut_in_half_with_a_gap(uci, passes):
    dataset = datasets.load(
        "har-uci", uci(labels_of=lambda who: passes if who == 16 else FIRST_PASS + SECOND_PASS)
    )
    assert dataset.meta["cuts"] == {**{str(who): "at the second pass" for who in TARGETS}, "16": "in half"}
    half = 3 * len(passes) // 2
    assert dataset.meta["rows"]["finetune"] == 4 * 18 + half - 2
    assert dataset.meta["rows"]["test"] == 4 * 27 + 3 * len(passes) - half - 2


def test_uci_har_never_puts_neighbouring_windows_on_both_sides(uci):
    """Neighbours are those next to each other in the files and of one subject and pass."""
    dataset = datasets.load("har-uci", uci(labels_of=lambda who: FIRST_PASS if who == 9 else FIRST_PASS * 2))
    features, _, who = uci_rows(TEST_SUBJECTS, lambda who: FIRST_PASS if who == 9 else FIRST_PASS * 2)
    order = {np.round(row, 5).tobytes(): index for index, row in enumerate(features)}
    tuned = {order.get(np.round(row, 5).tobytes()) for row in dataset.finetune_x} - {None}
    tested = {order.get(np.round(row, 5).tobytes()) for row in dataset.test_x} - {None}
    assert tuned
    assert tested
    assert min(tested) - max(tuned) == 1 + 2 * har_uci.GAP
    assert {who[index] for index in tuned | tested} == {9}


def test_uci_har_is_converted_once(uci, monkeypatch):
    folder, messages = uci(), []
    first = datasets.load("har-uci", folder, progress=lambda *news: messages.append(news))
    assert messages == [("converting UCI HAR", 0.0)]
    monkeypatch.setattr(har_uci, "convert", None)
    again = datasets.load("har-uci", folder)
    assert np.array_equal(first.test_x, again.test_x)
    assert first.meta == again.meta


X_TRAIN, Y_TEST = "UCI HAR Dataset/train/X_train.txt", "UCI HAR Dataset/test/y_test.txt"
S_TEST = "UCI HAR Dataset/test/subject_test.txt"


@pytest.mark.parametrize(
    ("file", "edit", "words"),
    [
        (
            X_TRAIN,
            lambda text: text.replace(" ", "", 3).partition("\n")[2],
            "X of train has 224 rows, expected 225",
        ),
        (X_TRAIN, lambda text: text.replace("e-01", "e+01", 1), "values outside -1..1"),
        (X_TRAIN, lambda text: "  nan " + text[16:], "values outside -1..1"),
        (X_TRAIN, lambda text: text.replace(".", "x", 1), r"train/X_train\.txt: could not convert"),
        (X_TRAIN, lambda text: text[:-15] + "\n", "columns changed from 561 to 560"),
        (Y_TEST, lambda text: "7" + text[1:], r"test/y_test\.txt line 1 is '7', expected 1\.\.6"),
        (Y_TEST, lambda text: text.replace("\n", "\n\n", 1), r"test/y_test\.txt line 2 is ''"),
        (
            S_TEST,
            lambda text: text.replace("9", "I", 1),
            r"subject_test\.txt line 46 is 'I', expected 1\.\.30",
        ),
        (S_TEST, lambda text: text.replace("9", "8"), r"no rows of subjects \[9\]"),
        (S_TEST, lambda text: None, r"no file test/subject_test\.txt in it"),
    ],
)
def test_uci_har_files_that_are_not_the_official_ones_are_refused(uci, file, edit, words):
    def change(files):
        files[file] = edit(files[file])
        if files[file] is None:
            del files[file]

    with pytest.raises(DataUnavailable, match=words) as error:
        datasets.load("har-uci", uci(change=change))
    assert f"{har_uci.SOURCE.name} is damaged or another version" in str(error.value)
    assert "place it in a folder" in str(error.value)


def test_a_truncated_uci_har_archive_says_which_where_from_and_how_to_place_it(uci):
    folder = uci()
    path = folder / har_uci.SOURCE.name
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataUnavailable) as error:
        datasets.load("har-uci", folder)
    for words in (
        str(path),
        "not a sound zip archive",
        "comes from https://archive.ics.uci.edu/",
        "TUNEBENCH_DATA",
    ):
        assert words in str(error.value)


def test_uci_har_is_downloaded_once_when_asked_for(served, tmp_path, monkeypatch):
    home, url, asked = served
    body, rows = uci_archive()
    (home / "uci.zip").write_bytes(body)
    monkeypatch.setattr(har_uci, "ROWS", rows)
    monkeypatch.setattr(har_uci, "SOURCE", replace(har_uci.SOURCE, url=f"{url}/uci.zip"))
    messages, cache = [], tmp_path / "cache"
    first = datasets.load(
        "har-uci", download=True, cache_dir=cache, progress=lambda *news: messages.append(news)
    )
    assert any(text.startswith("downloading human+activity") for text, _ in messages)
    assert ("downloaded human+activity+recognition+using+smartphones.zip", 1.0) in messages
    for download in (True, False):
        again = datasets.load("har-uci", download=download, cache_dir=cache)
        assert again.meta == first.meta
    assert len(asked) == 1


@pytest.mark.torch
def test_prepare_downloads_only_when_asked_to(served, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="pretraining needs torch")
    home, url, asked = served
    body, rows = uci_archive()
    (home / "uci.zip").write_bytes(body)
    monkeypatch.setattr(har_uci, "ROWS", rows)
    monkeypatch.setattr(har_uci, "SOURCE", replace(har_uci.SOURCE, url=f"{url}/uci.zip"))
    monkeypatch.setitem(pretrain.CHAIN_RECIPE, "epochs", 1)
    places = {"cache_dir": tmp_path / "made", "datasets_dir": tmp_path / "cache"}
    with pytest.raises(DataUnavailable, match="prepare --download"):
        artefacts.prepare("har-uci", "mlp", **places)
    assert asked == []
    made = artefacts.prepare("har-uci", "mlp", download=True, **places)
    assert artefact.read(str(made.data)).meta["cuts"]["9"] == "at the second pass"
    assert artefacts.prepare("har-uci", "mlp", **places) == made
    assert len(asked) == 1


# the fan's zips: their layout was not seen, so every layout without doubt is taken and nothing is guessed


def spectra(name):
    made = np.random.default_rng(len(name) + sum(name.encode())).uniform(0, 1, (235, 512)).astype("float32")
    made[:, 0] = 0
    return made


def in_a_row(values):
    return ",".join(f"{value:.9g}" for value in values) + ",\n"


def in_a_column(values):
    return "amplitude\r\n" + "".join(f"{value:.9g}\r\n" for value in values)


def with_frequencies(values):
    return "".join(f"{hertz};{value:.9g}\n" for hertz, value in enumerate(values, 1))


def numbered(index):
    return f"{index + 1}.csv"


def by_speed(index):
    return f"{'hmlo'[min(index // 60, 3)]}_{index}.csv"


def fan_zip(name, layout=in_a_row, called=numbered, data=None):
    texts = known_texts(name) if data is None and layout is in_a_row else None
    if texts is None:
        texts = [layout(values) for values in (spectra(name) if data is None else data)]
    order = sorted(range(len(texts)), key=lambda index: (index * 7919) % 235)  # not in order of time
    return zip_of({f"{name}/{called(index)}": texts[index] for index in order})


@functools.cache
def known_texts(name):
    return [in_a_row(values) for values in spectra(name)]


def place_fan_zips(folder, names, **how):
    for name in names:
        (folder / f"{name}.zip").write_bytes(fan_zip(name, **how))


DAMAGE1 = [name for name in fan.KNOWN if "damage2" not in name and "silentB" not in name]


@pytest.mark.parametrize("layout", [in_a_row, in_a_column, with_frequencies])
def test_a_fan_recording_is_read_in_every_layout_without_doubt(tmp_path, layout):
    path = tmp_path / "a.zip"
    path.write_bytes(fan_zip("a", layout))
    recording, speed = fan_csv.read_recording(path, 10**9)
    assert np.array_equal(recording, spectra("a"))
    assert speed is None


def test_names_that_tell_the_speed_give_the_stopped_rows(tmp_path):
    path = tmp_path / "12cm_hmlo_normal_noisy_1.zip"
    path.write_bytes(fan_zip("12cm_hmlo_normal_noisy_1", called=by_speed))
    recording, speed = fan_csv.read_recording(path, 10**9)
    assert np.array_equal(recording, spectra("12cm_hmlo_normal_noisy_1"))
    assert np.bincount(speed).tolist() == [60, 60, 60, 55]


def test_unknown_recordings_whose_names_tell_the_speed_are_used_and_called_unverified(tmp_path):
    place_fan_zips(tmp_path, DAMAGE1, called=by_speed)
    dataset = datasets.load("fan-damage1", tmp_path)
    assert dataset.meta["conversion"] == "unverified against the original files"
    assert dataset.meta["rows"] == {"pretrain": 470, "finetune": 470, "test": 470}
    assert np.bincount(dataset.test_y).tolist() == [110, 180, 180]
    assert np.array_equal(dataset.test_x[235:], spectra("12cm_hmlo_damage1_noisy_2")[:, 1:257])


def test_unknown_recordings_whose_names_do_not_tell_the_speed_are_refused(tmp_path):
    place_fan_zips(tmp_path, DAMAGE1)
    with pytest.raises(
        DataUnavailable, match=r"would be guessed. Place the converted fan12_hmlo\.npz instead"
    ):
        datasets.load("fan-damage1", tmp_path)


def test_recordings_equal_to_the_known_copy_need_no_names(tmp_path, monkeypatch):
    known = {
        name: fan.Known(hashlib.sha256(spectra(name).tobytes()).hexdigest(), (60, 120, 177))
        for name in DAMAGE1
    }
    monkeypatch.setattr(fan, "KNOWN", known)
    place_fan_zips(tmp_path, DAMAGE1)
    dataset = datasets.load("fan-damage1", tmp_path)
    assert "conversion" not in dataset.meta
    assert np.bincount(dataset.finetune_y).tolist() == [116, 177, 177]


def test_one_missing_fan_recording_is_named(tmp_path):
    place_fan_zips(tmp_path, DAMAGE1[:-1], called=by_speed)
    with pytest.raises(
        DataUnavailable, match=rf"no file .*/{DAMAGE1[-1]}\.zip; .*raw\.githubusercontent\.com"
    ):
        datasets.load("fan-damage1", tmp_path)


def test_the_fan_is_downloaded_recording_by_recording(served, tmp_path, monkeypatch):
    home, url, asked = served
    place_fan_zips(home, DAMAGE1, called=by_speed)
    monkeypatch.setattr(fan, "ZIP_HOME", url)
    first = datasets.load("fan-damage1", download=True, cache_dir=tmp_path / "cache")
    again = datasets.load("fan-damage1", cache_dir=tmp_path / "cache")
    assert sorted(asked) == sorted(f"/{name}.zip" for name in DAMAGE1)
    assert np.array_equal(first.test_x, again.test_x)


def wrong(edit):
    """Return spectra("a") after an edit."""
    made = spectra("a").astype("float64")
    edit(made)
    return made


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"data": spectra("a")[:234]}, "holds 234 CSV files, expected 235"),
        ({"data": np.hstack([spectra("a"), np.zeros((235, 1))])}, r"1 rows of \[513\] numbers, expected 512"),
        ({"data": wrong(lambda data: data.__setitem__((3, 5), 1.5))}, "to 1.5, expected 0 to 1"),
        ({"data": wrong(lambda data: data.__setitem__((3, 5), np.nan))}, "expected 0 to 1"),
        ({"data": wrong(lambda data: data.__setitem__((3, 0), 0.5))}, "bin 0 is not 0"),
        ({"layout": lambda values: in_a_row(values) + "the end\n"}, "line 2 is not numeric: 'the end'"),
        ({"layout": lambda values: in_a_row(values) * 2}, r"2 rows of \[512\] numbers"),
        (
            {"layout": lambda values: with_frequencies(values).replace("7;", "8;", 1)},
            r"512 rows of \[2\] numbers",
        ),
        ({"called": lambda index: f"x{'ab'[index % 2]}{index}.csv"}, "not named alike"),
        ({"called": lambda index: f"{index // 2:03d}{'.csv' if index % 2 else '.CSV'}"}, "order in time"),
    ],
)
def test_a_fan_recording_in_doubt_is_refused_with_what_was_found(tmp_path, how, words):
    name = DAMAGE1[0]
    (tmp_path / f"{name}.zip").write_bytes(fan_zip("a", **how))
    with pytest.raises(DataUnavailable, match=words) as error:
        datasets.load("fan-damage1", tmp_path)
    assert f"{name}.zip comes from https://" in str(error.value)


def folder() -> Path:
    if not os.environ.get("TUNEBENCH_DATA"):
        pytest.skip("TUNEBENCH_DATA is not set")
    return Path(os.environ["TUNEBENCH_DATA"])


@pytest.mark.data
def test_har_holds_target_subjects_out_and_splits_them_by_experiment():
    dataset = datasets.load("har-hapt", folder())
    assert dataset.meta["rows"] == {"pretrain": 10_411 - 885 - 877, "finetune": 885, "test": 877}
    assert (dataset.meta["n_in"], dataset.meta["n_classes"]) == (561, 6)
    assert set(dataset.test_y) == set(dataset.finetune_y) == set(range(6))
    # no row twice: neighbouring windows of one experiment overlap, those of two do not
    rows = {row.tobytes() for row in dataset.finetune_x}
    assert not rows & {row.tobytes() for row in dataset.test_x}
    assert not rows & {row.tobytes() for row in dataset.pretrain_x}


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "counts"),
    [("fan-damage1", {"pretrain": (116, 177, 177), "finetune": (115, 177, 178), "test": (114, 178, 178)})],
)
def test_fan_has_470_rows_a_part_and_these_classes(name, counts):
    dataset = datasets.load(name, folder())
    assert dataset.meta["n_in"] == 256
    for part, expected in counts.items():
        labels = getattr(dataset, part + "_y")
        assert tuple(np.bincount(labels)) == expected, part


@pytest.mark.data
def test_the_two_damages_share_the_normal_recording_only():
    first, second = (datasets.load(f"fan-damage{number}", folder()) for number in (1, 2))
    assert np.array_equal(first.test_x[:235], second.test_x[:235])
    assert not np.array_equal(first.test_x[235:], second.test_x[235:])


@pytest.mark.data
def test_the_confirmation_sets_share_no_row_with_what_the_first_ones_fine_tune_on_and_test():
    first, quiet = (datasets.load(name, folder()) for name in ("fan-damage1", "fan-damage1-quiet"))
    known = {row.tobytes() for part in ("finetune_x", "test_x") for row in getattr(first, part) if row.any()}
    for part in ("finetune_x", "test_x"):
        assert not known & {row.tobytes() for row in getattr(quiet, part)}
    assert np.array_equal(quiet.pretrain_x, first.finetune_x)
    assert tuple(np.bincount(quiet.test_y)) == (115, 176, 179)
    assert quiet.meta["splits"] == "by recording: pretrain noisy_1, fine-tune silentB_1, test silentB_2"


@pytest.mark.data
def test_the_real_fan_recordings_give_the_same_data_from_zips_as_from_the_known_copy(tmp_path):
    with np.load(folder() / fan.FILE) as file:
        for name in DAMAGE1:
            (tmp_path / f"{name}.zip").write_bytes(fan_zip(name, data=file[name]))
    direct, rebuilt = datasets.load("fan-damage1", folder()), datasets.load("fan-damage1", tmp_path)
    assert rebuilt.meta == direct.meta
    for part in ("pretrain", "finetune", "test"):
        assert np.array_equal(getattr(direct, part + "_x"), getattr(rebuilt, part + "_x"))
        assert np.array_equal(getattr(direct, part + "_y"), getattr(rebuilt, part + "_y"))


@pytest.mark.data
def test_the_rule_for_the_second_pass_finds_the_experiments_where_they_are_known():
    """HAPT numbers its experiments and is a longer record of the same people doing the same protocol."""
    with np.load(folder() / har.FILE) as file:
        labels, subject, experiment = file["y"], file["subject"], file["experiment"]
    checked = 0
    for who in range(1, 31):
        rows = subject == who
        known = np.flatnonzero(np.diff(experiment[rows]))
        if len(known) == 1:
            checked += 1
            cut = har_uci.cut(labels[rows])
            assert cut == ("at the second pass", known[0] + 1, known[0] + 1), who
    assert checked >= 28
