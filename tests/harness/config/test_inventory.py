"""The inventory: what is accepted, and the message on each mistake."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tunebench.harness.config.inventory import BoardEntry, load_inventory, loopback_inventory
from tunebench.harness.errors import UsageError

GOOD = """
[lab]
name = "my-lab"

[[board]]
id = "pi5-01"
host = "pi5"
kind = "raspberry-pi"
tags = ["8gb", "desk"]
capabilities = { ram_gb = 8 }

[[board]]
id = "here"
kind = "loopback"
"""


def _load(tmp_path: Path, text: str):
    path = tmp_path / "lab.toml"
    path.write_text(text)
    return load_inventory(path)


def _refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        _load(tmp_path, text)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert str(tmp_path / "lab.toml") in message
    return message


def test_boards_keep_the_order_of_the_file_and_become_specs(tmp_path):
    inventory = _load(tmp_path, GOOD)
    assert [board.id for board in inventory.boards] == ["pi5-01", "here"]
    remote, here = (board.spec() for board in inventory.boards)
    assert (remote.host, remote.python, remote.interpreter) == ("pi5", "python3", ("python3",))
    assert (here.kind, here.interpreter) == ("loopback", (sys.executable,))


def test_an_interpreter_may_be_a_whole_command(tmp_path):
    text = GOOD.replace(
        'host = "pi5"', 'host = "pi5"\ninterpreter = ["docker", "exec", "-i", "l4t", "python3"]'
    )
    assert _load(tmp_path, text).boards[0].spec().interpreter == ("docker", "exec", "-i", "l4t", "python3")


def test_an_unknown_key_names_file_board_key_and_the_allowed_ones(tmp_path):
    message = _refused(tmp_path, GOOD.replace("tags =", "tag ="))
    assert "board 'pi5-01'" in message
    assert "unknown key 'tag' (did you mean 'tags'?)" in message
    assert "allowed: " + ", ".join(sorted(BoardEntry.model_fields)) in message


def test_an_unknown_capability_names_the_allowed_ones(tmp_path):
    message = _refused(tmp_path, GOOD.replace("ram_gb", "ram"))
    assert "unknown key 'ram'" in message
    assert "allowed: glibc, gpu, machine, python, ram_gb" in message


def test_a_duplicate_id_is_named(tmp_path):
    message = _refused(tmp_path, GOOD.replace('"here"', '"pi5-01"'))
    assert "board id 'pi5-01' is given twice" in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "raspberry-pi"', 'kind = "toaster"', "'raspberry-pi', 'jetson', 'linux' or 'loopback'"),
        ('host = "pi5"', 'host = "pi5"\nport = "22"', "a whole number (got '22'); without quotes: port = 22"),
        ('host = "pi5"', 'host = "pi5"\nport = 70000', "less than or equal to 65535 (got 70000)"),
        (
            'tags = ["8gb", "desk"]',
            'tags = "8gb"',
            "a list (got '8gb'); a list, even of one: tags = [\"8gb\"]",
        ),
        ('host = "pi5"\n', "", "'host' is missing"),
        ('kind = "loopback"', 'kind = "loopback"\nhost = "x"', "does not go with kind 'loopback'"),
        ('id = "pi5-01"', 'id = "../evil"', "use 1-64 letters, digits"),
        ('host = "pi5"', 'host = "pi5"\nhost_keys = "ignore"', "'verify' or 'accept-new'"),
        ('host = "pi5"', 'host = "pi5"\ninterpreter = []', "must be a command"),
        ("ram_gb = 8", "ram_gb = -1", "greater than 0"),
    ],
)
def test_a_wrong_value_is_told_what_would_be_right(tmp_path, old, new, words):
    assert old in GOOD
    message = _refused(tmp_path, GOOD.replace(old, new))
    assert words in message
    assert "board '" in message


HERE = '[[board]]\nid = "a"\nkind = "loopback"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[board]\nid = "a"\n',
            "[board]: is written in two brackets, [[board]], once for each; here it stands as [board]",
        ),
        ("board = 3\n", "two brackets, [[board]], once for each; here it is 3"),
        ('board = ["pi5"]\n', "board number 1: must be a table, written [[board]]; here it is 'pi5'"),
        (
            '[[lab]]\nname = "x"\n' + HERE,
            "[lab]: is a table, written in single brackets, [lab], once; here it stands as [[lab]]",
        ),
        ('lab = "x"\n' + HERE, "single brackets, [lab], once; here it is 'x'"),
        (
            HERE + 'meter = "shelly"\n',
            "board 'a': 'meter': is a table, written in single brackets, [board.meter]",
        ),
        (
            HERE + '[[board.tuning]]\ngovernor = "x"\n',
            "[board.tuning], once; here it stands as [[board.tuning]]",
        ),
        (HERE + "timeouts = 5\n", "[board.timeouts], once; here it is 5"),
        (
            '[tuning]\ngovernor = "x"\n' + HERE,
            "'tuning' (it belongs to a [[board]]: write [board.tuning] below it)",
        ),
        ('id = "a"\n' + HERE, "unknown key 'id' (it belongs to a [[board]])"),
        (HERE + HERE, "inventory: board id 'a' is given twice"),
        (
            HERE + "tuning = { freq_khz = 5, min_freq_khz = 5 }\n",
            "board 'a': in 'tuning': 'freq_khz' fixes both limits",
        ),
        (HERE + 'host = "x"\n', "board 'a': 'host' does not go with kind"),
        ("board = []\n", "key 'board': must have 1 or more entries"),
        (HERE + "interpreter = 5\n", "key 'board.interpreter': must be text in quotes or a list (got 5)"),
        (HERE + 'interpreter = ["a", 5]\n', "must be text in quotes (entry 2 is 5)"),
        (HERE + 'emulated = "true"\n', "must be true or false (got 'true'); without quotes: emulated = true"),
        (HERE + "user = 5\n", 'must be text in quotes (got 5); in quotes: user = "5"'),
        (HERE + "port = true\n", "must be a whole number (got true)"),
        (
            HERE + '[board.timeouts]\nconnect_s = "5.5"\n',
            "must be a number (got '5.5'); without quotes: connect_s = 5.5",
        ),
        (HERE + 'hots = "x"\nusr = "y"\n', "unknown key 'usr' (did you mean 'user'?)"),
    ],
)
def test_a_mistake_is_told_in_our_words_and_where_it_stands(tmp_path, text, words):
    message = _refused(tmp_path, text)
    assert words in message
    for foreign in ("Input should", "(whole file)", "valid dictionary", "pydantic", "str type", "list[str]"):
        assert foreign not in message


def test_several_mistakes_have_a_line_each(tmp_path):
    message = _refused(tmp_path, HERE + 'hots = "x"\nusr = "y"\nport = "z"\n')
    assert len(message.splitlines()) == 3


def test_an_inventory_without_boards_is_refused(tmp_path):
    assert "key 'board' is missing" in _refused(tmp_path, "[lab]\nname = 'x'\n")


def test_broken_toml_names_the_line(tmp_path):
    assert "not valid TOML" in _refused(tmp_path, "[lab\n")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml: no such file"):
        load_inventory(tmp_path / "nowhere.toml")


def test_boards_are_selected_by_glob_over_ids_and_tags(tmp_path):
    inventory = _load(tmp_path, GOOD)
    assert [board.id for board in inventory.select("pi*")] == ["pi5-01"]
    assert [board.id for board in inventory.select("desk,here")] == ["pi5-01", "here"]
    assert len(inventory.select(None)) == 2
    with pytest.raises(UsageError, match="the inventory has: pi5-01, here"):
        inventory.select("jetson*")


@pytest.mark.parametrize("patterns", ["", " ", ",", "here,pi5-10", "desk, heer"])
def test_boards_that_name_none_or_one_that_is_not_there_are_refused(tmp_path, patterns):
    """An empty variable of a CI job, a slip of the pen: measuring all, or fewer, would hide it."""
    with pytest.raises(UsageError, match="the inventory has: pi5-01, here"):
        _load(tmp_path, GOOD).select(patterns)


def test_a_pattern_of_a_list_may_match_nothing(tmp_path):
    assert [board.id for board in _load(tmp_path, GOOD).select("pi*,jetson*")] == ["pi5-01"]


def test_the_embedded_default_is_this_machine():
    (board,) = loopback_inventory().boards
    assert board.kind == "loopback"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("patience_s = inf", "finite"),
        ("timeouts = { connect_s = 1e308 }", "less than or equal to"),
        ('simulated_root = "~nobodyhere/x"', "no such user"),
        ('simulated_root = "a\\u0000b"', "NUL"),
        ("port = 0x" + "f" * 5000, "64 bits"),
        ("x = " + "[" * 3000, "nested too deeply"),
    ],
)
def test_values_that_no_board_can_have_are_refused_in_one_sentence(tmp_path, line, message):
    path = tmp_path / "lab.toml"
    path.write_text(f'[[board]]\nid = "a"\nkind = "loopback"\n{line}\n')
    with pytest.raises(UsageError, match=message) as refusal:
        load_inventory(path)
    assert len(str(refusal.value)) < 1000


def test_who_speaks_ssh_is_chosen_for_each_board(tmp_path):
    text = GOOD.replace('host = "pi5"', 'host = "pi5"\ntransport = "openssh"\nhost_keys = "accept-new"')
    remote, here = (board.spec() for board in _load(tmp_path, text).boards)
    assert (remote.transport, here.transport) == ("openssh", "paramiko")
    assert (remote.endpoint.transport, remote.endpoint.host_keys) == ("openssh", "accept-new")
    assert here.host_keys is None, "what the ssh config says"
    said = _refused(tmp_path, text.replace('"openssh"', '"ansible"'))
    assert "transport" in said
    assert "'paramiko' or 'openssh'" in said


def test_slow_servers_are_waited_for_unless_the_inventory_says_otherwise(tmp_path):
    """sshd with UseDNS and a dead resolver takes 30 s a login."""
    timeouts = _load(tmp_path, GOOD).boards[0].spec().timeouts
    assert timeouts.banner_s >= 45.0
    assert timeouts.auth_s >= 45.0
