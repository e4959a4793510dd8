"""The report: one offline file that holds every section, escapes what is foreign, and says what it may not claim."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from tunebench.reports.records import Reason
from tunebench.reports.render.html import render
from tunebench.reports.results import RunReader
from tunebench.reports.summary import UnknownBaseline

VOID = {"meta", "link", "br", "img", "input", "hr"}
SELF_CLOSED_SVG = {"rect", "line", "path", "polyline"}


class Page(HTMLParser):
    """Elements with their attributes and text; fails on tags that do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def style(self):
        return "".join(data for tag, data in self.texts if tag == "style")

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def text(self, *, without=("style", "script", "title", "desc")):
        return re.sub(r"\s+", " ", " ".join(data for tag, data in self.texts if tag not in without))


@pytest.fixture
def demo_html(demo):
    return render(demo)


@pytest.fixture
def page(demo_html):
    return Page(demo_html)


@pytest.fixture
def lab_page(lab):
    return Page(render(lab))


def write_and_render(campaign, path):
    return render(RunReader(campaign.write(path)))


SECTIONS = [
    "comparison",
    "each-method",
    "speed-up",
    "phases",
    "accuracy",
    "memory",
    "repetitions",
    "traces",
    "environment",
    "method",
]


def test_every_section_is_there_and_linked(page):
    ids = {attrs["id"] for tag, attrs in page.elements if "id" in attrs}
    assert set(SECTIONS) | {"validity", "aa", "cautions", "reproduce", "glossary"} <= ids
    links = [attrs["href"] for attrs in page.all("a")]
    assert {f"#{name}" for name in ["answers", *SECTIONS]} <= set(links)
    # There is no store: what one would add is said under Environment.
    assert "trend" not in ids
    assert all(link.startswith("#") and link[1:] in ids for link in links)


def test_ids_are_unique(lab_page):
    ids = [attrs["id"] for tag, attrs in lab_page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_required_figure_is_drawn(page):
    titles = {data for tag, data in page.texts if tag == "title"}
    assert {
        "Speed-up over ft-all", "Time of one training step by phase", "Held-out accuracy against seconds of fine-tuning",
        "Peak resident memory", "Size of the update", "Every timed repetition in run order",
        "Telemetry: skip2-lora on host, digits/mlp, block 3",
    } <= titles  # fmt: skip


def test_it_reaches_for_nothing_outside(demo_html, page):
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", demo_html)
    bare = demo_html.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in bare
    assert bare.count("https://") == bare.count("/*! https://github.com/leeoniya/uPlot") == 1  # a comment
    assert "@import" not in demo_html
    assert set(re.findall(r"url\(([^)]*)\)", page.style)) == {"#hatch"}
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|eval)\(", demo_html)
    assert {attrs["href"] for attrs in page.all("link")} == {"data:,"}


def test_the_policy_forbids_everything_but_its_own_style_and_scripts(demo_html, page):
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", demo_html, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", demo_html, re.S)
    allowed = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert "script-src " + " ".join(f"'sha256-{sha256}'" for sha256 in allowed) + ";" in policy
    assert len(scripts) == 2
    assert all(attrs == {} or attrs["type"] == "application/octet-stream" for attrs in page.all("script"))
    assert not any(
        "style" in attrs or any(name.startswith("on") for name in attrs) for _, attrs in page.elements
    )


def test_it_adapts_to_theme_print_and_width(demo_html):
    assert "prefers-color-scheme: dark" in demo_html
    assert "@media print" in demo_html
    assert "max-width: 820px" in demo_html


def test_the_comparison_holds_each_method_with_its_conditions(page):
    text = page.text()
    for label in ("ft-all", "ft-all A/A", "lora-all", "lora-last", "skip2-lora"):
        assert label in text
    mentions = text.count("torch on cpu 1 thread float32")
    assert mentions == 2, "what every row has in common is said once: at the answer and above the comparison"
    assert "engine: torch 2.13.0+cpu" in text
    assert "3.33×" in text
    assert "no verdict" in text


def test_missing_energy_shows_its_reason(page):
    assert (
        "Energy not measured : no power sensor: looked for INA3221, PMIC and RAPL (every method)"
        in page.text()
    )


def test_measured_energy_shows_scope_and_source(lab_page):
    assert "sum of rails ina3221" in lab_page.text()
    assert "module only ina3221" in lab_page.text()


def test_loopback_says_that_its_times_are_degraded(page):
    assert "Times on a shared machine are degraded" in page.text()
    assert "shared with the host and whatever else runs there" in page.text()


def test_emulated_says_that_its_times_are_no_boards(campaign, tmp_path, fake_board):
    campaign.boards = [fake_board("qemu-pi3", "linux", "Pi 3 (QEMU)", emulated=True)]
    text = Page(write_and_render(campaign, tmp_path)).text()
    assert "its times are the emulator's, not a board's" in text


def test_the_banner_counts_and_judges(lab_page):
    text = lab_page.text()
    assert "106 of 108" in text
    assert "A/A control: passed pi5-01 · digits/mlp: passed" in text
    assert "106 valid: may be used 1 invalid: stands in no number 1 failed: stands in no number" in text
    assert "skip2-lora if 1.6 points of accuracy may be lost (3.3× faster" in text


def test_losses_stand_with_reason_and_log(lab_page):
    text = lab_page.text()
    assert "ft-all on orin-02, timed, block 5" in text
    assert "oom: killed by the kernel's OOM killer" in text
    assert "epoch 2 loss 0.44" in text
    assert "every method on nano-03 unreachable: no route to host" in text


def test_the_command_to_reproduce_is_exact(page):
    assert "tunebench run --inventory lab.toml --suite demo" in page.text()


def test_figures_have_roles_words_and_tables(lab_page):
    figures = [attrs for attrs in lab_page.all("svg") if attrs.get("role") == "img"]
    assert len(figures) > 20
    assert all("aria-labelledby" in attrs or "aria-label" in attrs for attrs in figures)
    assert len(lab_page.all("details")) > 10
    assert len(lab_page.all("caption")) == len(lab_page.all("table"))
    assert all(attrs.get("scope") in ("col", "row") for attrs in lab_page.all("th"))


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31mred\x1b]0;t\x07\u202e"


def test_hostile_names_and_logs_are_shown_as_text(campaign, tmp_path, fake_board):
    campaign.boards = [fake_board(f"b{EVIL}", "linux", EVIL)]
    campaign.rename = {"lora-all": f"m{EVIL}", "ft-all": f"f{EVIL}"}
    campaign.task = f"d{EVIL}/{EVIL}"
    campaign.failed = {"b0-t0-m2"}
    campaign.log = f"log {EVIL} }}}} {{{{ 7*7 }}}}".encode() + b"\xff\xfe"
    html = write_and_render(campaign, tmp_path)
    page = Page(html)
    assert page.all("img") == []
    assert len(re.findall("<script>", html)) == 2
    assert page.text().count("alert(1)") > 3
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "{{ 7*7 }}" in page.text()
    assert "</script><script>alert(1)</script>" in page.text()


def test_endless_text_is_cut_visibly(campaign, tmp_path, fake_board):
    long = "x" * 1_000_000
    campaign.boards = [fake_board("b" + long, "linux", long)]
    campaign.rename = {"lora-all": "m" + long}
    campaign.failed = {"b0-t0-m2"}
    campaign.log = long.encode()
    html = write_and_render(campaign, tmp_path)
    assert "more characters" in html
    assert "characters left out" in html
    assert len(html) < 700_000


def test_a_large_campaign_stays_small(lab):
    assert len(render(lab)) < 650_000  # 70 kB of it are the scripts


def test_an_incomplete_run_is_marked(campaign, tmp_path):
    campaign.finish = False
    text = Page(write_and_render(campaign, tmp_path)).text()
    assert "run: not complete" in text
    assert "The run is not complete: 19 of 19 planned" in text


def test_an_empty_run_still_gives_a_page(campaign, tmp_path):
    campaign.methods, campaign.finish = [], False
    text = Page(write_and_render(campaign, tmp_path)).text()
    for sentence in (
        "Nothing recorded yet",
        "No method could be compared",
        "No accuracy was recorded",
        "none run",
    ):
        assert sentence in text


def test_a_method_that_always_failed_stands_in_the_table_with_its_reason(campaign, tmp_path):
    campaign.failed = {f"b0-t{b}-m4" for b in range(3)}
    text = Page(write_and_render(campaign, tmp_path)).text()
    assert "Time not measured : killed by the kernel's OOM killer (skip2-lora)" in text
    assert "No speed-up : no block in which both" in text


def test_a_damaged_trace_is_told_in_its_place(demo_run):
    reader = RunReader(demo_run)
    for path in (demo_run / "trace").iterdir():
        path.write_bytes(b"damaged")
    text = Page(render(reader)).text()
    assert "No trace:" in text
    assert "differs from" in text


def test_a_damaged_log_does_not_hide_the_failure(campaign, tmp_path):
    campaign.failed, campaign.finish = {"b0-t0-m2"}, False
    path = campaign.write(tmp_path)
    (path / "log" / "b0-t0-m2.txt.gz").write_bytes(b"x")
    assert "its log cannot be read" in Page(render(RunReader(path))).text()


def test_missing_values_and_records_without_numbers_are_drawn_as_far_as_they_go(store_reps, make_record):
    bare = {
        "peak_rss_b": None, "update_b": None, "params_trainable": None, "trace": None,
        "quality": make_record().quality.model_copy(update={"after": None, "before": None, "curve": []}),
    }  # fmt: skip
    reps = [make_record(**bare), make_record(block=1, label="fast", own=True, wall_s=2.0, **bare)]
    text = Page(render(store_reps(reps))).text()
    for sentence in (
        "not reported",
        "Neither memory nor sizes",
        "No accuracy",
        "No instrumented",
        "no trace was stored",
    ):
        assert sentence in text


def test_slower_methods_are_not_praised(store_reps, make_record):
    slow = [make_record(block=b, label="slow", wall_s=8.0) for b in range(8)]
    text = Page(render(store_reps([make_record(block=b) for b in range(8)] + slow))).text()
    assert "no method is shown to be faster (nearest: slow, 2.0× the time of ft-all)" in text


def test_unequal_work_and_power_mode_stand_in_the_row(store_reps, make_record):
    reps = [make_record(block=b, power_mode="15W") for b in range(6)]
    reps += [make_record(block=b, power_mode="15W", label="x", params={"epochs": 1}) for b in range(6)]
    text = Page(render(store_reps(reps))).text()
    assert "unequal epochs: 1 against 10" in text
    assert "15W" in text


def test_checks_and_hashes_stand_under_method(store_reps, make_record):
    prov = make_record().prov.model_copy(update={"payload_sha256": "ab" * 32})
    checks = [make_record(role="check", check={"passed": True}), make_record(prov=prov)]
    text = Page(render(store_reps(checks))).text()
    assert "1 of 1 checks passed" in text
    assert "payload abababababab" in text


def test_environment_changes_and_odd_values_are_shown(campaign, tmp_path):
    campaign.finish = False
    path = campaign.write(tmp_path)
    after = path / "env" / "host.after.json"
    after.write_text(after.read_text().replace("6.12.40", "6.12.41"))
    before = path / "env" / "host.before.json"
    before.write_text(
        before.read_text()
        .replace('"4"', "4")
        .replace('"cores":4', '"cores":[0,null],"soc":{"a":1},"gpu":null')
    )
    text = Page(render(RunReader(path))).text()
    assert "os.kernel 6.12.40 6.12.41" in text
    assert "a 1" in text
    assert "not known" in text


def test_the_baseline_can_be_chosen(demo):
    assert "speed-up against skip2-lora" in Page(render(demo, "skip2-lora")).text()
    with pytest.raises(UnknownBaseline):
        render(demo, "nope")


def test_many_reasons_are_listed_once_each(store_reps, make_record):
    reasons = [Reason(code=f"r{i}", message=f"reason {i}") for i in range(5)]
    reps = [make_record(block=b, label=f"m{m}", reasons=reasons) for b in range(2) for m in range(6)]
    text = Page(render(store_reps(reps))).text()
    assert text.count("reason 4 r4 12") == 1
    assert "and 3 more" in text
