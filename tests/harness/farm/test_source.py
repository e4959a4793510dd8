"""How farms are named, what an inventory may say of them, and that nothing of labgrid is needed for the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tunebench.harness.config.inventory import farms_of, load_inventory
from tunebench.harness.errors import UsageError
from tunebench.harness.farm import source
from tunebench.harness.farm.provider import FarmBoard, FarmError, Listed, Patience
from tunebench.harness.farm.source import Source, parse, provider


def test_a_source_names_a_coordinator_and_the_tags_that_a_board_must_have():
    assert parse("labgrid://lab") == Source("lab:20408")
    assert parse("labgrid://lab:1/?tag=board:rpi4&tag=where:a:b") == Source(
        "lab:1", (("board", "rpi4"), ("where", "a:b"))
    )
    assert parse("labgrid://[::1]:7?tag=a:b").coordinator == "[::1]:7"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("lab:20408", "farms are named labgrid://"),
        ("http://lab", "farms are named labgrid://"),
        ("labgrid://", "expected labgrid://HOST"),
        ("labgrid://me@lab", "neither a user"),
        ("labgrid://lab/places", "nor a path"),
        ("labgrid://lab:x", "expected labgrid://HOST"),
        ("labgrid://lab:99999", "expected labgrid://HOST"),
        ("labgrid://lab?tag=rpi4", "tag=NAME:VALUE"),
        ("labgrid://lab?board=rpi4", "tag=NAME:VALUE"),
        ("labgrid://lab?tag=:x", "tag=NAME:VALUE"),
        ("labgrid://lab?tag", "expected labgrid://HOST"),
    ],
)
def test_a_source_that_is_wrong_is_told_with_what_would_be_right(text, part):
    with pytest.raises(UsageError, match="labgrid") as refusal:
        parse(text)
    assert part in str(refusal.value) and repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[[farm]]\nsource = "lab"\nkind = "linux"\n', "farms are named labgrid://"),
        ('[[farm]]\nsource = "labgrid://lab"\n', "kind"),
        ('[[farm]]\nkind = "linux"\n', "source"),
        ('[[farm]]\nsource = "labgrid://lab"\nkind = "linux"\nhost = "pi"\n', "the farm's to say"),
        ('[[farm]]\nsource = "labgrid://lab"\nkind = "linux"\nworkdirr = "x"\n', "workdirr"),
        ('[[board]]\nid = "a"\nkind = "linux"\nhost = "a"\nplace = "p"\n', "'place' goes with 'farm'"),
        (
            '[[board]]\nid = "a"\nkind = "linux"\nhost = "a"\nfarm = "labgrid://l?tag=a:b"\n',
            "a table [[farm]]",
        ),
        ('[lab]\nname = "x"\n', "or [[farm]] those of a farm"),
    ],
)
def test_mistakes_in_an_inventory_name_the_file_and_the_key(tmp_path, text, part):
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refusal:
        load_inventory(path)
    assert str(path) in str(refusal.value) and part in str(refusal.value)


@pytest.mark.parametrize(
    ("tags", "part"),
    [
        ("?tag=nosuch:tag", "none of its 3 places has the tag nosuch:tag;"),
        ("?tag=board:rpi5&tag=lab:x", "none of its 3 places has the tag board:rpi5, nor lab:x;"),
        ("?tag=board:orin&tag=lab:one", "none of its 3 places has all of board:orin, lab:one;"),
    ],
)
def test_tags_that_no_place_has_are_told_with_those_that_there_are(tags, part):
    boards = [
        FarmBoard("a", tags={"board": "rpi4", "lab": "one"}),
        FarmBoard("b", tags={"board": "rpi4"}),
        FarmBoard("c", tags={"board": "orin"}),
    ]
    with pytest.raises(UsageError) as refusal:
        parse(f"labgrid://lab{tags}").choose(boards)
    assert str(refusal.value) == (
        f"labgrid://lab:20408: {part} tags there, with how many places have each:"
        " board:orin (1), board:rpi4 (2), lab:one (1)"
    )
    assert parse("labgrid://lab?tag=board:rpi4").choose(boards) == boards[:2]
    assert parse("labgrid://lab").choose(boards) == boards


def test_of_many_tags_the_first_are_told_and_of_none_that():
    boards = [FarmBoard("a", tags={f"tag-{n:02}": "x" for n in range(22)})]
    with pytest.raises(UsageError, match=r"tag-19:x \(1\), and 2 more$"):
        parse("labgrid://lab?tag=a:b").choose(boards)
    with pytest.raises(UsageError, match=r"none of its 0 places has the tag a:b;.*: none$"):
        parse("labgrid://lab?tag=a:b").choose([])


def test_the_farms_of_an_inventory_are_known_without_asking_them(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(
        '[[farm]]\nsource = "labgrid://lab?tag=a:b"\nkind = "linux"\n'
        '[[board]]\nid = "a"\nkind = "linux"\nhost = "a"\nfarm = "labgrid://lab:20408"\n'
        '[[board]]\nid = "b"\nkind = "linux"\nhost = "b"\nfarm = "labgrid://other"\n'
    )
    assert farms_of(path) == ["labgrid://lab:20408", "labgrid://other:20408"]


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(FarmError, match=r"labgrid is not installed: pip install 'tunebench\[labgrid\]'"):
        provider(parse("labgrid://127.0.0.1:1"))


def test_nothing_but_a_farm_imports_labgrid():
    code = (
        "import sys, tunebench.harness.cli.app, tunebench.harness.cli.farm, tunebench.harness.campaign.board_run\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('labgrid', 'grpc')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_boards_of_the_file_alone_are_a_provider_too():
    listed = Listed([FarmBoard("pi", "10.0.0.1", 22)])
    assert [board.name for board in listed.boards()] == ["pi"]
    ticket = listed.take("pi", Patience())
    assert listed.check(ticket) == "held"
    listed.give(ticket)
    with pytest.raises(FarmError, match="there are: pi"):
        listed.take("orin", Patience())
    with pytest.raises(FarmError, match="power-cycle"):
        listed.power(ticket, "cycle")
