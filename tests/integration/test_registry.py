"""Images from a real registry (CNCF distribution) arrive as they are there, or it is said why not."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from image_maker import OCI_CONFIG, OCI_MANIFEST, MadeImage, Pusher, image, index, serve
from scripted_server import Fault, ScriptedServer

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import BundlerError, NetworkFailed
from bundler.core.events import Event, Silence, Warned
from bundler.core.reference import Reference
from bundler.core.strict_json import MalformedJson
from bundler.sources.fetch import fetch
from bundler.sources.images import UnusableImage, image_downloads, resolve_image
from bundler.sources.platform import PlatformMissing
from bundler.sources.registry import ImageUnknown, WrongManifest
from bundler.store.closure import closure
from bundler.store.layout import Store
from bundler.store.verify import verify
from scripts.world.registry import Registry


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person who runs the tests may be logged in somewhere."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def repository() -> str:
    """A name that no other run has used: the registry outlives a test."""
    return f"sources/{secrets.token_hex(6)}"


@pytest.fixture
def pusher(registry: Registry) -> Pusher:
    return Pusher(registry.address)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def reference(text: str) -> Reference:
    return Reference.parse(text)


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_an_image_arrives_with_the_registrys_own_bytes_and_digests(
    pusher: Pusher, repository: str, store: Store, docker: bool
) -> None:
    made = image(b"one" * 100_000, b"two", docker=docker)
    locked = resolve_image("app", reference(pusher.push(repository, made, "1.0")), store)
    fetch(image_downloads(locked), store, Silence())
    assert locked.manifest == Descriptor.of(made.manifest, made.media_type)
    assert locked.source == f"{pusher.address}/{repository}:1.0"
    assert store.path(locked.manifest.digest).read_bytes() == made.manifest
    assert [store.path(blob.digest).read_bytes() for blob in locked.blobs] == list(made.blobs)
    assert verify(store, closure(store, locked.manifest), Silence()).bad == ()


def test_resolving_fetches_the_manifest_and_the_config_and_no_layer(
    pusher: Pusher, repository: str, store: Store
) -> None:
    made = image(b"one", b"two")
    locked = resolve_image("app", reference(pusher.push(repository, made, "1.0")), store)
    config, *layers = locked.blobs
    assert store.missing([locked.manifest, config]) == ()
    assert list(store.missing(layers)) == layers


def test_the_blobs_labels_say_which_image_they_belong_to(pusher: Pusher, repository: str, store: Store) -> None:
    locked = resolve_image("app", reference(pusher.push(repository, image(b"one", b"two"), "1.0")), store)
    labels = [download.label for download in image_downloads(locked)]
    assert labels == ["app: manifest", "app: config", "app: layer 1", "app: layer 2"]


def test_a_lock_alone_is_enough_to_fill_an_empty_store(
    pusher: Pusher, repository: str, store: Store, tmp_path: Path
) -> None:
    made = image(b"one", docker=True)
    locked = resolve_image("app", reference(pusher.push(repository, made, "1.0")), store)
    empty = Store.create(tmp_path / "empty")
    fetch(image_downloads(locked), empty, Silence())
    assert empty.read(locked.manifest.digest) == made.manifest
    assert verify(empty, closure(empty, locked.manifest), Silence()).bad == ()


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_out_of_an_index_the_nodes_platform_is_taken(
    pusher: Pusher, repository: str, store: Store, docker: bool
) -> None:
    arm, amd = (image(b"layer", docker=docker, platform=("linux", name)) for name in ("arm64", "amd64"))
    for made in (arm, amd):
        pusher.push(repository, made)
    text = pusher.push(repository, index({"linux/arm64": arm, "linux/amd64": amd}, docker=docker), "multi")
    assert resolve_image("app", reference(text), store).manifest.digest == amd.digest
    assert resolve_image("app", reference(text), store, platform="linux/arm64").manifest.digest == arm.digest


def test_an_index_without_the_nodes_platform_names_those_that_it_has(
    pusher: Pusher, repository: str, store: Store
) -> None:
    arm = image(b"layer", platform=("linux", "arm64"))
    pusher.push(repository, arm)
    text = pusher.push(repository, index({"linux/arm64": arm}), "multi")
    with pytest.raises(PlatformMissing, match="has no image for linux/amd64") as error:
        resolve_image("app", reference(text), store)
    assert error.value.because == "it has: linux/arm64"


def test_a_single_image_for_another_processor_is_found_out_before_the_gap(
    pusher: Pusher, repository: str, store: Store
) -> None:
    text = pusher.push(repository, image(b"layer", platform=("linux", "arm64")), "1.0")
    with pytest.raises(PlatformMissing) as error:
        resolve_image("app", reference(text), store)
    assert error.value.because == "it has: linux/arm64"


def test_an_image_pinned_by_digest_is_exactly_that_one_whatever_the_tag_says_now(
    pusher: Pusher, repository: str, store: Store
) -> None:
    old, new = image(b"old"), image(b"new")
    pusher.push(repository, old, "1.0")
    pusher.push(repository, new, "1.0")
    pinned = Reference.parse(f"{pusher.address}/{repository}:1.0@{old.digest}")
    assert resolve_image("app", pinned, store).manifest.digest == old.digest
    assert resolve_image("app", reference(f"{pusher.address}/{repository}:1.0"), store).manifest.digest == new.digest


def test_a_tag_that_moves_after_it_was_locked_does_not_change_what_is_fetched(
    pusher: Pusher, repository: str, store: Store
) -> None:
    old = image(b"old")
    locked = resolve_image("app", reference(pusher.push(repository, old, "1.0")), store)
    pusher.push(repository, image(b"new"), "1.0")
    fetch(image_downloads(locked), store, Silence())
    assert store.path(locked.blobs[1].digest).read_bytes() == old.blobs[1]


def test_the_same_layer_in_two_images_is_fetched_once(pusher: Pusher, repository: str, store: Store) -> None:
    shared = b"shared" * 50_000
    first = resolve_image("a", reference(pusher.push(f"{repository}/a", image(shared), "1")), store)
    second = resolve_image("b", reference(pusher.push(f"{repository}/b", image(shared, b"more"), "1")), store)
    result = fetch([*image_downloads(first), *image_downloads(second)], store, Silence())
    assert len(result.fetched) == 2
    again = fetch([*image_downloads(first), *image_downloads(second)], store, Silence())
    assert (again.fetched, again.bytes) == ((), 0)
    assert len(again.present) == 6


def test_an_empty_image_is_carried(pusher: Pusher, repository: str, store: Store) -> None:
    locked = resolve_image("app", reference(pusher.push(repository, image(), "1.0")), store)
    fetch(image_downloads(locked), store, Silence())
    assert len(locked.blobs) == 1


def test_standard_tools_read_what_was_fetched(pusher: Pusher, repository: str, store: Store) -> None:
    skopeo = shutil.which("skopeo")
    assert skopeo, "apt-get install skopeo"
    made = image(b"one", b"two")
    locked = resolve_image("app", reference(pusher.push(repository, made, "1.0")), store)
    fetch(image_downloads(locked), store, Silence())
    store.record([locked.manifest.named("app")])
    inspected = subprocess.run(
        [skopeo, "inspect", "--raw", f"oci:{store.root}:app"], capture_output=True, check=True, env={**os.environ}
    )
    assert inspected.stdout == made.manifest


def test_an_unknown_tag_names_registry_repository_and_tag(pusher: Pusher, repository: str, store: Store) -> None:
    pusher.push(repository, image(b"one"), "1.0")
    with pytest.raises(ImageUnknown) as error:
        resolve_image("app", reference(f"{pusher.address}/{repository}:2.0"), store)
    assert str(error.value) == f"registry {pusher.address} has no image {repository} with tag 2.0"
    assert error.value.because == "it answers: manifest unknown"
    assert "skopeo list-tags" in str(error.value.hint)


def test_an_unknown_digest_is_named(pusher: Pusher, repository: str, store: Store) -> None:
    pusher.push(repository, image(b"one"), "1.0")
    gone = Digest.of(b"gone")
    with pytest.raises(ImageUnknown, match=f"with digest {gone}"):
        resolve_image("app", reference(f"{pusher.address}/{repository}@{gone}"), store)


def test_a_registry_that_does_not_run_is_told_from_an_image_that_is_not_there(store: Store) -> None:
    with pytest.raises(NetworkFailed, match=r"no connection to 127\.0\.0\.1:9") as error:
        resolve_image("app", reference("127.0.0.1:9/a/b:1"), store)
    assert error.value.because == "connection refused"


def test_a_name_that_does_not_resolve_is_told(store: Store) -> None:
    with pytest.raises(NetworkFailed, match=r"nowhere\.invalid can't be found"):
        resolve_image("app", reference("nowhere.invalid/a/b:1"), store)


def test_a_plain_http_registry_elsewhere_is_refused_with_the_word_that_allows_it(
    pusher: Pusher, repository: str, store: Store
) -> None:
    pusher.push(repository, image(b"one"), "1.0")
    # 0.0.0.0 is this machine too, but does not look like the loopback.
    elsewhere = reference(f"0.0.0.0:{pusher.address.partition(':')[2]}/{repository}:1.0")
    with pytest.raises(NetworkFailed, match="does not speak TLS") as error:
        resolve_image("app", elsewhere, store)
    assert str(error.value.hint).startswith("plain_http: true")
    assert resolve_image("app", elsewhere, store, plain_http=True).manifest.size


def test_something_that_is_no_registry_is_told(server: ScriptedServer, store: Store) -> None:
    server.fail("/v2/a/b/manifests/1", Fault(status=418, body=b"teapot"))
    with pytest.raises(NetworkFailed, match=f"registry {server.address} does not give a/b") as error:
        resolve_image("app", reference(f"{server.address}/a/b:1"), store)
    assert error.value.because == "it answers: HTTP status 418"


def test_a_web_page_instead_of_a_manifest_is_refused(server: ScriptedServer, store: Store) -> None:
    server.files["/v2/a/b/manifests/1"] = b"<html>log in to the hotel's network</html>"
    with pytest.raises(MalformedJson):
        resolve_image("app", reference(f"{server.address}/a/b:1"), store)


def test_a_registry_that_sends_another_manifest_than_the_pinned_one_is_caught(
    server: ScriptedServer, store: Store
) -> None:
    made, other = image(b"one"), image(b"two")
    serve(server, "a/b", made, "1")
    server.files[f"/v2/a/b/manifests/{made.digest}"] = other.manifest
    with pytest.raises(WrongManifest, match="sent a wrong manifest for a/b") as error:
        resolve_image("app", reference(f"{server.address}/a/b@{made.digest}"), store)
    assert str(made.digest) in str(error.value.because)
    assert str(other.digest) in str(error.value.because)


def test_a_registry_whose_header_contradicts_its_manifest_is_caught(server: ScriptedServer, store: Store) -> None:
    made = image(b"one")
    stated = {"Docker-Content-Digest": str(Digest.of(b"other")), "Content-Type": OCI_MANIFEST}
    server.fail("/v2/a/b/manifests/1", Fault(status=200, headers=stated, body=made.manifest))
    with pytest.raises(WrongManifest):
        resolve_image("app", reference(f"{server.address}/a/b:1"), store)


def altered(**changes: Any) -> MadeImage:
    return image(b"one", **changes)


FOREIGN = Descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Digest.of(b"x"), 1).to_json()
RESTRICTED = Descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar", Digest.of(b"x"), 1).to_json()
ARTIFACT = Descriptor("application/vnd.acme.thing.v1+json", Digest.of(b"x"), 1).to_json()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (altered(layers=[FOREIGN]), "may not be distributed"),
        (altered(layers=[RESTRICTED]), "may not be distributed"),
        (altered(config=ARTIFACT), "it is an artifact of another kind"),
        (altered(schemaVersion=1), "old schema 1"),
        (altered(mediaType="application/vnd.acme.list.v1+json"), "it is not an image"),
    ],
)
def test_what_can_not_be_carried_is_refused_with_the_reason(
    server: ScriptedServer, store: Store, made: MadeImage, words: str
) -> None:
    serve(server, "a/b", made, "1")
    server.types.clear()
    with pytest.raises(UnusableImage) as error:
        resolve_image("app", reference(f"{server.address}/a/b:1"), store)
    assert words in str(error.value.because)


@pytest.mark.parametrize(
    "made",
    [
        altered(manifests=[]),
        altered(manifests=[ARTIFACT]),
        altered(layers=7),
        altered(config=None),
        altered(config={"mediaType": OCI_CONFIG, "digest": "sha512:abc", "size": 1}),
    ],
)
def test_a_hostile_manifest_is_refused_and_nothing_of_it_is_kept(
    server: ScriptedServer, store: Store, made: MadeImage
) -> None:
    serve(server, "a/b", made, "1")
    if json.loads(made.manifest).get("manifests") == []:
        server.types[f"/v2/a/b/manifests/{1}"] = "application/vnd.oci.image.index.v1+json"
    with pytest.raises(BundlerError):
        resolve_image("app", reference(f"{server.address}/a/b:1"), store)
    assert list(store.blobs.iterdir()) == []


def test_a_manifest_without_media_type_is_told_by_its_shape(server: ScriptedServer, store: Store) -> None:
    made = image(b"one")
    bare = {key: value for key, value in json.loads(made.manifest).items() if key != "mediaType"}
    made = MadeImage(json.dumps(bare).encode(), "application/json", made.blobs)
    serve(server, "a/b", made, "1")
    assert resolve_image("app", reference(f"{server.address}/a/b:1"), store).manifest.media_type == OCI_MANIFEST


def test_an_endless_manifest_does_not_fill_the_memory(server: ScriptedServer, store: Store) -> None:
    server.files["/v2/a/b/manifests/1"] = b" " * (33 << 20)
    with pytest.raises(NetworkFailed, match="answers with too much"):
        resolve_image("app", reference(f"{server.address}/a/b:1"), store)


def test_a_blob_that_the_registry_has_lost_is_named(server: ScriptedServer, store: Store) -> None:
    made = image(b"one")
    locked = resolve_image("app", reference(serve(server, "a/b", made, "1")), store)
    del server.files[f"/v2/a/b/blobs/{locked.blobs[1].digest}"]
    with pytest.raises(NetworkFailed, match=f"does not have blob {locked.blobs[1].digest} of a/b"):
        fetch(image_downloads(locked), store, Silence())


def repacked(made: MadeImage, media_type: str, layers: list[bytes]) -> MadeImage:
    """The image with other layers of another type."""
    document = json.loads(made.manifest)
    document["layers"] = [Descriptor.of(one, media_type).to_json() for one in layers]
    return MadeImage(json.dumps(document).encode(), made.media_type, (made.blobs[0], *layers))


def test_zstd_layers_are_carried_as_they_are_with_a_warning_for_old_engines(
    pusher: Pusher, repository: str, store: Store
) -> None:
    zstd = b"\x28\xb5\x2f\xfd" + os.urandom(10_000)
    made = repacked(image(b"one"), "application/vnd.oci.image.layer.v1.tar+zstd", [zstd])
    heard: list[Event] = []

    class Recorder:
        def emit(self, event: Event) -> None:
            heard.append(event)

    text = pusher.push(repository, made, "1")
    locked = resolve_image("app", reference(text), store, events=Recorder())
    fetch(image_downloads(locked), store, Silence())
    assert store.path(locked.blobs[1].digest).read_bytes() == zstd
    (warned,) = [event.text for event in heard if isinstance(event, Warned)]
    assert warned.startswith(f"{text}: its layers are compressed with zstd, which Docker before 23.0 can't unpack")
    assert "skopeo copy" in warned


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_a_foreign_layer_in_a_real_registry_is_refused_with_the_reason(
    store: Store, docker: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_VALIDATION_DISABLED", "true")  # distribution takes no addresses of layers otherwise
    made = image(b"one", docker=docker)
    document = json.loads(made.manifest)
    document["layers"].append({**(FOREIGN if docker else RESTRICTED), "urls": ["https://elsewhere.example/x"]})
    foreign = MadeImage(json.dumps(document).encode(), made.media_type, made.blobs)
    with Registry(tmp_path / "registry", tied=True) as lenient:
        text = Pusher(lenient.address).push("acme/app", foreign, "1")
        with pytest.raises(UnusableImage, match="can't be carried") as error:
            resolve_image("app", reference(text), store)
    assert "may not be distributed" in str(error.value.because)
