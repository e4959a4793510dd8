"""Addresses of stores: what they mean, and that no password is taken or repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.reports.results import ResultsError
from tunebench.reports.stores.address import Address, address_of, place_of

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("results", Path("results")),
        ("/srv/lab results", Path("/srv/lab results")),
        ("parquet:///share/results", Address("parquet", "parquet:///share/results")),
        ("parquet:///share/results/", Address("parquet", "parquet:///share/results")),
        ("parquet:///share#20260101T020000Z-0", Address("parquet", "parquet:///share", "20260101T020000Z-0")),
        ("postgres://ann@db.lab:5432/bench", Address("postgres", "postgres://ann@db.lab:5432/bench")),
        ("postgresql://h1:5432,h2:5433/b#R", Address("postgres", "postgres://h1:5432,h2:5433/b", "R")),
        ("postgres:///b?host=/run/pg&port=5433", Address("postgres", "postgres:///b?host=/run/pg&port=5433")),
        ("postgres://u@[::1]:5/b", Address("postgres", "postgres://u@[::1]:5/b")),
        ("postgres:///?service=lab#R", Address("postgres", "postgres:///?service=lab", "R")),
    ],
)
def test_an_address_or_a_folder(text, place):
    assert place_of(text) == place


def test_a_parquet_store_is_a_folder():
    assert address_of("parquet:///share/my%20lab").folder == Path("/share/my lab")


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://ann:{SECRET}@h/db",
        f"postgres://:{SECRET}@h/db",
        f"postgresql://ann:{SECRET}@h:5432/db#RUN",
        f"POSTGRES://ann:{SECRET}@h",
        f"postgres://ann%3A{SECRET}@h/db",
        f"postgres://ann:{SECRET}/x@h/db",
        f"postgres://ann:x?{SECRET}@h/db",
        f"postgres://ann:x#{SECRET}@h/db",
        f"postgres://ann:{SECRET}@{SECRET}@h/db",
        f"postgres://h/db?password={SECRET}",
        f"postgres://h/db?sslmode=require&pass%77ord={SECRET}",
        f"postgres://h/db?sslpassword={SECRET}",
        f"postgres://h/db?password=x@{SECRET}",
        f"postgres:/ann:{SECRET}@h/db",
        f"postgres://ann:{SECRET}/db",
        f"mysql://ann:{SECRET}@h/db",
        f"parquet://ann:{SECRET}@h/share",
        f"host=h user=ann password={SECRET} dbname=db",
        f"dbname=db password = '{SECRET}'",
    ],
)
def test_a_password_in_an_address_is_refused_and_never_repeated(text):
    with pytest.raises(ResultsError, match="PGPASSWORD") as refused:
        place_of(text)
    assert SECRET not in str(refused.value)
    assert "~/.pgpass" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("parquet://share/results", "parquet:///"),
        ("parquet:/share", "parquet:///share"),
        ("postgres:h/db", "postgres://h/db"),
        ("sqlite:///x.db", "parquet:///DIR or postgres://"),
        ("results", "parquet:///"),
    ],
)
def test_an_address_with_a_mistake_is_told_with_what_would_be_right(text, right):
    with pytest.raises(ResultsError, match=right):
        address_of(text)
