"""``tunebench init``: a first inventory from real ssh configs, real servers and a real terminal; it never hangs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests import warm
from tests.terminal import BOUND_S, at_a_terminal
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.errors import UsageError
from tunebench.harness.lab import first_lab
from tunebench.targets.transport.neighbours import Neighbour
from tunebench.targets.virtual.openssh import OpenSshServer, find_sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if find_sshd() is None:
        pytest.skip("no sshd on this machine: install openssh-server")
    with OpenSshServer(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def ssh_config(server, tmp_path):
    """An ssh config as people have them: two boards, one of them not there, and a forge."""
    endpoint = server.endpoint
    path = tmp_path / "ssh_config"
    path.write_text(
        f"Host bench\n  HostName 127.0.0.1\n  Port {endpoint.port}\n  User {endpoint.user}\n"
        f"  IdentityFile {endpoint.key_file}\n  IdentitiesOnly yes\n  UserKnownHostsFile {endpoint.known_hosts}\n"
        "Host pi5-gone\n  HostName 127.0.0.1\n  Port 9\n"
        "Host github.com\n  User git\n"
        "Host work-git\n  HostName github.com\n"
        "Host *.lab\n  User lab\n"
    )
    return str(path)


def boards(path):
    return {board.id: (board.host, board.kind) for board in load_inventory(path).boards}


@pytest.mark.openssh
def test_the_ssh_configs_hosts_are_explained_by_ssh_itself_and_forges_are_none(ssh_config):
    candidates = {candidate.host: candidate for candidate in first_lab.from_ssh_config(ssh_config)}
    assert list(candidates) == ["bench", "pi5-gone", "github.com", "work-git"]
    assert candidates["bench"].why_not is None
    assert re.search(r"@127\.0\.0\.1:\d+\Z", candidates["bench"].where)
    assert candidates["github.com"].why_not == candidates["work-git"].why_not == "a forge"


@pytest.mark.openssh
def test_all_boards_are_taken_without_a_question_and_those_that_answer_say_what_they_are(
    cli, ssh_config, tmp_path
):
    done = cli("init", "--yes", "--ssh-config", ssh_config)
    assert done.returncode == 0, done.stderr
    assert boards(tmp_path / "lab.toml") == {
        "bench": ("bench", "linux"),
        "pi5-gone": ("pi5-gone", "raspberry-pi"),
    }
    text = (tmp_path / "lab.toml").read_text()
    assert "it answers, and has no device tree" in text or "it says: " in text
    assert "guessed from its name: not reached" in text
    assert "`ssh pi5-gone` must work" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("tunebench boards")


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE], ids=["null", "pipe"])
def test_without_a_terminal_nothing_is_asked_and_the_commands_that_need_none_are_told(
    ssh_config_plain, tmp_path, stdin
):
    with warm.Popen(
        [sys.executable, "-m", "tunebench", "init", "--ssh-config", ssh_config_plain],
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as process:  # fmt: skip
        _, errors = process.communicate(timeout=BOUND_S)
    assert process.returncode == 2
    assert not (tmp_path / "lab.toml").exists()
    commands = [shlex.split(line) for line in re.findall("`([^`]*)`", errors)]
    assert commands[0][-5:] == ["init", "--board", "pi5-01", "--board", "orin"]
    assert commands[1][-1] == "--yes"


@pytest.fixture
def ssh_config_plain(tmp_path):
    path = tmp_path / "plain"
    path.write_text("Host pi5-01 orin\n  HostName 127.0.0.1\n  Port 9\n")
    return str(path)


INIT = (sys.executable, "-m", "tunebench", "init")


def test_a_person_chooses_by_number_and_may_name_more(ssh_config_plain, tmp_path):
    words = [*INIT, "--ssh-config", ssh_config_plain]
    code, shown = at_a_terminal(words, [b"1 127.0.0.9\n", b"attic\n"], tmp_path)
    assert code == 0, shown
    assert boards(tmp_path / "lab.toml") == {
        "pi5-01": ("pi5-01", "raspberry-pi"),
        "127.0.0.9": ("127.0.0.9", "linux"),
    }
    assert load_inventory(tmp_path / "lab.toml").lab.name == "attic"


def test_a_wrong_number_is_asked_again_and_the_end_of_input_ends_it(ssh_config_plain, tmp_path):
    words = [*INIT, "--ssh-config", ssh_config_plain]
    code, shown = at_a_terminal(words, [b"7\n", b"\x04"], tmp_path)
    assert "7: there are numbers from 1 to 2" in shown
    assert code != 0
    assert "Traceback" not in shown
    assert not (tmp_path / "lab.toml").exists()


def test_who_has_no_board_takes_this_machine(tmp_path):
    code, shown = at_a_terminal([*INIT, "--ssh-config", str(tmp_path / "none")], [b"\n", b"\n"], tmp_path)
    assert code == 0, shown
    assert "names no board" in shown
    assert boards(tmp_path / "lab.toml") == {"this-machine": (None, "loopback")}


def test_a_person_may_have_the_network_looked_through_and_names_a_kind(ssh_config_plain, tmp_path):
    """Only if asked; in a network namespace, so that nobody is knocked at."""
    alone = ["unshare", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no network namespace for this account (unshare --net)")
    answers = [b"network\n", b"2 127.0.0.9=jetson here\n", b"\n"]
    code, shown = at_a_terminal([*alone, *INIT, "--ssh-config", ssh_config_plain], answers, tmp_path)
    assert code == 0, shown
    assert "looking for SSH servers on no network" in shown
    assert boards(tmp_path / "lab.toml") == {
        "orin": ("orin", "jetson"),
        "127.0.0.9": ("127.0.0.9", "jetson"),
        "this-machine": (None, "loopback"),
    }


@pytest.mark.parametrize("kind", ["raspberry-pi", "jetson", "linux"])
def test_boards_named_with_their_kind_need_no_answer(cli, tmp_path, kind):
    done = cli("init", "--board", f"ann@127.0.0.1={kind}", "--lab", "x")
    assert done.returncode == 0, done.stderr
    assert boards(tmp_path / "lab.toml") == {"127.0.0.1": ("ann@127.0.0.1", kind)}


def test_this_machine_is_a_first_board_and_the_next_command_works(cli, tmp_path):
    done = cli("init", "--loopback")
    assert done.returncode == 0, done.stderr
    assert boards(tmp_path / "lab.toml") == {"this-machine": (None, "loopback")}
    planned = cli("plan", "-s", "smoke")
    assert planned.returncode == 0, planned.stderr
    assert "this-machine (loopback)" in planned.stdout


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(cli, tmp_path):
    (tmp_path / "lab.toml").write_text("precious\n")
    done = cli("init", "--loopback")
    assert done.returncode == 2
    assert (tmp_path / "lab.toml").read_text() == "precious\n"
    (again,) = re.findall("`([^`]*)`", done.stderr)
    assert cli(*shlex.split(again)[-3:]).returncode == 0, "the command that was told replaces it"
    assert "this-machine" in (tmp_path / "lab.toml").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--board", "pi=toaster"], "kind 'toaster' is none of: raspberry-pi, jetson, linux"),
        (["--board", "=jetson"], "names no host"),
        (["--board", "-oProxyCommand=x"], "names no host|kind 'x' is none of"),
        (["--loopback", "--lab", "a b"], "--lab 'a b': use 1-64 letters"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(cli, tmp_path, words, sentence):
    done = cli("init", *words)
    assert done.returncode == 2, done.stdout
    assert re.search(sentence, done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "lab.toml").exists()


def test_without_any_host_the_ways_to_name_one_are_told(cli, tmp_path):
    done = cli("init", "--ssh-config", str(tmp_path / "none"))
    assert done.returncode == 2
    ends = [line.split("init ")[1] for line in re.findall("`([^`]*)`", done.stderr)]
    assert ends == ["--board pi@192.168.1.5", "--network --yes", "--loopback"]


def test_hosts_of_the_network_bring_the_kind_of_their_card():
    candidates = first_lab.from_network([Neighbour("10.0.0.7", "SSH-2.0-OpenSSH_9.2\x1b[2J", "jetson")])
    assert (candidates[0].host, candidates[0].kind) == ("10.0.0.7", "jetson")
    assert "\x1b" not in candidates[0].where


@pytest.mark.parametrize(
    ("compatible", "model", "kind"),
    [
        ("raspberrypi,5-model-b brcm,bcm2712", "Raspberry Pi 5 Model B Rev 1.0", "raspberry-pi"),
        ("raspberrypi,model-zero-2-w brcm,bcm2837", "Raspberry Pi Zero 2 W Rev 1.0", "raspberry-pi"),
        ("nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234", "", "jetson"),
        ("", "NVIDIA Orin Nano Developer Kit", "jetson"),
        ("radxa,rock-5b rockchip,rk3588", "Radxa ROCK 5B", "linux"),
        ("", "", "linux"),
    ],
)
def test_a_device_tree_tells_the_kind(compatible, model, kind):
    assert first_lab.kind_of_tree(compatible, model) == kind


def test_ids_are_file_names_and_unique():
    ids = first_lab.board_ids(["a b", "böard", "ssh://x@pi:22", "[fe80::1]", "pi", "é", "7"])
    assert len(set(ids)) == len(ids)
    for name in ids:
        assert first_lab.is_name(name), name


def test_what_is_written_reads_back_whatever_the_board_says(tmp_path):
    evil = first_lab.Chosen("x", 'h"\\x', "linux", 'it says: "\n[[board]]\nid = "evil"', True)
    first_lab.write(tmp_path / "lab.toml", "lab", [evil])
    assert boards(tmp_path / "lab.toml") == {"x": ('h"\\x', "linux")}


def test_what_would_not_read_back_is_not_left_behind(tmp_path):
    with pytest.raises(UsageError):
        first_lab.write(tmp_path / "lab.toml", "lab", [first_lab.Chosen("x", "", "linux")])
    assert not (tmp_path / "lab.toml").exists()
