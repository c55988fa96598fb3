"""Registries that want a login get the one that docker login left, for what was asked, and nobody else sees it."""

from __future__ import annotations

import base64
import json
import secrets
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from image_maker import Pusher, image, serve
from scripted_server import Fault, ScriptedServer
from token_server import ISSUER, SERVICE, TokenServer

from bundler.core.errors import NetworkFailed
from bundler.core.events import Silence
from bundler.core.reference import Reference
from bundler.sources.fetch import fetch
from bundler.sources.images import image_downloads, resolve_image
from bundler.sources.registry_auth import LoginRefused
from bundler.store.layout import Store
from scripts.world.daemon import Daemon
from scripts.world.errors import find_program
from scripts.world.ports import free_port
from scripts.world.registry import Credentials, Registry

USER, PASSWORD = "me", "canary-2b9d"


@dataclass
class DockerConfig:
    """The config.json of a test; nobody is logged in at first."""

    path: Path

    def login(self, registry: str, user: str = USER, password: str = PASSWORD) -> None:
        self.write({registry: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}})

    def identity(self, registry: str, token: str) -> None:
        self.write({registry: {"identitytoken": token}})

    def write(self, auths: dict[str, dict[str, str]]) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps({"auths": auths}))


@pytest.fixture(autouse=True)
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerConfig:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return DockerConfig(tmp_path / "docker" / "config.json")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture(scope="module")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants basic authentication."""
    directory = tmp_path_factory.mktemp("basic")
    with Registry(directory, credentials=Credentials(USER, PASSWORD), tied=True) as registry:
        yield registry


@pytest.fixture(scope="module")
def basic_image(locked_registry: Registry) -> str:
    pusher = Pusher(locked_registry.address, Credentials(USER, PASSWORD).header())
    return pusher.push("team/app", image(b"private" * 1000), "1.0")


@dataclass
class TokenWorld:
    """A registry that trusts a token server."""

    address: str
    tokens: TokenServer

    def push(self, repository: str) -> str:
        token = self.tokens.token(f"repository:{repository}:pull,push", allowed=True)
        return Pusher(self.address, f"Bearer {token}").push(repository, image(b"private" * 1000), "1.0")


@pytest.fixture(scope="module")
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenWorld]:
    directory = tmp_path_factory.mktemp("token")
    with TokenServer(directory / "ca.pem") as tokens:
        address = f"127.0.0.1:{free_port()}"
        auth = {
            "realm": tokens.realm,
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(directory / "ca.pem"),
        }
        config = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
            "http": {"addr": address},
            "auth": {"token": auth},
        }
        (directory / "config.yml").write_text(json.dumps(config))
        program = find_program("docker-registry", "docker-registry")
        daemon = Daemon("registry", (program, "serve", str(directory / "config.yml")), directory, tied=True)
        daemon.start(lambda: _answers(f"http://{address}/v2/"))
        yield TokenWorld(address, tokens)
        daemon.stop()


@pytest.fixture
def tokens(token_registry: TokenWorld) -> TokenServer:
    server = token_registry.tokens
    server.asked.clear()
    server.users, server.public, server.identity_tokens, server.lasts = {}, set(), set(), 300
    return server


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def carry(text: str, store: Store) -> None:
    locked = resolve_image("app", Reference.parse(text), store)
    fetch(image_downloads(locked), store, Silence())
    assert store.missing([locked.manifest, *locked.blobs]) == ()


def said(error: pytest.ExceptionInfo[BaseException]) -> str:
    """All that a person or a log could get to see of an error."""
    shown = "".join(traceback.format_exception(error.value))
    return f"{shown}\n{error.value.args}\n{vars(error.value)}"


def test_a_private_image_is_carried_with_the_login_that_docker_has(
    locked_registry: Registry, basic_image: str, docker: DockerConfig, store: Store
) -> None:
    docker.login(locked_registry.address)
    carry(basic_image, store)


def test_without_a_login_the_command_that_logs_in_is_said(
    locked_registry: Registry, basic_image: str, store: Store
) -> None:
    with pytest.raises(LoginRefused, match=f"{locked_registry.address} refuses") as error:
        carry(basic_image, store)
    assert error.value.because == "it wants a login, and you have none for it"
    assert error.value.hint == f"docker login {locked_registry.address}"


def test_a_wrong_password_is_told_and_not_shown(
    locked_registry: Registry, basic_image: str, docker: DockerConfig, store: Store
) -> None:
    docker.login(locked_registry.address, password="canary-wrong")
    with pytest.raises(LoginRefused) as error:
        carry(basic_image, store)
    assert "docker login" in str(error.value.hint)
    assert "canary" not in said(error)
    assert base64.b64encode(b"me:canary-wrong").decode() not in said(error)


def test_an_unknown_image_behind_a_login_is_still_an_unknown_image(
    locked_registry: Registry, basic_image: str, docker: DockerConfig, store: Store
) -> None:
    docker.login(locked_registry.address)
    with pytest.raises(NetworkFailed, match="has no image team/app with tag 9"):
        carry(basic_image.replace(":1.0", ":9"), store)


def test_a_public_image_needs_no_login_where_tokens_are_given_to_all(
    token_registry: TokenWorld, tokens: TokenServer, store: Store
) -> None:
    text = token_registry.push("public/app")
    tokens.public = {"public/app"}
    carry(text, store)
    assert {asked.authorization for asked in tokens.asked} == {""}
    assert {asked.scope for asked in tokens.asked} == {"repository:public/app:pull"}


def test_a_private_image_is_carried_with_a_token(
    token_registry: TokenWorld, tokens: TokenServer, docker: DockerConfig, store: Store
) -> None:
    text = token_registry.push("team/app")
    tokens.users = {USER: PASSWORD}
    docker.login(token_registry.address)
    carry(text, store)
    assert all(asked.authorization.startswith("Basic ") for asked in tokens.asked)


def test_an_identity_token_is_exchanged_and_never_sent_to_the_registry(
    token_registry: TokenWorld, tokens: TokenServer, docker: DockerConfig, store: Store
) -> None:
    text = token_registry.push("team/identity")
    tokens.identity_tokens = {"canary-identity"}
    docker.identity(token_registry.address, "canary-identity")
    carry(text, store)
    assert {asked.method for asked in tokens.asked} == {"POST"}
    assert tokens.asked[0].form["grant_type"] == "refresh_token"


def test_one_token_serves_all_blobs_of_an_image(token_registry: TokenWorld, tokens: TokenServer, store: Store) -> None:
    text = token_registry.push("public/many")
    tokens.public = {"public/many"}
    locked = resolve_image("app", Reference.parse(text), store)
    tokens.asked.clear()
    fetch(image_downloads(locked), store, Silence(), streams=4)
    assert len(tokens.asked) == 1


@pytest.mark.usefixtures("tokens")
def test_a_private_image_without_a_login_says_how_to_log_in(token_registry: TokenWorld, store: Store) -> None:
    text = token_registry.push("team/secret")
    with pytest.raises(LoginRefused) as error:
        carry(text, store)
    assert error.value.because == "there is no repository team/secret, or it wants a login"
    assert error.value.hint == f"docker login {token_registry.address}"


@pytest.mark.usefixtures("tokens")
def test_a_wrong_password_at_the_token_server_is_told_and_not_shown(
    token_registry: TokenWorld, docker: DockerConfig, store: Store
) -> None:
    text = token_registry.push("team/app")
    docker.login(token_registry.address, password="canary-wrong")
    with pytest.raises(LoginRefused) as error:
        carry(text, store)
    assert error.value.because == "the login that you have is not accepted"
    assert "canary" not in said(error)


class Guarded:
    """A scripted registry that gives blobs for one token only."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.text = serve(server, "a/b", image(b"one" * 100_000), "1")
        self.challenge = {"WWW-Authenticate": f'Bearer realm="{server.url}/token",service="s"'}
        server.files["/token"] = json.dumps({"token": secrets.token_hex(8)}).encode()

    def refuse(self, path: str, times: int = 1) -> None:
        self.server.fail(path, *[Fault(status=401, headers=self.challenge)] * times)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def test_a_token_that_ran_out_in_a_long_build_is_replaced(server: ScriptedServer, store: Store) -> None:
    guarded = Guarded(server)
    guarded.refuse("/v2/a/b/manifests/1")
    locked = resolve_image("app", Reference.parse(guarded.text), store)
    layer = f"/v2/a/b/blobs/{locked.blobs[1].digest}"
    guarded.refuse(layer)
    fetch(image_downloads(locked), store, Silence())
    first, second = server.asked(layer)
    assert "Authorization" not in first.headers
    assert second.headers["Authorization"].startswith("Bearer ")


def test_a_registry_that_refuses_its_own_tokens_ends_in_an_error_and_not_in_a_loop(
    server: ScriptedServer, store: Store
) -> None:
    guarded = Guarded(server)
    guarded.refuse("/v2/a/b/manifests/1", times=50)
    with pytest.raises(LoginRefused):
        resolve_image("app", Reference.parse(guarded.text), store)
    assert len(server.asked("/v2/a/b/manifests/1")) == 2


def test_many_streams_that_need_a_token_at_once_fetch_one(server: ScriptedServer, store: Store) -> None:
    guarded = Guarded(server)
    locked = resolve_image("app", Reference.parse(guarded.text), store)
    source = image_downloads(locked)[0].source
    layer = locked.blobs[1]
    guarded.refuse(f"/v2/a/b/blobs/{layer.digest}", times=4)
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda _: sum(map(len, source.open(layer, 0))), range(4)))
    assert sizes == [layer.size] * 4
    assert len([request for request in server.requests if request.path.startswith("/token")]) <= 4


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        ('Bearer realm="ftp://elsewhere/token"', "not reached over https"),
        ('Bearer service="s"', "not reached over https"),
        ('Digest realm="x"', "of a kind that is not supported"),
        ("", "of a kind that is not supported"),
    ],
)
def test_a_challenge_that_can_not_be_answered_safely_is_refused(
    server: ScriptedServer, docker: DockerConfig, store: Store, challenge: str, words: str
) -> None:
    docker.login(server.address)
    server.fail("/v2/a/b/manifests/1", Fault(status=401, headers={"WWW-Authenticate": challenge}))
    with pytest.raises(LoginRefused) as error:
        resolve_image("app", Reference.parse(f"{server.address}/a/b:1"), store)
    assert words in str(error.value.because)


def test_a_login_is_not_sent_before_the_registry_asks_nor_to_where_it_redirects(
    server: ScriptedServer, docker: DockerConfig, store: Store
) -> None:
    docker.login(server.address)
    guarded = Guarded(server)
    with ScriptedServer("localhost") as storage:
        locked = resolve_image("app", Reference.parse(guarded.text), store)
        layer = f"/v2/a/b/blobs/{locked.blobs[1].digest}"
        storage.files["/bucket"] = server.files[layer]
        server.fail(
            layer,
            Fault(status=401, headers={"WWW-Authenticate": "Basic realm=x"}),
            Fault(status=307, headers={"Location": f"{storage.url}/bucket?signature=canary-signed"}),
        )
        fetch(image_downloads(locked), store, Silence())
        assert "Authorization" not in server.asked("/v2/a/b/manifests/1")[0].headers
        assert server.asked(layer)[1].headers["Authorization"].startswith("Basic ")
        (request,) = storage.requests
        assert "Authorization" not in request.headers
