"""The section on language models, on stored campaigns whose tokens and phases are made up."""

from __future__ import annotations

import json

import pytest

from tests.reports.campaigns import Campaign
from tunebench.reports.render.html import render
from tunebench.reports.render.markdown import MAX_CHARS, markdown
from tunebench.reports.render.text import table
from tunebench.reports.results import RunReader
from tunebench.reports.sections.language import PUBLISHED, SECONDARY, SECTION
from tunebench.reports.summary import as_json, summarise

PHASES = {
    f"{phase}_{unit}": value
    for phase in ("load", "first_step", "steady_step", "merge", "save", "reload")
    for unit, value in (("s", 1.5), ("peak_b", 8e8))
}
TOKENS = {"tokens_per_s": 251.0, "train_tokens": 9e4, "padded_tokens": 1e5, "predicted_total_b": 3.3e8}


def with_texts(run, *, reload_failed=False):
    """Add to each record what a transformer tells."""
    path = run / "reps.jsonl"
    lines = []
    for line in path.read_text().splitlines():
        rep = json.loads(line)
        rep["metrics"] |= TOKENS
        if rep["role"] == "instrumented":
            rep["metrics"] |= PHASES
            if reload_failed and rep["label"] == "lora-all":
                for name in ("reload_s", "reload_peak_b"):
                    del rep["metrics"][name]
                rep["missing"]["reload"] = "out of memory: the new process of /home/ann/kept was killed"
            rep["missing"]["merge"] = rep["missing"].get("merge", "")
        lines.append(json.dumps(rep))
    path.write_text("\n".join(lines) + "\n")
    return RunReader(run, check=False)


def section_of(page):
    begin = page.index('<section id="language">')
    return page[begin : page.index("</section>", begin)]


@pytest.fixture
def run(tmp_path):
    return Campaign(blocks=3, methods=["ft-all", "ft-all A/A", "lora-all"]).write(tmp_path / "results")


def test_a_row_has_tokens_padding_memory_beside_what_was_foretold_and_every_phase(run):
    section = section_of(render(with_texts(run)))
    assert "251" in section and "10.0%" in section and "315 MiB" in section
    assert section.count("1.50 s, 763 MiB") >= 2 * 6
    assert "range of 3)" in section
    assert "padding is left out" in section


def test_a_reload_that_failed_is_a_row_with_its_reason_and_no_folder(run):
    section = section_of(render(with_texts(run, reload_failed=True)))
    assert "<td>failed</td>" in section
    assert "Reload of lora-all: out of memory" in section and "ann" not in section


def test_a_row_above_a_packed_base_says_so_and_no_other_does(run):
    path = run / "reps.jsonl"
    reps = [json.loads(line) for line in path.read_text().splitlines()]
    for rep in reps:
        if rep["label"] == "lora-all":
            rep["params"]["quantized_base"] = "nf4"
    path.write_text("\n".join(map(json.dumps, reps)) + "\n")
    section = section_of(render(with_texts(run)))
    assert "lora-all (base nf4)" in section and "ft-all (" not in section.replace("ft-all (A/A)", "")


def test_anchors_of_others_are_labelled_as_published_by_a_secondary_source(run):
    section = section_of(render(with_texts(run)))
    for words in PUBLISHED:
        assert f"{SECONDARY}: {words}" in section


def test_a_run_without_texts_has_no_section(run):
    assert 'id="language"' not in render(RunReader(run))


def test_plain_text_has_the_tables_the_failures_and_the_anchors_of_the_page(run):
    text = table(summarise(with_texts(run, reload_failed=True)), width=150)
    section = text[text.index("Language models\n") :]
    assert section.index("tokens/s") < section.index("steady step") < section.index("- Reload of lora-all")
    assert "251" in section and "1.50 s, 763 MiB" in section and "range of 3)" in section
    assert " ".join(section.split()).count(SECONDARY) == len(PUBLISHED)


def test_markdown_has_a_row_a_method_escaped_and_what_failed(tmp_path):
    campaign = Campaign(methods=["ft-all", "lora-all"], rename={"ft-all": "ft|*all*"})
    text = markdown(summarise(with_texts(campaign.write(tmp_path / "results"), reload_failed=True)))
    section = text[text.index("### Language models") : text.index("### What you may not conclude")]
    assert section.splitlines()[2].startswith("| board | task | method | tokens/s | J/token | peak memory |")
    assert "| ft\\|\\*all\\* | 251 |" in section
    assert "- Reload of lora-all: out of memory" in section


def test_markdown_that_is_too_long_for_a_comment_points_to_the_page(run):
    summary = summarise(with_texts(run))
    whole = SECTION.markdown(summary, MAX_CHARS)
    assert SECTION.markdown(summary, len(whole)) == whole
    assert (
        SECTION.markdown(summary, len(whole) - 1)
        == "### Language models\n\nToo long for a comment: see the page."
    )
    assert SECTION.markdown(summary, 20) == ""


def test_json_has_the_numbers_of_the_section_and_of_no_other_run(run):
    assert all("texts" not in row for row in as_json(summarise(RunReader(run)))["rows"])
    first = as_json(summarise(with_texts(run)))["rows"][0]["texts"]
    assert first["tokens_per_s"]["median"] == 251.0 and first["padding"] == pytest.approx(0.1)
    assert first["phases"]["reload"] == {"took_s": 1.5, "peak_b": 8e8, "missing": None, "failed": False}
