"""A mirror saves a slow line; it can't change what is carried, and its failure costs a warning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from image_maker import MadeImage, image, serve
from scripted_server import Fault, ScriptedServer

from bundler.core.digest import Digest
from bundler.core.events import Event, Noted, Warned
from bundler.core.reference import Reference
from bundler.manifest.lock import LockedImage
from bundler.manifest.mirrors import Mirrors
from bundler.sources import mirrored
from bundler.sources.crew import WrongSource
from bundler.sources.fetch import fetch
from bundler.sources.images import image_downloads, resolve_image
from bundler.sources.registry import ImageUnknown
from bundler.sources.retry import Retries, RetryPolicy
from bundler.store.layout import Store

QUICK = RetryPolicy(attempts=2, first=0.001, longest=0.002)


@dataclass
class Recorder:
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Warned)]

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Noted)]


@dataclass
class World:
    """A registry, two mirrors of it, an image that all have, and a store."""

    registry: ScriptedServer
    first: ScriptedServer
    second: ScriptedServer
    store: Store
    made: MadeImage = field(default_factory=lambda: image(bytes(range(256)) * 8000, b"two"))
    heard: Recorder = field(default_factory=Recorder)

    def __post_init__(self) -> None:
        self.text = serve(self.registry, "acme/app", self.made, "1")
        serve(self.first, "proxy/acme/app", self.made, "1")
        serve(self.second, "acme/app", self.made, "1")
        self.mirrors = Mirrors({self.registry.address: (f"{self.first.address}/proxy", self.second.address)})

    def lock(self) -> LockedImage:
        reference = Reference.parse(self.text)
        return resolve_image("app", reference, self.store, mirrors=self.mirrors, events=self.heard)

    def build(self) -> LockedImage:
        locked = self.lock()
        fetch(image_downloads(locked, mirrors=self.mirrors, events=self.heard), self.store, self.heard, policy=QUICK)
        return locked

    def blob(self, number: int, repository: str = "acme/app") -> str:
        return f"/v2/{repository}/blobs/{Digest.of(self.made.blobs[number])}"

    def whole(self) -> bool:
        blobs = (self.made.manifest, *self.made.blobs)
        return all(self.store.path(Digest.of(blob)).read_bytes() == blob for blob in blobs)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setattr(mirrored, "BRIEF", Retries(QUICK))
    with ScriptedServer() as registry, ScriptedServer() as first, ScriptedServer() as second:
        yield World(registry, first, second, Store.create(tmp_path / "store"))


def test_all_comes_from_the_first_mirror_and_the_lock_names_the_registry(world: World) -> None:
    locked = world.build()
    assert world.whole()
    assert locked.source == world.text
    assert (world.registry.requests, world.second.requests) == ([], [])
    assert world.heard.warnings == []


def test_it_is_said_which_mirror_stated_the_digest_of_a_tag(world: World) -> None:
    world.lock()
    assert world.heard.notes == [
        f"{world.text}: the mirror {world.first.address}/proxy/acme/app says that it is {world.made.digest}"
    ]


def test_an_image_named_by_digest_is_no_mirrors_word_so_a_lying_one_is_passed_over(world: World) -> None:
    other = image(b"other")
    world.first.files[f"/v2/proxy/acme/app/manifests/{world.made.digest}"] = other.manifest
    world.text = f"{world.registry.address}/acme/app@{world.made.digest}"
    assert world.build().manifest.digest == world.made.digest
    assert world.whole()
    assert world.heard.notes == []
    assert "sent a wrong manifest" in world.heard.warnings[0]


def test_a_mirror_that_is_not_there_costs_a_warning_and_no_blob(world: World) -> None:
    world.mirrors = Mirrors({world.registry.address: ("127.0.0.1:9", world.second.address)})
    world.build()
    assert world.whole()
    assert world.registry.requests == []
    assert "mirror 127.0.0.1:9/acme/app is passed over: no connection" in world.heard.warnings[0]
    assert len(world.heard.warnings) == 2  # once for the lock, once for all blobs


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_mirror_that_refuses_is_passed_over(world: World, status: int) -> None:
    for path in list(world.first.files):
        world.first.fail(path, *[Fault(status=status)] * 4)
    world.build()
    assert world.whole()
    assert world.registry.requests == []
    assert all(f"mirror {world.first.address}/proxy/acme/app is passed over" in text for text in world.heard.warnings)


def test_a_mirror_that_lacks_one_layer_still_gives_the_others(world: World) -> None:
    del world.first.files[world.blob(1, "proxy/acme/app")]
    world.build()
    assert world.whole()
    assert [one.path for one in world.second.requests] == [world.blob(1)]


def test_a_mirror_that_breaks_off_in_the_middle_is_taken_over_from_there(world: World) -> None:
    path = world.blob(1, "proxy/acme/app")
    size = len(world.made.blobs[1])
    world.first.fail(path, Fault(cut=size // 2), Fault(cut=0), Fault(cut=0))
    world.build()
    assert world.whole()
    (asked,) = world.second.asked(world.blob(1))
    assert asked.range == f"bytes={size // 2}-"


def test_a_mirror_that_sends_wrong_bytes_is_caught_and_the_next_is_asked(world: World) -> None:
    world.first.fail(world.blob(1, "proxy/acme/app"), Fault(flip=True))
    world.second.fail(world.blob(1), Fault(flip=True))
    world.build()
    assert world.whole()
    assert len(world.registry.asked(world.blob(1))) == 1
    assert [text for text in world.heard.warnings if "are wrong" in text and "passed over" in text] == (
        world.heard.warnings
    )


def test_wrong_bytes_everywhere_are_never_stored(world: World) -> None:
    world.first.fail(world.blob(1, "proxy/acme/app"), Fault(flip=True))
    world.second.fail(world.blob(1), Fault(flip=True))
    world.registry.fail(world.blob(1), Fault(flip=True), Fault(flip=True))
    with pytest.raises(WrongSource, match=f"from {world.registry.address}/acme/app are wrong"):
        world.build()
    assert not world.store.path(Digest.of(world.made.blobs[1])).exists()


def test_an_image_that_is_nowhere_is_told_of_the_registry(world: World) -> None:
    world.text = f"{world.registry.address}/acme/app:2"
    with pytest.raises(ImageUnknown, match=f"registry {world.registry.address} has no image acme/app"):
        world.lock()


def test_a_mirrors_login_is_looked_up_under_the_mirrors_own_name(world: World, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.mkdir()
    auths = f'{{"auths": {{"{world.first.address}": {{"auth": "bWU6cGFzcw=="}}}}}}'
    (docker / "config.json").write_text(auths)
    path = "/v2/proxy/acme/app/manifests/1"
    world.first.fail(path, Fault(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'}))
    world.lock()
    assert world.first.asked(path)[1].headers["Authorization"] == "Basic bWU6cGFzcw=="
    assert all("Authorization" not in one.headers for one in world.registry.requests)
