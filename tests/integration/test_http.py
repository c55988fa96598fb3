"""Proxies, certificates, redirects: what stands between a user and a hub, and who gets to see the login."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scripted_server import Fault, ScriptedServer

from bundler import __version__
from bundler.core.errors import NetworkFailed
from bundler.core.secret import Secret
from bundler.sources.docker_login import Login
from bundler.sources.http import Http, Refused
from bundler.sources.http_errors import TlsFailed
from bundler.sources.proxies import Proxies
from bundler.sources.registry_auth import Authorizer, LoginRefused

LOGIN = {"Authorization": "Bearer canary-61aa"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.files["/x"] = b"content"
        yield server


def test_requests_say_who_asks_so_that_an_administrator_can_tell(server: ScriptedServer) -> None:
    assert Http().get(f"{server.url}/x").body == b"content"
    (request,) = server.requests
    assert request.headers["User-Agent"] == f"bundler/{__version__}"
    assert request.headers["Accept-Encoding"] == "identity"


def test_a_redirect_on_the_same_host_keeps_the_login(server: ScriptedServer) -> None:
    server.fail("/old", Fault(status=307, headers={"Location": "/x"}))
    assert Http().get(f"{server.url}/old", LOGIN).body == b"content"
    assert server.asked("/x")[0].headers["Authorization"] == LOGIN["Authorization"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_loses_the_login(server: ScriptedServer, status: int) -> None:
    with ScriptedServer("localhost") as other:
        other.files["/y"] = b"elsewhere"
        server.fail("/x", Fault(status=status, headers={"Location": f"{other.url}/y"}))
        assert b"".join(Http().open(f"{server.url}/x", LOGIN, offset=3)) == b"ewhere"
        assert "Authorization" not in other.requests[0].headers
        assert other.requests[0].range == "bytes=3-"


def test_another_port_of_the_same_machine_is_another_host(server: ScriptedServer) -> None:
    with ScriptedServer() as other:
        other.files["/y"] = b"elsewhere"
        server.fail("/x", Fault(status=302, headers={"Location": f"{other.url}/y"}))
        Http().get(f"{server.url}/x", LOGIN)
        assert "Authorization" not in other.requests[0].headers


def test_a_firewall_that_blocks_the_storage_behind_a_hub_is_not_blamed_on_the_hub(server: ScriptedServer) -> None:
    server.fail("/x", Fault(status=302, headers={"Location": "http://localhost:9/y?signature=canary"}))
    with pytest.raises(NetworkFailed, match="no connection to localhost:9") as error:
        Http().open(f"{server.url}/x")
    assert "canary" not in f"{error.value}{error.value.because}{error.value.hint}"


def test_a_refusal_names_the_host_that_refused(server: ScriptedServer) -> None:
    with ScriptedServer("localhost") as other:
        other.fail("/y", Fault(status=403))
        server.fail("/x", Fault(status=302, headers={"Location": f"{other.url}/y"}))
        with pytest.raises(Refused, match=f"{other.address} answers with HTTP status 403"):
            Http().open(f"{server.url}/x")


def test_a_proxy_of_the_environment_is_used_with_its_password(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("http_proxy", f"http://me:secret@{server.address}")
    assert Http().get("http://hub.invalid/x", LOGIN).body == b"content"
    (request,) = server.requests
    assert request.path == "http://hub.invalid/x"
    assert request.headers["Proxy-Authorization"] == "Basic bWU6c2VjcmV0"


def test_a_proxy_that_is_down_is_named_as_the_reason() -> None:
    proxies = Proxies({"https": "http://127.0.0.1:9"})
    with pytest.raises(NetworkFailed, match=r"hub\.invalid can't be reached through the proxy") as error:
        Http(proxies=proxies).get("https://hub.invalid/x")
    assert error.value.because == "connection refused"
    assert "NO_PROXY" in str(error.value.hint)


def test_a_proxy_that_refuses_a_tunnel_is_quoted(server: ScriptedServer) -> None:
    """The scripted server knows no CONNECT: it answers 501, as a proxy that refuses would with another status."""
    with pytest.raises(NetworkFailed, match=r"hub\.invalid can't be reached through the proxy") as error:
        Http(proxies=Proxies({"https": server.url})).get("https://hub.invalid/x")
    assert str(error.value.because).startswith("Tunnel connection failed: 501")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that no system trusts, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "cert.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ScriptedServer(tls=context) as server:
        server.files["/x"] = b"content" * 1_000_000
        yield server


def test_a_certificate_that_is_not_trusted_is_refused_with_the_variable_that_trusts_it(secure: ScriptedServer) -> None:
    with pytest.raises(TlsFailed, match=f"no TLS connection to {secure.address}") as error:
        Http().get(f"{secure.url}/x")
    assert "self-signed certificate" in str(error.value.because)
    assert "SSL_CERT_FILE" in str(error.value.hint)
    assert not error.value.plain


def test_a_companys_own_certificate_is_trusted_when_the_environment_names_it(
    secure: ScriptedServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert b"".join(Http().open(f"{secure.url}/x", offset=7)) == b"content" * 999_999


def test_a_password_is_never_sent_to_an_authorization_server_without_tls() -> None:
    def login() -> Login:
        return Login("me", Secret("canary-3c"))

    authorizer = Authorizer("registry.example", Http(), login, plain_http=False)
    challenge = {"WWW-Authenticate": 'Bearer realm="http://registry.example/token",service="s"'}
    with pytest.raises(LoginRefused) as error:
        authorizer.answer(Refused("registry.example", 401, challenge, b""), "repository:a/b:pull", {})
    assert error.value.because == "its authorization server is not reached over https"
