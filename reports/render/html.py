"""One self-contained, offline HTML file: no network, two scripts of ours, and a security policy that says so."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from tunebench.reports.analysis.two_runs.comparison import RunComparison
from tunebench.reports.formatting.privacy import scrubbed, scrubber, shown_names
from tunebench.reports.formatting.units import clean
from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.gating import Judgement
from tunebench.reports.render.compare import heads, tables
from tunebench.reports.render.gate_block import gate_block, regressed
from tunebench.reports.render.head import head_of
from tunebench.reports.render.page import page_of
from tunebench.reports.results.reader import RunReader
from tunebench.reports.sections.base.changes import since
from tunebench.reports.sections.base.section import Page, Section
from tunebench.reports.sections.base.trend import no_trend, trend_of
from tunebench.reports.sections.registry import PluginSection, sections
from tunebench.reports.summary import summarise

TEMPLATES = Path(__file__).parent / "templates"
#: uPlot 1.6.32, MIT, unchanged; its licence lies beside it.
_VENDOR = Path(__file__).parent / "vendor" / "uplot"
#: Any single piece of foreign text on the page is cut, visibly, at this many characters.
_MAX_TEXT = 1200
#: Elements that carry what a section is about; its heading and its paragraphs do not.
_CONTENT = re.compile(r"<(?:table|figure|svg|details|dl|pre|ul|ol)[\s>]")


def render(
    reader: RunReader,
    baseline: str | None = None,
    *,
    words: Iterable[str] = (),
    index: Path | None = None,
    decisions: Sequence[Decision] = (),
    against: RunReader | None = None,
    gate: Judgement | None = None,
) -> str:
    """Render the report of a run as one HTML document.

    Args:
        reader: an open run, complete or not.
        baseline: the label to compare with; default as in :func:`tunebench.reports.summary.summarise`.
        words: names that must not stand on the page: this machine's, the user's.
        index: a DuckDB index of the store that the run lies in, for the trend over its nights.
        decisions: those of that store.
        against: the run whose environment this one's is held against; default: the run before in the store.
        gate: the verdict on its night, with which the page begins.

    Raises:
        UnknownBaseline: no repetition carries this label.
        ResultsError: the index cannot be read.
    """
    styles = [_VENDOR / "uPlot.min.css", TEMPLATES / "style.css", TEMPLATES / "gate.css"]
    scripts = [_VENDOR / "uPlot.iife.min.js", TEMPLATES / "report.js"]
    style = "\n".join(path.read_text(encoding="utf-8") for path in styles)
    code = [path.read_text(encoding="utf-8") for path in scripts]
    policy = (
        f"default-src 'none'; script-src {' '.join(map(hash_of, code))}; style-src {hash_of(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    template = environment().get_template("report.html.j2")
    scrub = scrubber(set(words) - shown_names(reader.repetitions))
    trend = trend_of(reader, index, decisions, scrub) if index is not None else no_trend()
    if against is not None:
        trend = replace(trend, since=since(reader, against, scrub))
    worse = regressed(gate, reader.repetitions)
    summary = scrubbed(summarise(reader, baseline, regressed=worse), scrub)
    content = page_of(summary, reader, scrub, trend)
    parts = [part for section in sections() if (part := _part(section, content)) is not None]
    # Style and scripts are ours and go in unescaped; their hashes stand in the policy.
    ours: dict[str, object] = {"style": Markup(style), "scripts": [Markup(text) for text in code]}  # noqa: S704
    ours["gate"] = gate_block(gate, summary.run.started_utc, scrub) if gate is not None else None
    return template.render(policy=policy, parts=parts, summary=summary, head=head_of(content), **ours)


@dataclass(frozen=True)
class _Part:
    """A section as it stands on the page; without ``nav`` the navigation does not name it."""

    ident: str
    nav: str
    html: Markup


def _part(section: Section, page: Page) -> _Part | None:
    """Return a section's part of the page; None if it has nothing to show or is a plugin's and fails."""
    view = section.view(page)
    if view is None:
        return None
    try:
        html = environment().from_string(section.template()).render(view=view, summary=page.summary)
    except Exception as error:
        if not isinstance(section, PluginSection):
            raise
        section.failed(f"{type(error).__name__}: {error}")
        return None
    # A section of ours that only says why it is empty is no place to go to.
    nav = section.nav if isinstance(section, PluginSection) or _CONTENT.search(html) else ""
    return _Part(section.ident, nav, Markup(html))  # noqa: S704 - escaped by the template


def render_comparison(comparison: RunComparison, *, words: Iterable[str] = ()) -> str:
    """Render two runs side by side as one HTML document without a script.

    Args:
        comparison: what :func:`tunebench.reports.analysis.two_runs.comparison.compare_runs` made.
    """
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src {hash_of(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    comparison = scrubbed(comparison, scrubber(words))
    parts = {
        "answer": comparison.answer if comparison.rows else "",
        "heads": heads(comparison),
        "sections": tables(comparison),
        "cautions": comparison.cautions,
    }
    template = environment().get_template("compare.html.j2")
    return template.render(policy=policy, style=Markup(style), **parts)  # noqa: S704


def hash_of(text: str) -> str:
    """Return the source expression of a Content-Security-Policy that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """Return the templates, with every text escaped and cleaned."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_plain,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _plain(value: object) -> object:
    """Clean text that is not markup before it is escaped: remove control characters and limit the length."""
    return clean(value, _MAX_TEXT) if isinstance(value, str) and not isinstance(value, Markup) else value
