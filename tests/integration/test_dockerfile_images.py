"""An image from a dockerfile: its base out of the store, its record in the lock, nothing of the user's in it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from bundler.engine.docker import DockerEngine
from bundler.engine.loopback_registry import serving
from bundler.manifest.lock import Lock, LockedImage
from bundler.sources.layers import diff_ids
from bundler.store.layout import Store
from scripts.world.engine import Engine
from scripts.world.node import Node
from tests.commandline import Bundle, refusal

CANARY = "canary-1c7f30a9d2"
DOCKERFILE = """FROM {{ base }}
RUN --mount=type=secret,id=pip.conf,target=/run/secrets/pip.conf grep -q canary /run/secrets/pip.conf \\
 && python3 -c "print('{{ arguments.word }}')" > /word
COPY note.txt /note.txt
"""


class Place:
    """A manifest with one image from a dockerfile, and `bundle` to lock it."""

    def __init__(self, root: Path, base: str, engine: Engine) -> None:
        self.manifest = root / "one.yaml"
        self.store = Store.create(root / "store")
        self.note = root / "dockerfile" / "note.txt"
        self.note.parent.mkdir()
        self.note.write_text("first\n")
        (self.note.parent / "Dockerfile.j2").write_text(DOCKERFILE)
        (root / "pip.conf").write_text(f"# {CANARY}\n")
        self._base = base
        self.said = ""
        self.write("first")
        environment = {"DOCKER_HOST": engine.host, "PIP_CONFIG_FILE": str(root / "pip.conf")}
        self.bundle = Bundle(environment={**environment, "DOCKER_CONFIG": str(root / "docker")})

    def write(self, word: str) -> None:
        """The manifest, with this argument."""
        image = {"dockerfile": "dockerfile", "base": self._base, "arguments": {"word": word}}
        self.manifest.write_text(json.dumps({"name": "one", "version": "1", "images": {"made": image}}))

    def image(self) -> LockedImage:
        """The image as the lock pins it."""
        path = self.manifest.with_suffix(".lock.json")
        return Lock.parse(path.read_bytes(), str(path)).images[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, base_image: str, online_engine: Engine) -> Place:
    place = Place(tmp_path_factory.mktemp("built"), base_image, online_engine)
    place.said = place.bundle("lock", place.manifest, "--store", place.store.root, "-v").err
    return place


def test_the_engine_takes_the_base_from_the_store_and_not_from_the_registry(place: Place, base_image: str) -> None:
    registry = base_image.partition("/")[0]
    assert "/base@sha256:" in place.said
    assert f"FROM {registry}" not in place.said
    assert f"metadata for {registry}" not in place.said


def test_the_lock_says_what_the_image_was_made_of(place: Place) -> None:
    build = place.image().build
    assert build
    assert "@sha256:" in build.base
    assert build.arguments == {"word": "first"}
    assert "note.txt" in build.files
    assert len(diff_ids(place.store.read(place.image().blobs[0].digest))) == len(place.image().blobs) - 1


def test_nothing_of_the_users_pip_configuration_stays_in_the_image(place: Place) -> None:
    config, *layers = place.image().blobs
    assert CANARY.encode() not in place.store.read(config.digest)
    for layer in layers:
        with gzip.open(place.store.path(layer.digest)) as unpacked:
            rest = b""
            while chunk := unpacked.read(1 << 20):
                assert CANARY.encode() not in rest + chunk
                rest = chunk[-len(CANARY) :]


def test_locked_says_which_argument_and_which_file_make_a_rebuild_due(place: Place) -> None:
    place.write("second")
    place.note.write_text("second\n")
    try:
        said = refusal(place.bundle("build", place.manifest, "--store", place.store.root, "--locked", check=False))
    finally:
        place.write("first")
        place.note.write_text("first\n")
    assert "image made: argument word: first -> second" in said
    assert "image made: file note.txt: " in said
    assert "base" not in said.partition("\n")[2].partition("bundle lock")[0]


def test_locked_takes_the_blobs_that_are_there_and_builds_nothing(place: Place) -> None:
    said = place.bundle("build", place.manifest, "--store", place.store.root, "--locked", DOCKER_HOST="unix:///none")
    assert said.code == 0


def test_an_engine_behind_another_loopback_is_noticed_before_the_build(
    place: Place, node: Node, online_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = place.image()
    with serving(place.store, (image,)) as address:
        reference = f"{address}/base@{image.manifest.digest}"
        reached = []
        for engine in (online_engine, node.engine):
            monkeypatch.setenv("DOCKER_HOST", engine.host)
            reached.append(DockerEngine.connect().reaches(reference))
    assert reached == [True, False]
