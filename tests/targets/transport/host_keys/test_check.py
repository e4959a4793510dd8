"""Host keys as OpenSSH verifies them: real servers and certificates, and plain ssh with the same files as the oracle."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.targets.transport.conftest import keygen
from tunebench.targets.transport.host_keys import known_hosts

pytestmark = pytest.mark.openssh


def other_key(lab, key_type: str = "ed25519", name: str = "stranger") -> str:
    """Return the public key of somebody else."""
    path = lab.folder / f"{name}-{key_type}"
    if not path.exists():
        keygen("-t", key_type, "-N", "", "-f", path)
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


# -- which line is meant --------------------------------------------------------------------------

NAMES = {
    "the port in brackets": ("[127.0.0.1]:{port}", True),
    "a list": ("elsewhere,[127.0.0.1]:{port},10.0.0.1", True),
    "a pattern": ("[127.0.0.*]:*", True),
    "a pattern of one letter": ("[127.0.0.?]:{port}", True),
    "everything": ("*", True),
    "everything but it": ("*,![127.0.0.1]:{port},!127.0.0.1", False),
    "the negation first": ("!127.0.0.1,![127.0.0.1]:{port},*", False),
    "everything but it on this port": (
        "*,![127.0.0.1]:{port}",
        True,
    ),  # the line without a port is looked for, too
    "without the port": ("127.0.0.1", True),
    "another port": ("[127.0.0.1]:1", False),
    "another host": ("[127.0.0.2]:{port}", False),
    "a network, which ssh does not know": ("127.0.0.0/8", False),
    "a class of letters, which ssh does not know": ("[127.0.0.1]:[0-9]*", False),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_line_is_for_the_hosts_that_ssh_takes_it_for(lab, agrees, name):
    names, works = NAMES[name]
    lab.known_hosts.write_text(f"{names.format(port=lab.port)} {lab.public()}\n")
    said = agrees(lab.config(), works=works)
    assert works or "unknown host key" in said


def test_a_hashed_name_is_found(lab, agrees):
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(lab.known_hosts)], check=True, capture_output=True)
    assert "|1|" in lab.known_hosts.read_text()
    agrees(lab.config())


@pytest.mark.parametrize("written", ["localhost", "LocalHost"])
def test_upper_case_counts_for_nothing(lab, agrees, written):
    lab.known_hosts.write_text(f"[{written}]:{lab.port} {lab.public()}\n")
    agrees(lab.config(HostName="LOCALHOST"))


@pytest.mark.parametrize(("alias", "works"), [("the-board", True), ("another", False)])
def test_an_alias_for_the_key_is_looked_up_without_a_port(lab, agrees, alias, works):
    lab.known_hosts.write_text(f"the-board {lab.public()}\n")
    agrees(lab.config(HostKeyAlias=alias), works=works)


def test_the_key_may_stand_in_the_second_file_or_in_the_global_one(lab, agrees):
    second = lab.folder / "second"
    lab.known_hosts.rename(second)
    agrees(lab.config(UserKnownHostsFile=f'"{lab.known_hosts}" {second}'))
    agrees(lab.config(GlobalKnownHostsFile=f"/nowhere {second}"))
    agrees(lab.config(UserKnownHostsFile="none", GlobalKnownHostsFile=str(second)))
    agrees(lab.config(UserKnownHostsFile="/dev/null"), works=False)


def test_a_path_with_blanks_is_one_path(lab, agrees):
    inner = lab.folder / "my files" / "known  hosts"
    inner.parent.mkdir()
    lab.known_hosts.rename(inner)
    agrees(lab.config(UserKnownHostsFile=f'"{inner}"'))
    agrees(lab.config(UserKnownHostsFile=f'/nowhere/at/all "{inner}"'))


# -- lines that are none --------------------------------------------------------------------------

BAD = {
    "a comment that is not UTF-8": "# caf\udce9",
    "a comment behind a key that is not UTF-8": "other {key} caf\udce9",
    "an authority for others": "@cert-authority *.example.org {key}",
    "an authority for all": "@cert-authority * {key}",
    "a mark that nobody knows": "@certified * {key}",
    "half a line": "[127.0.0.1]:{port}",
    "a key that is cut": "[127.0.0.1]:{port} ssh-ed25519 AAAAC3NzaC1",
    "a key that is no base64": "[127.0.0.1]:{port} ssh-ed25519 ????",
    "a type that does not fit": "[127.0.0.1]:{port} ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIE",
    "a key of SSH 1": "[127.0.0.1]:{port} 1024 35 1234567890",
    "a hash that is damaged": "|1|abc|def {key}",
    "a key of a type to come": "[127.0.0.1]:{port} ssh-tomorrow AAAADHNzaC10b21vcnJvdwAAAAE=",
    "blanks": "   \t ",
    "Windows' line ends": "# note\r",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_costs_nothing_but_itself(lab, agrees, name, caplog):
    line = BAD[name].format(port=lab.port, key=other_key(lab))
    content = f"{line}\n{lab.known_hosts.read_text()}"
    lab.known_hosts.write_bytes(content.encode("utf-8", "surrogateescape"))
    agrees(lab.config())


def test_a_line_that_is_left_out_is_told_once(lab, caplog):
    lab.known_hosts.write_text(f"@certified * ssh-ed25519 AAAA\n{lab.known_hosts.read_text()}")
    endpoint = lab.endpoint(lab.config())
    for _ in range(2):
        assert lab.ours(endpoint).works
    messages = [record.getMessage() for record in caplog.records if "known hosts" in record.getMessage()]
    assert len(messages) == 1
    assert "line 1" in messages[0]
    assert "@cert-authority or @revoked" in messages[0]


# -- several types of keys ------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["ed25519", "ecdsa"])
def test_a_type_that_the_server_has_dropped_is_no_changed_key(lab, agrees, first):
    here = lab.serve(key_types=("ed25519",))
    gone = f"{here.name} {other_key(lab, 'ecdsa')}\n"
    known = f"{here.name} {here.public()}\n"
    here.known_hosts.write_text(gone + known if first == "ecdsa" else known + gone)
    agrees(here.config(), around=here)


@pytest.mark.parametrize("key", ["host", "host_ecdsa", "host_rsa"])
def test_the_type_that_is_known_is_asked_for(lab, agrees, key):
    lab.known_hosts.write_text(f"{lab.name} {lab.public(key)}\n")
    agrees(lab.config())


def test_any_of_several_keys_of_a_type_will_do(lab, agrees):
    lab.known_hosts.write_text(f"{lab.name} {other_key(lab)}\n{lab.name} {lab.public()}\n")
    agrees(lab.config())


def test_a_changed_key_is_refused_with_the_line_to_remove(lab, agrees):
    lab.known_hosts.write_text(f"{lab.name} {other_key(lab)}\n")
    for policy in ("ask", "accept-new"):
        said = agrees(lab.config(StrictHostKeyChecking=policy), works=False)
        assert "has changed" in said
        assert "line 1" in said
        command = said[said.index("ssh-keygen -R") :]
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        lab.known_hosts.write_text(f"{lab.name} {other_key(lab)}\n")


def test_a_server_that_has_none_of_the_known_types_any_more_is_refused(lab, agrees):
    """Also with accept-new: known types were asked for first, and somebody in between would look like this."""
    here = lab.serve(key_types=("ed25519",))
    here.known_hosts.write_text(f"{here.name} {other_key(lab, 'ecdsa')}\n")
    for policy in ("ask", "accept-new"):
        said = agrees(here.config(StrictHostKeyChecking=policy), works=False, around=here)
        assert "has no key of that type any more" in said


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_a_changed_or_revoked_key_is_refused_where_ssh_itself_would_only_warn(lab, transport):
    """StrictHostKeyChecking no is taken for accept-new."""
    config = lab.config(StrictHostKeyChecking="no")
    for line in (f"{lab.name} {other_key(lab)}", f"@revoked * {lab.public()}"):
        lab.known_hosts.write_text(f"{line}\n")
        if not line.startswith("@"):
            config = lab.config(StrictHostKeyChecking="no", HostKeyAlgorithms="ssh-ed25519")
        said = lab.ours(lab.endpoint(config, transport=transport)).said
        assert said.startswith("HostKeyError"), line


@pytest.mark.parametrize("policy", ["accept-new", "no", "off"])
@pytest.mark.parametrize("hashing", ["yes", "no"])
def test_a_new_key_is_learnt_where_the_config_says_so(lab, agrees, policy, hashing):
    lab.known_hosts.write_text("")
    agrees(lab.config(StrictHostKeyChecking=policy, HashKnownHosts=hashing))
    learnt = lab.known_hosts.read_text()
    assert ("|1|" in learnt) is (hashing == "yes")
    agrees(lab.config())  # both ssh and we find again what we have written


def test_what_the_inventory_says_of_new_keys_beats_the_config(lab):
    lab.known_hosts.write_text("")
    config = lab.config(StrictHostKeyChecking="accept-new")
    for transport in ("openssh", "paramiko"):
        outcome = lab.ours(lab.endpoint(config, host_keys="verify", transport=transport))
        assert "unknown host key" in outcome.said
    assert lab.known_hosts.read_text() == ""


def test_the_command_that_an_unknown_key_is_told_with_makes_it_known(lab):
    lab.known_hosts.write_text("")
    config = lab.config()
    said = lab.ours(lab.endpoint(config)).said
    command = said[said.index("ssh-keyscan") :]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    assert lab.ours(lab.endpoint(config)).works


def test_this_machines_own_keys_need_not_be_known_where_the_config_says_so(lab, agrees):
    lab.known_hosts.write_text("")
    agrees(lab.config(NoHostAuthenticationForLocalhost="yes"))
    agrees(lab.config(NoHostAuthenticationForLocalhost="yes", HostName="localhost"))
    agrees(lab.config(NoHostAuthenticationForLocalhost="yes", HostKeyAlias="b"), works=False)


def test_dev_null_knows_nothing_and_learns_nothing(lab, agrees):
    agrees(lab.config(UserKnownHostsFile="/dev/null", StrictHostKeyChecking="no"))


# -- revoked --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["ask", "accept-new"])
@pytest.mark.parametrize("names", ["*", "[127.0.0.1]:{port}", "elsewhere,[127.0.0.*]:*"])
def test_a_revoked_key_is_refused_whatever_else_says(lab, agrees, policy, names):
    revoked = f"@revoked {names.format(port=lab.port)} {lab.public()}\n"
    lab.known_hosts.write_text(f"{lab.name} {lab.public()}\n{revoked}")
    said = agrees(lab.config(StrictHostKeyChecking=policy, HostKeyAlgorithms="ssh-ed25519"), works=False)
    assert "revoked" in said


def test_a_key_that_is_revoked_without_a_port_is_not_believed_without_a_port(lab, agrees):
    lab.known_hosts.write_text(f"@revoked 127.0.0.1 {lab.public()}\n{lab.name} {lab.public()}\n")
    agrees(lab.config(HostKeyAlgorithms="ssh-ed25519"))
    lab.known_hosts.write_text(f"@revoked 127.0.0.1 {lab.public()}\n127.0.0.1 {lab.public()}\n")
    agrees(lab.config(HostKeyAlgorithms="ssh-ed25519"), works=False)


def test_a_key_that_is_revoked_for_others_works(lab, agrees):
    lab.known_hosts.write_text(f"@revoked elsewhere {lab.public()}\n{lab.known_hosts.read_text()}")
    agrees(lab.config())


@pytest.mark.parametrize("form", ["text", "krl"])
def test_a_list_of_revoked_keys_is_heeded(lab, agrees, form):
    here = lab.serve()
    listed = lab.folder / "revoked"
    if form == "text":
        listed.write_text(f"{here.public()}\n")
    else:
        keygen("-k", "-f", listed, here.server.directory / "host.pub")
    said = agrees(here.config(RevokedHostKeys=str(listed)), works=False, around=here)
    assert "revoked" in said
    keygen("-k", "-f", lab.folder / "others", lab.client.with_suffix(".pub"))
    agrees(here.config(RevokedHostKeys=str(lab.folder / "others")), around=here)


def test_a_list_of_revoked_keys_that_is_not_there_forbids_all(lab, agrees):
    agrees(lab.config(RevokedHostKeys="/nowhere/revoked"), works=False)


# -- certificates ---------------------------------------------------------------------------------


@pytest.fixture
def certified(lab):
    """Function (names, validity, ...): a server with a host certificate; the lab around it, authority known."""

    def make(names: str = "127.0.0.1", *more: str, key_type: str = "ed25519", authority: str = "ed25519"):
        folder = lab.folder / "authority"
        folder.mkdir(exist_ok=True)
        ca = folder / f"ca-{authority}"
        if not ca.exists():
            keygen("-t", authority, "-N", "", "-f", ca)
        here = lab.serve(f"HostCertificate {lab.folder}/next-cert.pub\n", key_types=(key_type,))
        (lab.folder / "next.pub").write_text((here.server.directory / "host.pub").read_text())
        host = () if "user" in more else ("-h",)
        options = [word for word in more if word != "user"]
        names_given = ("-n", names) if names else ()
        keygen("-s", ca, "-I", "board", *host, *names_given, *options, lab.folder / "next.pub")
        here.server.close()
        here.server.start()
        public = " ".join(ca.with_name(ca.name + ".pub").read_text().split()[:2])
        here.known_hosts.write_text(f"@cert-authority [127.0.0.1]:{here.port} {public}\n")
        here.authority = public
        return here

    return make


@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("authority", ["ed25519", "ecdsa", "rsa"])
def test_a_host_certificate_of_a_known_authority_is_enough(agrees, certified, key_type, authority):
    here = certified(key_type=key_type, authority=authority)
    agrees(here.config(), around=here)


@pytest.mark.parametrize("pattern", ["*", "127.0.0.1", "[127.0.0.*]:*"])
def test_an_authority_is_for_the_hosts_of_its_line(agrees, certified, pattern):
    here = certified()
    here.known_hosts.write_text(f"@cert-authority {pattern} {here.authority}\n")
    agrees(here.config(), around=here)


def test_an_authority_of_other_hosts_is_none(agrees, certified):
    here = certified()
    here.known_hosts.write_text(f"@cert-authority *.example.org {here.authority}\n")
    agrees(here.config(), works=False, around=here)


CERTIFICATES = {
    "for all hosts": (("",), True, ""),
    "for several hosts": (("elsewhere,127.0.0.1",), True, ""),
    "for another host": (("elsewhere",), False, "holds for elsewhere"),
    "expired": (("127.0.0.1", "-V", "20200101:20210101"), False, "expired"),
    "not yet": (("127.0.0.1", "-V", "+52w:+60w"), False, "only from"),
    "a user's": (("127.0.0.1", "user"), False, "user's"),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_is_checked_as_ssh_checks_it(agrees, certified, name):
    words, works, said = CERTIFICATES[name]
    here = certified(*words)
    if name == "a user's":
        # sshd itself refuses to show one; so this stays with the unit test below.
        pytest.skip("sshd shows no user certificate")
    assert said in agrees(here.config(), works=works, around=here)


def test_the_plain_key_still_counts_beside_a_certificate_that_has_expired(agrees, certified):
    here = certified("127.0.0.1", "-V", "20200101:20210101")
    here.known_hosts.write_text(f"{here.known_hosts.read_text()}{here.name} {here.public()}\n")
    agrees(here.config(), around=here)


def test_the_alias_for_the_key_is_what_a_certificate_must_name(agrees, certified):
    here = certified("pi5-01")
    here.known_hosts.write_text(f"@cert-authority pi5-* {here.authority}\n")
    agrees(here.config(HostKeyAlias="pi5-01"), around=here)
    agrees(here.config(HostKeyAlias="pi5-02"), works=False, around=here)


def test_a_revoked_authority_is_none(agrees, certified):
    here = certified()
    here.known_hosts.write_text(f"{here.known_hosts.read_text()}@revoked * {here.authority}\n")
    assert "revoked" in agrees(here.config(), works=False, around=here)


def test_a_certificate_without_a_known_authority_is_told_and_its_key_learnt(agrees, certified):
    here = certified()
    here.known_hosts.write_text("")
    agrees(here.config(StrictHostKeyChecking="accept-new"), around=here)
    assert here.public() in here.known_hosts.read_text()


def test_a_forged_or_a_users_certificate_is_refused(lab):
    from tunebench.targets.transport.host_keys import certificate
    from tunebench.targets.transport.identity import key_file

    ca, host = lab.folder / "ca", lab.folder / "host"
    for path in (ca, host):
        keygen("-t", "ed25519", "-N", "", "-f", path)
    keygen("-s", ca, "-I", "x", "-h", "-n", "board", f"{host}.pub")
    blob = key_file.certificate(lab.folder / "host-cert.pub")
    proof = certificate.read(blob)
    assert (proof.fault, proof.principals, proof.unfit_for("board")) == (None, ("board",), None)
    assert "not for other" in proof.unfit_for("other")
    place = blob.index(b"board")
    forged = blob[:place] + b"gnome" + blob[place + 5 :]
    assert certificate.read(forged).fault == "its signature is wrong"
    keygen("-s", ca, "-I", "x", "-n", "board", f"{host}.pub")
    assert "user's" in certificate.read(key_file.certificate(lab.folder / "host-cert.pub")).fault
    keygen("-s", ca, "-I", "x", "-h", "-O", "critical:later@example.org=1", f"{host}.pub")
    assert "critical" in certificate.read(key_file.certificate(lab.folder / "host-cert.pub")).fault
    keygen("-s", ca, "-I", "x", "-h", "-V", "+1d:+2d", f"{host}.pub")
    late = key_file.certificate(lab.folder / "host-cert.pub")
    assert "only from" in certificate.read(late).fault
    assert certificate.read(late, time.time() + 1.5 * 86400).fault is None
    assert "expired" in certificate.read(late, time.time() + 3 * 86400).fault


# -- the matcher against ssh-keygen's -------------------------------------------------------------


def test_the_matcher_finds_what_ssh_keygen_finds(lab):
    key = lab.public()
    patterns = [
        "a",
        "A",
        "a,b",
        "*",
        "*.lab",
        "?.lab",
        "!a,*",
        "*,!a",
        "[a]:22",
        "[a]:2222",
        "[*]:2222",
        "[a]:*",
        "a*",
        "*a",
    ]
    lab.known_hosts.write_text("".join(f"{pattern} {key} {n}\n" for n, pattern in enumerate(patterns)))
    keys = known_hosts.read([lab.known_hosts])
    for name in ("a", "b", "x.lab", "a.x.lab", "[a]:2222", "[a]:22", "ba"):
        done = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", str(lab.known_hosts)],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [int(line.split()[-1]) for line in done.stdout.splitlines() if not line.startswith("#")]
        assert [key.line - 1 for key in keys if key.is_of(name)] == lines, name
