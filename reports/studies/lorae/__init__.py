"""The LoRAE study: quality, updated parameters and cost by method and rank, beside the paper's three figures.

Shown for runs whose plan says ``suite.study == "lorae"``. Numbers are made in
:mod:`tunebench.reports.studies.lorae.numbers`, sentences in
:mod:`tunebench.reports.studies.lorae.sentences`, the page's parts in :mod:`tunebench.reports.studies.lorae.view`, the
lines of the text table in :mod:`tunebench.reports.studies.lorae.text`.
"""

from __future__ import annotations

from tunebench.reports.studies.lorae.model import LoraeStudy
from tunebench.reports.studies.lorae.numbers import lorae_block

__all__ = ["LoraeStudy", "lorae_block"]
