"""The tracks of a study beside each other: the same methods, trained in different ways, with controls and claims.

Protocol 2 (docs/protocol.md) has two: the main track and the paper track. A track is found by how its methods were
trained, so a suite may give each a task of its own or hold all in one task under other labels; both studies use this.
Numbers are made in :mod:`tunebench.reports.studies.tracks.numbers` from the cells that
:mod:`tunebench.reports.studies.tracks.sorting` has put into tracks, the table and the sentences in
:mod:`tunebench.reports.studies.tracks.words`.
"""

from __future__ import annotations

from tunebench.reports.studies.tracks.model import TrackedTask
from tunebench.reports.studies.tracks.numbers import Roles, tracked_tasks

__all__ = ["Roles", "TrackedTask", "tracked_tasks"]
