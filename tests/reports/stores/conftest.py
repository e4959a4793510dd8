"""Sealed nights of a simulated lab, and a real PostgreSQL server."""

from __future__ import annotations

import shutil
import tempfile
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
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the session.

    Not below pytest's own folder: every pytest that starts closes that to other users, and the server is one.
    """
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="tunebench-postgres-"))
    folder.chmod(0o755)
    try:
        server = PostgresServer(folder / "server")
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> PostgresServer:
    """The server without any table of ours."""
    postgres_server.sql("DROP SCHEMA IF EXISTS tunebench CASCADE")
    return postgres_server
