"""Sealed nights of a simulated lab, and a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reports.stores.postgres_server import PostgresServer, why_not
from tunebench.reports.history.simulated import SimulatedLab, seal


def nights(root: Path, number: int, **lab: int) -> list[Path]:
    """Write sealed nights below a results root."""
    simulated = SimulatedLab(**{"boards": 2, "cells": 3, "repetitions": 3, **lab})
    folders = [simulated.write_night(root, night) for night in range(number)]
    for folder in folders:
        seal(folder)
    return folders


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Four sealed nights below ``results``."""
    return nights(tmp_path / "results", 4)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for the session."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("postgres")
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(path.stat().st_mode | 0o011)  # its user must reach its data
    server = PostgresServer(folder / "server")
    yield server
    server.stop()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> PostgresServer:
    """The server without any table of ours."""
    postgres_server.sql("DROP SCHEMA IF EXISTS tunebench CASCADE")
    return postgres_server
