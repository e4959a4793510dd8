"""The list of report sections: those of other packages stand behind ours, and a faulty one does not stop the report."""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from tunebench.reports.render.html import render
from tunebench.reports.render.markdown import MAX_CHARS, markdown
from tunebench.reports.render.text import table
from tunebench.reports.sections import registry
from tunebench.reports.sections.base.section import Section
from tunebench.reports.sections.energy import EnergySection
from tunebench.reports.summary import summarise


class Queue(Section):
    """A section as a lab's own package adds it: how long the queue was."""

    ident = "queue"
    nav = "Queue"

    def template(self):
        return (
            '<section id="queue"><h2>Queue</h2><p>{{ view.words }} of {{ summary.run.run_id }}</p></section>'
        )

    def view(self, page):
        return {"words": f"<b>{len(page.summary.repetitions)}</b> jobs"}

    def text(self, summary):
        return [f"Queue\n{len(summary.repetitions)} jobs"]

    def markdown(self, summary, limit):
        return f"### Queue\n\n{len(summary.repetitions)} jobs"


class Broken(Queue):
    ident = "broken"

    def view(self, page):
        raise RuntimeError("no queue")

    text = markdown = view


class BrokenTemplate(Queue):
    ident = "broken-template"

    def template(self):
        return "{{ view.words.nothing.here }}"


class Endless(Queue):
    ident = "endless"

    def markdown(self, summary, limit):
        return "x" * (limit + 1)


@pytest.fixture
def installed(monkeypatch):
    """Give entry points to these classes, as if their package were installed."""
    module = ModuleType("mylab_sections")
    vars(module).update(
        {kind.__name__: kind for kind in (Queue, Broken, BrokenTemplate, Endless, EnergySection)}
    )
    monkeypatch.setitem(sys.modules, "mylab_sections", module)

    def install(*values):
        registry._tell.cache_clear()
        points = [EntryPoint(f"p{i}", value, registry.GROUP) for i, value in enumerate(values)]
        monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])

    return install


def test_every_section_of_ours_has_an_ident_of_its_own_and_a_partial_with_it():
    idents = [section.ident for section in registry.SECTIONS]
    assert len(set(idents)) == len(idents)
    assert all(f'<section id="{section.ident}">' in section.template() for section in registry.SECTIONS)


def test_the_navigation_follows_the_list_and_leaves_out_what_is_not_on_the_page(demo):
    html = render(demo)
    nav = html[html.index('<nav aria-label="Sections">') : html.index("</nav>")]
    shown = [s for s in registry.SECTIONS if s.nav and f'<section id="{s.ident}">' in html]
    assert [f'<a href="#{s.ident}">{s.nav}</a>' in nav for s in shown] == [True] * len(shown)
    assert sorted(shown, key=lambda s: nav.index(f"#{s.ident}")) == shown
    assert '<section id="trend">' not in html, "no store was given"
    assert nav.count("<li>") == len(shown) + 1 < len(registry.SECTIONS), "the answer itself is the first"


def test_a_section_of_another_package_stands_in_every_form(demo, installed):
    installed("mylab_sections:Queue")
    html, summary = render(demo), summarise(demo)
    assert '<li><a href="#queue">Queue</a></li>' in html
    assert f"<p>&lt;b&gt;19&lt;/b&gt; jobs of {summary.run.run_id}</p>" in html, "text is escaped"
    assert "\n\nQueue\n19 jobs\n\n" in table(summary)
    assert "\n\n### Queue\n\n19 jobs\n\n" in markdown(summary)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("mylab_absent:Queue", "ModuleNotFoundError: No module named 'mylab_absent'"),
        ("mylab_sections:Absent", "AttributeError"),
        ("mylab_sections:Broken", "RuntimeError: no queue"),
        ("mylab_sections:BrokenTemplate", "UndefinedError"),
        ("mylab_sections:EnergySection", "another section has the ident 'energy'"),
    ],
)
def test_a_plugin_that_fails_is_told_in_one_sentence_and_the_report_is_written(
    demo, installed, capsys, value, reason
):
    without = render(demo)
    installed(value)
    assert render(demo) == without
    assert capsys.readouterr().err.count("\n") == 1
    registry._tell.cache_clear()
    summary = summarise(demo)
    text = table(summary)
    assert "What you may not conclude" in text
    if value != "mylab_sections:BrokenTemplate":
        err = capsys.readouterr().err
        assert err.startswith(f"The report's section 'p0' ({value}) is left out: ")
        assert reason in err
        assert "Queue" not in text


def test_markdown_that_is_too_long_is_left_out(demo, installed, capsys):
    installed("mylab_sections:Endless")
    text = markdown(summarise(demo))
    assert len(text) < MAX_CHARS
    assert "xxx" not in text
    assert "characters of Markdown" in capsys.readouterr().err
