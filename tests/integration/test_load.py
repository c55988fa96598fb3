"""Images from a store into a real engine: over the loopback registry or as a stream, whatever ended the run before."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_maker import image

from bundler.core.events import Event, Noted, Silence, Warned
from bundler.core.records import to_json
from bundler.core.reference import BundleName
from bundler.engine.docker import DockerEngine
from bundler.engine.durable_images import LoadNotes, whole
from bundler.engine.load import load
from bundler.engine.loopback_registry import serving
from bundler.manifest.lock import LockedImage
from bundler.store.layout import Store
from scripts.world.engine import Engine
from scripts.world.node import Node

BUNDLE = BundleName("small", "1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def stored(store: Store, tmp_path: Path) -> LockedImage:
    """A small image in the store, of another digest in every run."""
    made = image(str(tmp_path).encode(), random.Random(str(tmp_path)).randbytes(24 << 20))
    config, *layers = (store.put(blob, "x") for blob in made.blobs)
    manifest = store.put(made.manifest, made.media_type)
    return LockedImage("serve", "made by hand", manifest, (config, *layers))


@pytest.fixture
def engine(online_engine: Engine, stored: LockedImage, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerEngine]:
    monkeypatch.setenv("DOCKER_HOST", online_engine.host)
    connected = DockerEngine.connect()
    yield connected
    if found := connected.image(stored.manifest, stored.blobs[0]):
        online_engine.docker("rmi", "-f", found)


@pytest.fixture
def notes(tmp_path: Path) -> LoadNotes:
    return LoadNotes(tmp_path / "notes")


class Heard:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def said(self, kind: type[Noted | Warned]) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, kind))


def names(engine: Engine, image: str) -> list[str]:
    """All names of an image, by tag and by digest."""
    shown = engine.docker("inspect", "-f", '{{join .RepoTags "\\n"}}\n{{join .RepoDigests "\\n"}}', image).stdout
    return shown.split()


def test_an_image_whose_loader_was_killed_before_it_got_its_name_is_named_by_the_next_up(
    engine: DockerEngine, online_engine: Engine, store: Store, stored: LockedImage, notes: LoadNotes
) -> None:
    """An image without a name is what `docker image prune` deletes, and the loopback's says nothing to people."""
    with serving(store, (stored,)) as address:
        engine.pull(f"{address}/{BUNDLE.name}/serve@{stored.manifest.digest}")
    done = load(store, BUNDLE, (stored,), engine, Silence(), notes)
    assert done.loaded == ()
    found = names(online_engine, done.ids["serve"])
    assert "small/serve:1" in found
    assert not [name for name in found if name.startswith("127.0.0.1:")]
    assert load(store, BUNDLE, (stored,), engine, Silence(), notes) == done
    assert names(online_engine, done.ids["serve"]) == found


def test_what_is_needed_and_what_is_free_is_said_before_anything_is_loaded(
    engine: DockerEngine, store: Store, stored: LockedImage, notes: LoadNotes
) -> None:
    heard = Heard()
    load(store, BUNDLE, (stored,), engine, heard, notes)
    said = heard.said(Noted)
    assert "1 images to load, 25.2 MB unpacked; " in said
    assert f"free in {engine.info().root}" in said


def test_an_engine_that_does_not_reach_our_loopback_gets_the_image_as_a_stream(
    node: Node, store: Store, stored: LockedImage, notes: LoadNotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node's engine has a loopback of its own, as one in a virtual machine has."""
    monkeypatch.setenv("DOCKER_HOST", node.engine.host)
    engine, heard = DockerEngine.connect(), Heard()
    try:
        done = load(store, BUNDLE, (stored,), engine, heard, notes)
        assert done.loaded == ("serve",)
        assert "serve is streamed to it" in heard.said(Noted)
        assert names(node.engine, done.ids["serve"]) == ["small/serve:1"]
        assert whole(store, stored, done.ids["serve"], engine)
    finally:
        node.engine.docker("rmi", "-f", "small/serve:1", check=False)


LOAD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from bundler.core.descriptor import Descriptor
from bundler.core.events import BytesMoved
from bundler.core.reference import BundleName
from bundler.engine.docker import DockerEngine
from bundler.engine.durable_images import LoadNotes
from bundler.engine.load import load
from bundler.manifest.lock import LockedImage
from bundler.store.layout import Store
from bundler.core.records import from_bytes

class Dying:
    def emit(self, event):
        if isinstance(event, BytesMoved):
            os.kill(os.getpid(), signal.SIGKILL)

stored = from_bytes(LockedImage, sys.argv[2].encode(), "the test")
notes = LoadNotes(Path(sys.argv[3]))
load(Store(Path(sys.argv[1])), BundleName("small", "1"), (stored,), DockerEngine.connect(), Dying(), notes)
"""


def test_a_load_killed_in_the_middle_ends_the_same_when_it_is_run_again(
    engine: DockerEngine, store: Store, stored: LockedImage, notes: LoadNotes, tmp_path: Path
) -> None:
    arguments = (str(store.root), json.dumps(to_json(stored)), str(tmp_path / "notes"))
    died = subprocess.run([sys.executable, "-c", LOAD_AND_DIE, *arguments], check=False)
    assert died.returncode == -signal.SIGKILL
    assert not notes.doubtful(stored), "the machine has not stopped since"
    done = load(store, BUNDLE, (stored,), engine, Silence(), notes)
    assert whole(store, stored, done.ids["serve"], engine)
    assert not list(store.partial.iterdir())


def stop_the_machine(tmp_path: Path) -> None:
    """As the notes look in the next boot, when the machine stopped before `up` could sync."""
    path = tmp_path / "notes" / "serve.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another", "synced": False}))


def test_an_image_that_a_power_cut_left_with_short_files_is_loaded_again(
    engine: DockerEngine, online_engine: Engine, store: Store, stored: LockedImage, notes: LoadNotes, tmp_path: Path
) -> None:
    found = load(store, BUNDLE, (stored,), engine, Silence(), notes).ids["serve"]
    stop_the_machine(tmp_path)
    assert notes.doubtful(stored)
    assert load(store, BUNDLE, (stored,), engine, Silence(), notes).loaded == (), "whole, so it is kept"
    upper = online_engine.docker("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", found).stdout.strip()
    (Path(upper) / "file-1").write_bytes(b"")
    heard = Heard()
    assert load(store, BUNDLE, (stored,), engine, heard, notes).loaded == ("serve",)
    assert "was not whole when the machine stopped" in heard.said(Warned)
    assert whole(store, stored, found, engine)


def test_what_is_synced_is_not_read_again_after_the_next_boot(
    engine: DockerEngine, store: Store, stored: LockedImage, notes: LoadNotes, tmp_path: Path
) -> None:
    load(store, BUNDLE, (stored,), engine, Silence(), notes)
    notes.settle((stored,))
    path = tmp_path / "notes" / "serve.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))
    assert not notes.doubtful(stored)
