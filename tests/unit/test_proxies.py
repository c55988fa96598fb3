"""Behind a company's proxy, requests take it, and those that must not, don't."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from bundler.core.errors import NetworkFailed
from bundler.core.secret import Secret
from bundler.sources import tls
from bundler.sources.proxies import Proxies, Proxy

CANARY = "canary-90ab"


def chosen(url: str, **settings: str) -> str | None:
    proxy = Proxies(settings).proxy_for(url)
    return proxy.url if proxy else None


def test_each_scheme_has_its_proxy() -> None:
    assert chosen("https://hub.example/x", https="http://p:3128", http="http://q:1") == "http://p:3128"
    assert chosen("http://hub.example/x", https="http://p:3128", http="q:1") == "http://q:1"
    assert chosen("http://hub.example/x", all="http://p:3128") == "http://p:3128"
    assert chosen("https://hub.example/x") is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_the_loopback_is_never_reached_through_a_proxy(host: str) -> None:
    assert chosen(f"http://{host}:5000/v2/", http="http://p:3128") is None


@pytest.mark.parametrize(
    ("no", "host", "direct"),
    [
        ("registry.corp", "registry.corp", True),
        ("corp", "registry.corp", True),
        (".corp", "registry.corp", True),
        ("*.corp", "registry.corp", True),
        ("registry.corp:5000", "registry.corp:5000", True),
        ("registry.corp:5000", "registry.corp:5001", False),
        ("corp", "registrycorp", False),
        ("REGISTRY.corp", "registry.CORP", True),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("a, b , registry.corp", "registry.corp", True),
        ("*", "anything.example", True),
        ("", "registry.corp", False),
        (",,", "registry.corp", False),
        ("not/a/network", "registry.corp", False),
    ],
)
def test_no_proxy_is_read_as_curl_and_go_read_it(no: str, host: str, direct: bool) -> None:
    assert (chosen(f"https://{host}/x", https="http://p:3128", no=no) is None) is direct


def test_a_proxys_password_is_sent_as_a_header_and_never_printed() -> None:
    proxy = Proxy.parse(f"http://me:{CANARY}%40x@p:3128")
    assert proxy.url == "http://p:3128"
    assert isinstance(proxy.login, Secret)
    assert proxy.login.reveal() == "Basic bWU6Y2FuYXJ5LTkwYWJAeA=="
    assert CANARY not in repr(proxy)


def test_a_kind_of_proxy_that_is_not_supported_is_named() -> None:
    with pytest.raises(NetworkFailed, match="'socks5'"):
        Proxy.parse("socks5://p:1080")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    proxies = Proxies.from_environment()
    assert proxies.proxy_for("https://outside.example") == Proxy("http://p:3128")
    assert proxies.proxy_for("https://inside.example") is None


def test_a_certificate_bundle_that_is_not_there_is_named_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(NetworkFailed, match=r"ca\.pem can't be read") as error:
        tls.context()
    assert "REQUESTS_CA_BUNDLE" in str(error.value.because)


def test_a_file_that_is_no_certificate_bundle_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(NetworkFailed, match=r"ca\.pem can't be read"):
        tls.context()


def test_certificates_are_always_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(variable, raising=False)
    context = tls.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
