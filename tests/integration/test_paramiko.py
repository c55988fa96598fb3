"""Logging in without OpenSSH: passwords, locked keys, agents, jumps, host keys. A real sshd at the other end."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bundler.core.events import Silence
from bundler.core.secret import Secret
from bundler.operations.login import AUTO, PARAMIKO, Login
from bundler.store.layout import Store
from bundler.transport import refusals
from bundler.transport.client import Client
from bundler.transport.destination import Destination
from bundler.transport.keyring import PASSPHRASE, PASSWORD, Keyring, Need
from bundler.transport.paramiko_client import ParamikoClient
from bundler.transport.remote_store import RemoteStore
from bundler.transport.shell_store import ShellStore
from bundler.transport.wire import Wire, WireBroken
from scripts.world.sshd import SshServer
from tests.bundles import make_bundle
from tests.commandline import Bundle, refusal
from tests.far_host import FarHost, assert_sound, eventually, paramiko_client

CANARY = "canary-7f3a pass"


class PasswordServer(SshServer):
    """An sshd in a mount namespace of its own, in which root has a password; this machine's accounts stay."""

    @property
    def daemon(self):  # type: ignore[no-untyped-def]
        inner = super().daemon
        shadow = self.directory / "shadow"
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=CANARY, capture_output=True, text=True, check=True
        ).stdout.strip()
        shadow.write_text(f"root:{hashed}:19000:0:99999:7:::\n")
        words = 'mount --bind "$1" /etc/shadow && shift && exec "$@"'
        command = ("unshare", "-m", "sh", "-c", words, "sh", str(shadow), *inner.command)
        return type(inner)(inner.name, command, inner.directory, tied=True)


OPTIONS = {
    "password": ("UsePAM no", "PasswordAuthentication yes", "PubkeyAuthentication no", "PermitRootLogin yes"),
    "keyboard-interactive": (
        "UsePAM yes",
        "KbdInteractiveAuthentication yes",
        "PubkeyAuthentication no",
        "PermitRootLogin yes",
    ),
}


@pytest.fixture(params=sorted(OPTIONS))
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FarHost]:
    (tmp_path / "sshd").mkdir()
    with PasswordServer(tmp_path / "sshd", options=OPTIONS[request.param], tied=True) as server:
        yield FarHost(server, tmp_path)


def shell(client: Client, door: str) -> RemoteStore:
    assert door == "exec"
    return ShellStore(client, streams=2)


def entered(login: Login) -> RemoteStore:
    """The store by the first way that gets in."""
    remote: RemoteStore | None = login.first()
    while remote:
        try:
            remote.survey()
            return remote
        except refusals.AuthenticationFailed as refused:
            remote.close()
            remote = login.otherwise(refused)
            if not remote:
                raise
    raise AssertionError


def test_a_password_is_asked_for_once_and_reaches_no_command_line_and_no_environment(locked: FarHost) -> None:
    asked: list[Need] = []

    def ask(need: Need) -> Secret:
        asked.append(need)
        return Secret(CANARY)

    with closing(entered(Login(locked.destination(), shell, Keyring(), ask, Silence(), client=AUTO))):
        assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if CANARY.encode() in readable(path)]
        assert not [path for path in Path("/proc").glob("[0-9]*/environ") if CANARY.encode() in readable(path)]
    assert asked == [Need(PASSWORD, f"root@127.0.0.1:{locked.server.port}")]


def readable(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_wrong_password_is_told_and_not_shown(locked: FarHost) -> None:
    login = Login(locked.destination(), shell, Keyring(), lambda _: Secret(f"{CANARY}x"), Silence(), client=PARAMIKO)
    with pytest.raises(refusals.SecretNeeded) as error:
        entered(login)
    assert error.value.need.refused
    assert CANARY not in f"{error.value} {error.value.because} {error.value.hint}"


def test_a_push_takes_its_password_from_a_file_that_no_one_else_may_read_and_tells_it_to_no_one(
    locked: FarHost, tmp_path: Path
) -> None:
    store = Store.create(tmp_path / "store")
    make_bundle(store, [100_000])
    state = tmp_path / "state"
    push = ("push", "demo", f"{locked.server.alias}:{tmp_path}/far", "--store", store.root)
    bundle = Bundle({"XDG_STATE_HOME": str(state), "BUNDLE_SSH_CONFIG": str(locked.server.config)})
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}\n")
    secret.chmod(0o644)
    unsafe = bundle(*push, "--password-file", secret, check=False)
    assert "chmod 600" in refusal(unsafe)
    secret.chmod(0o600)
    done = bundle(*push, "--password-file", secret, "-v")
    assert assert_sound(tmp_path / "far") > 0
    secret.write_text("wrong\n")
    wrong = bundle(*push, "--password-file", secret, "-v", check=False)
    assert "is wrong" in wrong.err
    said = f"{done.out}{done.err}{wrong.out}{wrong.err}{unsafe.err}"
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert CANARY not in said
    assert CANARY.encode() not in kept


def survey(client: ParamikoClient) -> None:
    with closing(ShellStore(client, streams=1)) as remote:
        remote.survey()


def config_without_key(host: FarHost, name: str, *lines: str) -> Path:
    config = host.config_with(name, *lines)
    config.write_text(config.read_text().replace(f"IdentityFile {host.server.client_key}", "# no identity"))
    return config


def test_an_unknown_host_key_stops_with_its_fingerprint_and_one_accepted_is_kept(host: FarHost, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    config = host.config_with("config", f"UserKnownHostsFile {known}", "HashKnownHosts yes")
    with pytest.raises(refusals.UnknownHostKey) as error:
        survey(paramiko_client(host, config=config))
    assert "SHA256:" in (error.value.because or "")
    assert not known.exists()
    target = Destination.parse(f"{host.server.alias}:{tmp_path}/far", config=config, accept_new=True)
    survey(ParamikoClient(target, Keyring()))
    assert known.read_text().startswith("|1|")
    found = subprocess.run(["ssh-keygen", "-F", f"[127.0.0.1]:{host.server.port}", "-f", known], check=False)
    assert found.returncode == 0
    survey(paramiko_client(host, config=config))


@pytest.mark.parametrize("marker", ["", "@revoked "])
def test_a_changed_or_revoked_host_key_is_never_accepted(host: FarHost, tmp_path: Path, marker: str) -> None:
    other = host.server.host_key
    if not marker:
        other = tmp_path / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    kind, material, *_ = other.with_suffix(".pub").read_text().split()
    known = tmp_path / "known_hosts"
    known.write_text(f"{marker}[127.0.0.1]:{host.server.port} {kind} {material}\n")
    config = host.config_with("config", f"UserKnownHostsFile {known}")
    target = Destination.parse(f"{host.server.alias}:{tmp_path}/far", config=config, accept_new=True)
    with pytest.raises(refusals.RevokedHostKey if marker else refusals.ChangedHostKey) as error:
        survey(ParamikoClient(target, Keyring()))
    assert "SHA256:" in (error.value.because or "")
    assert len(known.read_text().splitlines()) == 1
    assert not (tmp_path / "far").exists()


def test_a_key_with_a_passphrase_is_opened_by_the_one_that_is_given(host: FarHost, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    key.write_bytes(host.server.client_key.read_bytes())
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", CANARY, "-f", key], check=True, stdout=subprocess.DEVNULL)
    config = config_without_key(host, "config", f"IdentityFile {key}", "IdentityAgent none")
    with pytest.raises(refusals.SecretNeeded) as error:
        survey(paramiko_client(host, config=config))
    assert error.value.need == Need(PASSPHRASE, str(key))
    keyring = Keyring()
    keyring.put(error.value.need, Secret(CANARY))
    survey(ParamikoClient(host.destination(config=config), keyring))


def test_a_jump_host_and_a_proxy_command_lead_there(host: FarHost) -> None:
    jumping = host.config_with("jumping", "ProxyJump way")
    way = host.server.config.read_text().replace(f"Host {host.server.alias}", "Host way")
    jumping.write_text(jumping.read_text() + way)
    survey(paramiko_client(host, config=jumping))
    command = f"ProxyCommand ssh -F {host.server.config} -W %h:%p {host.server.alias}"
    piped = host.config_with("piped", command)
    survey(paramiko_client(host, config=piped))


def test_an_agent_s_key_is_taken(host: FarHost, tmp_path: Path) -> None:
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        eventually(socket.exists, "an agent")
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", host.server.client_key], env=environment, check=True)
        config = config_without_key(host, "config", "IdentitiesOnly no", f"IdentityAgent {socket}")
        survey(paramiko_client(host, config=config))
    finally:
        agent.terminate()
        agent.wait()


def test_a_file_that_is_larger_than_the_rekey_limit_arrives_whole(tmp_path: Path) -> None:
    with SshServer(tmp_path / "sshd", options=("RekeyLimit 16M",), tied=True) as server:
        wire = Wire(paramiko_client(FarHost(server, tmp_path)).command("wc -c; exit 3"), stall=60)
        with (tmp_path / "file").open("wb+") as file:
            file.truncate(80_000_000)
            wire.send_file(file.fileno(), 0, 80_000_000, lambda _: None)
        wire.close()
    assert bytes(wire.received) == b"80000000\n"


def test_a_killed_client_is_a_lost_connection_and_a_killed_parent_leaves_no_client(host: FarHost) -> None:
    wire = Wire(paramiko_client(host).command("echo $PPID; exec sleep 1000"), stall=60)
    while b"\n" not in wire.received:
        wire.more()
    wire._process.send_signal(signal.SIGKILL)
    with pytest.raises(WireBroken) as broken:
        wire.more()
    assert paramiko_client(host).failure(broken.value) is None
    wire.abandon()
    orphan = Wire(paramiko_client(host).command("echo up; exec sleep 1000"), stall=60)
    while b"\n" not in orphan.received:
        orphan.more()
    for pipe in orphan._pipes:
        pipe.close()
    ended = threading.Thread(target=orphan._process.wait)
    ended.start()
    ended.join(20)
    assert not ended.is_alive()


def test_a_certificate_lets_in_where_the_key_alone_does_not(tmp_path: Path) -> None:
    for name in ("authority", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    sign = [
        "ssh-keygen",
        "-q",
        "-s",
        tmp_path / "authority",
        "-I",
        "me",
        "-n",
        getpass.getuser(),
        tmp_path / "mine.pub",
    ]
    options = (f"TrustedUserCAKeys {tmp_path}/authority.pub", "AuthorizedKeysFile none")
    with SshServer(tmp_path / "sshd", options=options, tied=True) as server:
        host = FarHost(server, tmp_path)
        config = config_without_key(host, "config", f"IdentityFile {tmp_path}/mine", "IdentityAgent none")
        with pytest.raises(refusals.AuthenticationFailed):
            survey(paramiko_client(host, config=config))
        subprocess.run(sign, check=True)
        survey(paramiko_client(host, config=config))
