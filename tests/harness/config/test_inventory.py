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
    assert "allowed: gpu, ram_gb" in message


def test_a_duplicate_id_is_named(tmp_path):
    message = _refused(tmp_path, GOOD.replace('"here"', '"pi5-01"'))
    assert "board id 'pi5-01' is given twice" in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "raspberry-pi"', 'kind = "toaster"', "'raspberry-pi', 'jetson', 'linux' or 'loopback'"),
        ('host = "pi5"', 'host = "pi5"\nport = "22"', "valid integer (got '22')"),
        ('host = "pi5"', 'host = "pi5"\nport = 70000', "less than or equal to 65535 (got 70000)"),
        ('tags = ["8gb", "desk"]', 'tags = "8gb"', "valid list (got '8gb')"),
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
