"""Data sets of texts: mails split in time without leaks, files of a user's own with every mistake named by its line."""

from __future__ import annotations

import json

import pytest

from tests.workloads.tiny_transformer import write_corpus, write_mails
from tunebench.workloads.datasets import DataUnavailable, UnknownDataset, dataset_module, load
from tunebench.workloads.datasets.texts import spread


@pytest.mark.data
@pytest.mark.parametrize("name", ["spam-mail", "spam-mail-later"])
def test_no_mail_stands_in_two_parts_and_the_groups_are_those_of_the_protocol(name):
    mails = load(name)
    bodies = {part: [text.partition("\n")[2] for text in texts] for part, texts in mails.texts.items()}
    every = [body for part in bodies.values() for body in part]
    assert len(every) == len(set(every))
    assert mails.meta["rows"] == {"pretrain": 802, "finetune": 500, "test": 800}
    assert {part: sum(labels) for part, labels in mails.labels.items()} == {
        "pretrain": 401,
        "finetune": 205,
        "test": 361,
    }
    assert load(name) == mails


def test_a_missing_file_of_mails_says_where_it_comes_from(tmp_path):
    with pytest.raises(DataUnavailable, match=r"spam_mail\.jsonl\.gz comes from SpamAssassin"):
        load("spam-mail", tmp_path, cache_dir=tmp_path)


def test_items_are_spread_evenly():
    assert spread(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert spread([1, 2], 5) == [1, 2]
    assert spread([], 3) == []


def test_a_file_without_parts_is_cut_by_order_within_each_label(tmp_path):
    made = load(f"file:{write_mails(tmp_path / 'mails.jsonl', 40)}")
    assert made.name == "mails.jsonl" and made.meta["classes"] == ["ham", "spam"]
    assert made.meta["rows"] == {"pretrain": 16, "finetune": 12, "test": 12}
    assert all(sum(labels) == len(labels) / 2 for labels in made.labels.values())


def test_a_table_may_name_its_parts_and_number_its_labels(tmp_path):
    path = tmp_path / "mine.csv"
    rows = ['"first, with a comma",0,pretrain', "second,1,pretrain", "third,0,finetune", "fourth,1,finetune"]
    path.write_text("\n".join(["text,label,part", *rows, "fifth,1,test", ""]), encoding="utf-8-sig")
    made = load(f"file:{path}")
    assert made.texts["pretrain"] == ("first, with a comma", "second")
    assert made.labels["test"] == (1,) and made.meta["classes"] == ["0", "1"]


def test_another_content_is_another_revision(tmp_path):
    path = write_mails(tmp_path / "mails.jsonl", 20)
    first = dataset_module(f"file:{path}").REVISION
    write_mails(path, 22)
    assert first != dataset_module(f"file:{path}").REVISION


def row(**keys):
    return json.dumps({"text": "words", "label": "ham", **keys})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([row(), "{"], "line 2: no JSON object"),
        ([row(), "[1]"], "line 2: no JSON object"),
        ([row(text="")], "line 1: 'text' is ''"),
        ([row(text=None)], "line 1: 'text' is None"),
        ([row(label=True)], "line 1: 'label' is True"),
        ([row(label=0.5)], "line 1: 'label' is 0.5"),
        ([row(part="train")], "line 1: 'part' is 'train', expected one of: pretrain, finetune, test"),
        ([row(part="test"), row(label="spam")], "some rows name a part and others none"),
        ([row(), row()], r"1 label\(s\) in 2 rows"),
        ([], r"0 label\(s\) in 0 rows"),
        ([row(part="test"), row(label="spam", part="test")], "no rows for part 'pretrain'"),
    ],
)
def test_a_mistake_in_a_file_is_named_by_its_line(tmp_path, lines, message):
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(DataUnavailable, match=message):
        load(f"file:{path}")


def test_a_file_that_is_not_there_or_not_of_a_known_kind_is_refused(tmp_path):
    with pytest.raises(DataUnavailable, match="No such file"):
        load(f"file:{tmp_path}/none.csv")
    with pytest.raises(UnknownDataset, match=r"ends in \.csv, \.jsonl"):
        load(f"file:{tmp_path}/mine.parquet")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"text,label\n\xff\xfe,1\n")
    with pytest.raises(DataUnavailable, match="utf-8"):
        load(f"file:{path}")


def test_the_book_that_ships_is_in_order_and_needs_no_file(tmp_path):
    book = load("genesis", tmp_path, cache_dir=tmp_path)
    assert book.meta["task"] == "language" and book.meta["licence"] == "public domain"
    assert book.meta["rows"] == {"pretrain": 0, "finetune": 163, "test": 41}
    assert book.texts["finetune"][0].startswith("In the beginning God created the heavens and the earth.")
    assert book.texts["test"][-1].endswith("and he was put in a coffin in Egypt.")


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.txt"])
def test_texts_without_labels_are_cut_by_order_for_a_language_model(tmp_path, name):
    path = write_corpus(tmp_path / name, 20)
    assert dataset_module(f"file:{path}").TASK == "language"
    made = load(f"file:{path}")
    assert made.meta["task"] == "language" and made.meta["rows"] == {"pretrain": 0, "finetune": 16, "test": 4}
    assert len(set(made.texts["finetune"] + made.texts["test"])) > 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (['{"text": "a"}', '{"text": "b", "label": "x"}'], "line 2: 'label' beside rows without one"),
        (['{"text": "a"}', '{"text": " "}'], "line 2: 'text' is ' '"),
        (
            ['{"text": "a", "part": "pretrain"}'],
            "line 1: 'part' is 'pretrain', expected one of: finetune, test",
        ),
        (['{"text": "a", "part": "test"}', '{"text": "b"}'], "some rows name a part and others none"),
        (['{"text": "a"}'], "no rows for part 'test'; it has 1 rows"),
        (['{"text": "a"}', "nonsense"], "line 2: 'text' is None"),
    ],
)
def test_a_mistake_in_texts_without_labels_is_named_by_its_line(tmp_path, rows, message):
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(DataUnavailable, match=message):
        load(f"file:{path}")
