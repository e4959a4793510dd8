"""The host's own side: who is let in, what is run, what is written where."""

from __future__ import annotations

import ast
import ipaddress
import re
import socket
import stat
import sys
import tomllib
from pathlib import Path

import paramiko
import pytest

from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.errors import HarnessError
from tunebench.targets.payload import make_payload
from tunebench.targets.transport.endpoint import Endpoint

ROOT = Path(__file__).parents[2]
PACKAGES = ("harness", "targets", "workloads", "reports")
#: Modules and calls that turn data into code.
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "jsonpickle", "cloudpickle", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
#: Matched by their last name, however they were imported; torch's ``load`` unpickles unless it is forbidden.
FORBIDDEN_NAMES = {
    "popen",
    "getoutput",
    "getstatusoutput",
    "create_subprocess_shell",
    "mktemp",
    "read_pickle",
}
FORBIDDEN_ATTRIBUTES = {("os", "system"), ("yaml", "load"), ("torch", "load")}
FORBIDDEN_OPTIONS = {"shell", "allow_pickle"}


def _trees() -> list[tuple[Path, ast.Module]]:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in files]


def _faults(tree: ast.Module) -> list[str]:
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            faults += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            faults.append(str(node.module))
        elif isinstance(node, ast.Call):
            faults += _faults_of_call(node)
    return faults


def _faults_of_call(node: ast.Call) -> list[str]:
    for keyword in node.keywords:
        off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in FORBIDDEN_OPTIONS and not off:
            return [f"{ast.unparse(node.func)}({keyword.arg}=...)"]
    if isinstance(node.func, ast.Name):
        return [node.func.id] if node.func.id in FORBIDDEN_CALLS | FORBIDDEN_NAMES else []
    if not isinstance(node.func, ast.Attribute):
        return []
    owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
    safe = any(keyword.arg == "weights_only" for keyword in node.keywords)
    if node.func.attr in FORBIDDEN_NAMES or ((owner, node.func.attr) in FORBIDDEN_ATTRIBUTES and not safe):
        return [ast.unparse(node.func)]
    return []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from cloudpickle import loads",
        "eval(text)",
        "exec(compile(text, 'x', 'exec'))",
        "subprocess.run(text, shell=True)",
        "run(text, shell=wanted)",
        "os.system(text)",
        "asyncio.create_subprocess_shell(text)",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "tempfile.mktemp()",
    ],
)
def test_what_turns_data_into_code_would_be_found(line):
    assert _faults(ast.parse(line)) != []


#: Bytecode is written (and loaded by Python's own import, on the same board); of pickle the name of an error is used.
ALLOWED = {
    "targets/agent/environment/bytecode.py": ["marshal", "compile"],
    "workloads/prepare/pretrained.py": ["pickle"],
}


@pytest.mark.slow
def test_no_package_turns_data_into_code():
    findings = {str(path.relative_to(ROOT)): faults for path, tree in _trees() if (faults := _faults(tree))}
    assert findings == ALLOWED
    for name in ALLOWED:
        assert not re.search(r"\b(marshal|pickle)\.(load|Unpickler\b)", (ROOT / name).read_text())


def test_the_linters_security_rules_are_on_and_few_are_off():
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in ruff["select"]
    assert {rule for rule in ruff["ignore"] if rule.startswith("S") and rule[1:].isdigit()} == {
        "S603",
        "S607",
    }
    for pattern, rules in ruff["per-file-ignores"].items():
        if pattern.split("/")[0] in PACKAGES:
            assert not set(rules) & {"S", "S102", "S301", "S307", "S506", "S602", "S604", "S605"}, pattern


def test_the_loopback_server_listens_on_this_machine_only(server):
    port = server.endpoint.port
    listening = [
        line.split()[1]
        for name in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(name).read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]
    ours = [address for address in listening if int(address.rpartition(":")[2], 16) == port]
    # /proc prints addresses in the machine's own byte order.
    address = int.from_bytes(ipaddress.ip_address("127.0.0.1").packed, sys.byteorder)
    assert ours == [f"{address:08X}:{port:04X}"]


def test_the_loopback_server_takes_nothing_but_its_key(server):
    end = server.endpoint
    with socket.create_connection((end.host, end.port), 5) as link:
        transport = paramiko.Transport(link)
        try:
            transport.start_client(timeout=10)
            with pytest.raises(paramiko.BadAuthenticationType) as refusal:
                transport.auth_none(end.user)
            assert refusal.value.allowed_types == ["publickey"]
            with pytest.raises(paramiko.SSHException):
                transport.auth_password(end.user, "", fallback=False)
            assert not transport.is_authenticated()
        finally:
            transport.close()


def test_only_the_user_can_read_the_keys_of_the_loopback_server(server):
    directory = Path(server.endpoint.key_file).parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_the_boards_working_directory_is_made_private_even_if_it_was_not(connect, tmp_path):
    (tmp_path / "work").mkdir(mode=0o755)
    (tmp_path / "work").chmod(0o755)
    connect().sync([make_payload()])
    folders = [tmp_path / "work", tmp_path / "work" / "blobs", tmp_path / "work" / "jobs"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_a_payload_that_was_changed_on_the_board_is_replaced_before_it_is_run(connect, tmp_path):
    payload = make_payload()
    connect().sync([payload])
    stored = tmp_path / "work" / "blobs" / payload.name
    stored.write_bytes(b"import os; open('/tmp/evil', 'w')")
    board = connect()
    assert board.sync([payload]).uploaded_names == (payload.name,)
    assert stored.read_bytes() == payload.read()
    assert board.wait("never-seen", 1) == "unknown"


def test_an_inventory_cannot_hold_an_ssh_password(tmp_path):
    assert not [name for name in Endpoint.__dataclass_fields__ if "pass" in name]
    path = tmp_path / "lab.toml"
    path.write_text('[[board]]\nid = "a"\nhost = "h"\npassword = "hunter2"\n')
    with pytest.raises(HarnessError, match="password") as refusal:
        load_inventory(path)
    assert "hunter2" not in str(refusal.value)


def test_no_python_of_the_account_takes_part_in_an_agent_command(connect, tmp_path):
    """-I -S: neither PYTHONPATH, nor a sitecustomize, nor the folder it is started in."""
    argv = connect()._python()
    assert argv == [sys.executable, "-I", "-S"]
