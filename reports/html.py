"""One self-contained, offline HTML file: no script, no network, and a security policy that says so."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from reports.page import page
from reports.reader import RunReader
from reports.summary import summarise
from reports.units import clean

_TEMPLATES = Path(__file__).parent / "templates"
#: Any single piece of foreign text on the page is cut, visibly, at this many characters.
_MAX_TEXT = 1200


def render(reader: RunReader, baseline: str | None = None) -> str:
    """The report of a run as one HTML document.

    Args:
        reader: an open run, complete or not.
        baseline: the label to compare with; default as in :func:`reports.summary.summarise`.

    Raises:
        UnknownBaseline: no repetition carries this label.
    """
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    template = _environment().get_template("report.html.j2")
    parts = page(summarise(reader, baseline), reader)
    # The style sheet is ours and goes in unescaped; its hash stands in the policy.
    return template.render(policy=policy, style=Markup(style), **parts)  # noqa: S704


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_plain,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _plain(value: object) -> object:
    """Text that is not markup is cleaned before it is escaped: no control characters, no endless names."""
    return clean(value, _MAX_TEXT) if isinstance(value, str) and not isinstance(value, Markup) else value
