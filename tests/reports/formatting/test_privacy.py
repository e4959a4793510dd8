"""Names of people and machines leave whatever holds them: dataclasses, mappings, lists."""

from dataclasses import dataclass

from tunebench.reports.formatting.privacy import scrubbed, scrubber


@dataclass(frozen=True, slots=True)
class Inner:
    rep_id: str
    words: list[str]


@dataclass(frozen=True, slots=True)
class Outer:
    inner: Inner
    facts: dict[str, object]
    n: int | None


def test_text_is_scrubbed_wherever_it_stands_and_keys_of_ours_are_not():
    outer = Outer(
        Inner("thor-7", ["on thor-7", "/home/ann/x"]), {"Serial": "1234", "os": {"who": "thor-7"}}, None
    )
    clean = scrubbed(outer, scrubber(["thor-7"]))
    assert clean == Outer(Inner("thor-7", ["on [name]", "…/x"]), {"os": {"who": "[name]"}}, None)
    assert outer.inner.words[0] == "on thor-7", "the original is left as it is"


def test_what_holds_no_text_is_the_same():
    assert scrubbed({"a": (1, 2.5, None, True)}, scrubber()) == {"a": [1, 2.5, None, True]}
