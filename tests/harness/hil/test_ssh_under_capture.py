"""An ssh configuration with ``Match exec`` under pytest's capture, where reading standard input raises."""

from __future__ import annotations

import pytest

TEST = """
from dataclasses import replace

from tunebench.targets.transport.ssh import Ssh
from tunebench.targets.virtual.loopback import LoopbackServer


def test_it(tmp_path):
    config = tmp_path / "config"
    config.write_text('Match exec "cat > /dev/null; true"\\n    ServerAliveInterval 30\\n')
    with LoopbackServer() as server, Ssh(replace(server.endpoint, ssh_config=str(config))) as ssh:
        assert ssh.run(["echo", "hello"]).stdout == b"hello\\n"
"""


@pytest.mark.parametrize("how", ["fd", "sys", "tee-sys", "no"])
def test_a_command_of_the_configuration_is_run_under_every_capture(run_pytest, tmp_path, how):
    pytest.importorskip(
        "tunebench.targets.transport.config.asked", reason="paramiko's own reading uses sys.stdin"
    )
    (tmp_path / "test_own.py").write_text(TEST)
    done = run_pytest(f"--capture={how}")
    assert done.returncode == 0, done.stdout + done.stderr
