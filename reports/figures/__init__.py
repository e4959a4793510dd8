"""Figures as inline SVG, drawn in Python: no script, themed by CSS, readable by screen readers.

Each figure is drawn twice, for a wide and for a narrow page: text in a scaled-down drawing is not readable.
"""

from __future__ import annotations

from tunebench.reports.figures.base.model import Figure, Styles
from tunebench.reports.formatting.table import DataTable

__all__ = ["DataTable", "Figure", "Styles"]
