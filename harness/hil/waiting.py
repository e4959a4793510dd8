"""Tests of boards that were not drawn: left out of the session, until such a board takes a lost one's place."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tunebench.harness.hil.items import measures, parameter


class WaitingTests:
    """Tests that measure on boards which the run does not have. Used from the session's own thread."""

    def __init__(self) -> None:
        self._items: list[pytest.Item] = []

    def set_aside(self, session: pytest.Session, board_ids: Collection[str]) -> None:
        """Deselect the tests of boards that were not drawn."""
        self._items = [item for item in session.items if _is_of(item, board_ids)]
        if self._items:
            session.items[:] = [item for item in session.items if not _is_of(item, board_ids)]
            session.testscollected = len(session.items)
            session.config.hook.pytest_deselected(items=list(self._items))

    def bring_in(self, session: pytest.Session, board_ids: Collection[str]) -> None:
        """Run the tests of boards that the run has taken since, behind all others: pytest goes on to what is appended."""
        joined = [item for item in self._items if _is_of(item, board_ids)]
        if joined:
            self._items = [item for item in self._items if item not in joined]
            session.items.extend(joined)
            session.testscollected += len(joined)


def _is_of(item: pytest.Item, board_ids: Collection[str]) -> bool:
    return measures(item) and parameter(item, "board") in board_ids
