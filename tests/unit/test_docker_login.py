"""Logins are found where docker login put them, in all the shapes that years of clients have written."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from bundler.core.secret import Secret
from bundler.sources.docker_login import Login, LoginUnreadable, config_path, find_login

CANARY = "canary-51c0"


def encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper `docker-credential-vault` on the PATH; its script is the test's to write."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory / "docker-credential-vault"


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_no_file_means_no_login(config: Path) -> None:
    assert config_path() == config
    assert find_login("registry.example") is None


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("registry.example:5000", "registry.example:5000"),
        ("registry.example", "https://registry.example"),
        ("registry.example", "https://registry.example/v1/"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("docker.io", "docker.io"),
    ],
)
def test_a_login_is_found_under_every_name_that_clients_have_used(config: Path, registry: str, key: str) -> None:
    config.write_text(
        json.dumps({"auths": {"other.example": {"auth": encoded("x", "y")}, key: {"auth": encoded("me", "p:w")}}})
    )
    assert find_login(registry) == Login("me", Secret("p:w"))


def test_a_login_of_another_registry_is_never_sent(config: Path) -> None:
    config.write_text(json.dumps({"auths": {"registry.example:5000": {"auth": encoded("me", CANARY)}}}))
    assert find_login("registry.example") is None
    assert find_login("registry.example:5001") is None
    assert find_login("evil-registry.example:5000") is None


def test_an_identity_token_is_told_apart_from_a_password(config: Path) -> None:
    config.write_text(json.dumps({"auths": {"r.example": {"auth": encoded("me", ""), "identitytoken": CANARY}}}))
    assert find_login("r.example") == Login("", Secret(CANARY), identity=True)


def test_an_entry_without_a_login_means_none(config: Path) -> None:
    config.write_text(json.dumps({"auths": {"r.example": {}}, "HttpHeaders": {"X": "y"}}))
    assert find_login("r.example") is None


def test_a_registrys_own_helper_wins_over_the_one_of_all(config: Path, helper: Path) -> None:
    script(helper, 'read server; echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"s\\"}"')
    config.write_text(json.dumps({"credHelpers": {"r.example": "vault"}, "credsStore": "missing"}))
    assert find_login("r.example") == Login("r.example", Secret("s"))


def test_docker_hub_is_asked_for_by_the_name_that_docker_gives_it(config: Path, helper: Path) -> None:
    script(helper, 'read server; echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"s\\"}"')
    config.write_text(json.dumps({"credsStore": "vault"}))
    assert find_login("docker.io") == Login("https://index.docker.io/v1/", Secret("s"))


def test_a_helper_gives_identity_tokens(config: Path, helper: Path) -> None:
    script(helper, f'echo \'{{"Username": "<token>", "Secret": "{CANARY}"}}\'')
    config.write_text(json.dumps({"credsStore": "vault"}))
    assert find_login("r.example") == Login("", Secret(CANARY), identity=True)


def test_a_helper_that_knows_no_login_means_none(config: Path, helper: Path) -> None:
    script(helper, "echo credentials not found in native keychain; exit 1")
    config.write_text(json.dumps({"credsStore": "vault"}))
    assert find_login("r.example") is None


@pytest.mark.parametrize("body", ["echo locked keyring; exit 1", "echo not json", "exit 7"])
def test_a_broken_helper_is_named_with_the_file_that_names_it(config: Path, helper: Path, body: str) -> None:
    script(helper, body)
    config.write_text(json.dumps({"credsStore": "vault"}))
    with pytest.raises(
        LoginUnreadable, match=r"docker-credential-vault does not give the login for r\.example"
    ) as error:
        find_login("r.example")
    assert str(config) in str(error.value.because)
    assert "docker login r.example" in str(error.value.hint)


def test_a_helper_that_is_not_installed_is_said_to_be_so(config: Path) -> None:
    config.write_text(json.dumps({"credsStore": "nowhere"}))
    with pytest.raises(LoginUnreadable, match="docker-credential-nowhere") as error:
        find_login("r.example")
    assert "no such file" in str(error.value.because)


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": {"r.example": {"auth": "!!!"}}}'])
def test_a_damaged_file_is_named_and_its_secrets_are_not(config: Path, content: str) -> None:
    config.write_text(content)
    with pytest.raises(LoginUnreadable) as error:
        find_login("r.example")
    assert str(config) in str(error.value)


def test_a_login_prints_without_its_secret() -> None:
    login = Login("me", Secret(CANARY))
    assert CANARY not in repr(login)
    assert login.basic().reveal() == f"Basic {encoded('me', CANARY)}"
