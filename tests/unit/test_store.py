"""The store: a blob appears under its name only when it is whole, and what a dead process began is continued."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.events import Silence
from bundler.core.media_types import BUNDLE, OCI_INDEX
from bundler.core.owner import Owner
from bundler.manifest.lock import LockedFile
from bundler.store.closure import Member, closure
from bundler.store.ingest import Ingest
from bundler.store.layout import AmbiguousBundle, DamagedIndex, MissingBlob, NotAStore, Store, UnknownBundle, merged
from bundler.store.links import materialise
from bundler.store.locking import Held, holding
from bundler.store.verify import verify
from bundler.store.writer import WrongBytes
from tests.bundles import make_bundle

DATA = b"0123456789" * 1000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def bundle_root(name: str, digest: Digest | None = None) -> Descriptor:
    blob = Descriptor(OCI_INDEX, digest or Digest.of(name.encode()), 2, artifact_type=BUNDLE)
    return blob.named(name)


@given(cuts=st.lists(st.integers(0, len(DATA)), max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_blob_is_whole_however_its_bytes_came(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    store = Store.create(tmp_path_factory.mktemp("s"))
    edges = [0, *sorted(cuts), len(DATA)]
    with store.writer(Digest.of(DATA), len(DATA)) as writer:
        for begin, end in itertools.pairwise(edges):
            writer.write(DATA[begin:end])
        writer.commit()
    assert store.path(Digest.of(DATA)).read_bytes() == DATA


def test_a_blob_has_no_name_before_it_is_whole(store: Store) -> None:
    with store.writer(Digest.of(DATA), len(DATA)) as writer:
        writer.write(DATA[:-1])
        assert not store.path(Digest.of(DATA)).exists()
        with pytest.raises(WrongBytes):
            writer.commit()
    assert list(store.blobs.iterdir()) == []


def test_wrong_bytes_never_get_the_name_and_are_not_continued(store: Store) -> None:
    with store.writer(Digest.of(DATA), len(DATA)) as writer:
        writer.write(b"x" * len(DATA))
        with pytest.raises(WrongBytes):
            writer.commit()
    assert list(store.blobs.iterdir()) == []
    with store.writer(Digest.of(DATA), len(DATA)) as writer:
        assert writer.offset == 0


def test_more_bytes_than_expected_are_refused_before_they_fill_the_disk(store: Store) -> None:
    with store.writer(Digest.of(DATA), len(DATA)) as writer, pytest.raises(WrongBytes):
        writer.write(DATA + b"x")


def test_what_a_killed_process_wrote_is_continued(store: Store) -> None:
    script = (
        "import os,sys;from pathlib import Path;from bundler.store.layout import Store;"
        "from bundler.core.digest import Digest;data=b'0123456789'*1000;"
        f"w=Store(Path({str(store.root)!r})).writer(Digest.of(data),len(data)).__enter__();"
        "w.write(data[:4000]);os.kill(os.getpid(),9)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    with store.writer(Digest.of(DATA), len(DATA)) as writer:
        assert writer.offset == 4000
        writer.write(DATA[4000:])
        writer.commit()
    assert store.path(Digest.of(DATA)).read_bytes() == DATA
    assert list(store.partial.iterdir()) == []


def test_the_longest_that_dead_writers_left_is_continued_and_the_rest_removed(store: Store) -> None:
    me = Owner.me()
    for number, length in enumerate((10, 900, 90), start=1):
        dead = Owner(me.host, me.machine, "earlier-boot", number, "1")
        (store.partial / f"{Digest.of(DATA).hex}.{dead.key}").write_bytes(DATA[:length])
    with store.writer(Digest.of(DATA), len(DATA)) as writer:
        assert writer.offset == 900
    assert len(list(store.partial.iterdir())) == 1


def test_what_a_killed_export_left_is_removed_by_the_next(store: Store) -> None:
    me = Owner.me()
    dead = Owner(me.host, me.machine, "earlier-boot", 1, "1")
    (store.partial / f"ingest-{'ab' * 8}.{dead.key}").write_bytes(DATA)
    with Ingest(store):
        assert len(list(store.partial.iterdir())) == 1


def test_a_living_writers_bytes_are_left_alone_and_both_end_well(store: Store) -> None:
    me = Owner.me()
    other = Owner(me.host, me.machine, me.boot, 1, subprocess_start(1))
    (store.partial / f"{Digest.of(DATA).hex}.{other.key}").write_bytes(DATA[:10])
    with store.writer(Digest.of(DATA), len(DATA)) as writer:
        assert writer.offset == 0
        writer.write(DATA)
        writer.commit()
    assert len(list(store.partial.iterdir())) == 1


def subprocess_start(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_a_flipped_bit_in_metadata_is_found_when_it_is_read(store: Store) -> None:
    blob = store.put(b'{"a":1}', "application/json")
    path = store.path(blob.digest)
    path.chmod(0o644)
    path.write_bytes(b'{"a":2}')
    with pytest.raises(IntegrityFailed, match="not what its name says"):
        store.read(blob.digest)


def test_a_blob_that_is_not_there_is_named_with_the_store(store: Store) -> None:
    with pytest.raises(MissingBlob, match=str(store.root)):
        store.read(Digest.of(b"absent"))


def test_verify_names_every_bad_blob_and_how_it_is_bad(store: Store) -> None:
    good, flipped, short, gone = (store.put(text * 100, "x") for text in (b"good", b"flipped", b"short", b"gone"))
    for blob, change in ((flipped, b"FLIPPED" * 100), (short, b"shor")):
        store.path(blob.digest).chmod(0o644)
        store.path(blob.digest).write_bytes(change)
    store.path(gone.digest).unlink()
    labels = {"good": good, "flipped": flipped, "short": short, "gone": gone}
    result = verify(store, [Member(blob, label) for label, blob in labels.items()], Silence())
    found = {bad.member.label: bad.problem for bad in result.bad}
    assert found.keys() == {"flipped", "short", "gone"}
    assert "its bytes have the digest" in found["flipped"]
    assert found["short"] == "it has 4 bytes, should have 500"
    assert found["gone"] == "it is missing"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"manifests": 1}', b'{"manifests": [{}]}'])
def test_an_index_that_is_lost_is_told_with_what_lists_the_bundles_again_without_their_blobs(
    store: Store, damage: bytes
) -> None:
    entry = make_bundle(store)
    before = {path.name: path.stat().st_ino for path in store.blobs.iterdir()}
    (store.root / "index.json").write_bytes(damage)
    with pytest.raises(DamagedIndex) as error:
        store.find("demo")
    assert error.value.exit_code == 12
    subprocess.run((error.value.hint or "").partition("   #")[0], shell=True, check=True)
    again = Store.create(store.root)  # as build and import begin
    assert make_bundle(again) == entry
    assert again.find("demo") == entry
    assert {path.name: path.stat().st_ino for path in store.blobs.iterdir()} == before, "no blob is written again"


def test_a_directory_that_is_no_store_is_refused_not_filled(tmp_path: Path) -> None:
    with pytest.raises(NotAStore):
        Store.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_found_by_name_and_an_unknown_one_lists_those_there_are(store: Store) -> None:
    store.record([bundle_root("demo:1.0.0"), bundle_root("other:2")])
    assert str(store.find("demo").name) == "demo:1.0.0"
    assert str(store.find("demo:1.0.0").name) == "demo:1.0.0"
    with pytest.raises(UnknownBundle, match=r"demo:1\.0\.0, other:2"):
        store.find("nothing")


def test_a_name_with_two_versions_must_be_said_whole(store: Store) -> None:
    store.record([bundle_root("demo:1")])
    store.record([bundle_root("demo:2")])
    with pytest.raises(AmbiguousBundle, match="2 versions of demo: demo:1, demo:2"):
        store.find("demo")
    assert str(store.find("demo:2").name) == "demo:2"


def test_building_again_replaces_a_bundles_names_and_keeps_those_of_others() -> None:
    image = Descriptor("m", Digest.of(b"i"), 1)
    before = merged(
        (), [bundle_root("demo:1"), image.named("demo:1/old"), bundle_root("other:1"), image.named("other:1/x")]
    )
    after = merged(before, [bundle_root("demo:1", Digest.of(b"new")), image.named("demo:1/new")])
    assert [entry.reference for entry in after] == ["demo:1", "demo:1/new", "other:1", "other:1/x"]


def test_two_who_record_at_once_both_find_their_bundle_listed(store: Store) -> None:
    threads = [threading.Thread(target=store.record, args=([bundle_root(f"b{number}:1")],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.bundles()) == 8


def test_a_lock_that_is_held_says_by_whom(tmp_path: Path) -> None:
    with (
        holding(tmp_path / "lock", "the thing"),
        pytest.raises(Held, match=f"process {os.getpid()} on "),
        holding(tmp_path / "lock", "the thing", patience=0),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_dead_owners_lock_is_taken_over(tmp_path: Path) -> None:
    me = Owner.me()
    dead = Owner(me.host, me.machine, "an earlier boot", 1, "1")
    (tmp_path / "lock").write_text(json.dumps(dead.to_json()))
    with holding(tmp_path / "lock", "the thing", patience=0):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_lock_file_is_not_taken_for_a_dead_owner(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("")
    with pytest.raises(Held), holding(tmp_path / "lock", "the thing", patience=0):
        pass


def test_a_bundles_closure_is_every_blob_once_with_its_place_in_it(store: Store) -> None:
    config, layer = store.put(b"config", "c"), store.put(b"layer", "l")
    manifest = store.put(
        json.dumps({"config": config.to_json(), "layers": [layer.to_json(), layer.to_json()]}).encode(),
        "application/vnd.oci.image.manifest.v1+json",
    )
    titled = manifest.to_json() | {"annotations": {"org.opencontainers.image.title": "image train"}}
    root = store.put(json.dumps({"manifests": [titled]}).encode(), OCI_INDEX)
    members = closure(store, root)
    assert [member.blob.digest for member in members] == [root.digest, manifest.digest, config.digest, layer.digest]
    assert [member.label for member in members][1:] == ["image train", "image train: config", "image train: layer 1"]


def test_an_index_that_nests_without_end_is_refused(store: Store) -> None:
    inner = store.put(b'{"manifests":[]}', OCI_INDEX)
    for _ in range(8):
        inner = store.put(json.dumps({"manifests": [inner.to_json()]}).encode(), OCI_INDEX)
    with pytest.raises(IntegrityFailed):
        closure(store, inner)


def test_a_layer_of_unknown_digest_leaves_nothing_when_it_fails(store: Store) -> None:
    def interrupted() -> None:
        with Ingest(store) as blob:
            blob.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(store.partial.iterdir()) == []
    with Ingest(store) as blob:
        blob.write(b"whole")
        assert store.has(blob.commit("x"))


def test_a_model_is_served_from_the_blobs_themselves_not_from_a_copy(store: Store, tmp_path: Path) -> None:
    blob = store.put(b"weights", "x")
    files = [
        LockedFile("model.safetensors", blob.digest, blob.size),
        LockedFile("sub/copy.bin", blob.digest, blob.size),
    ]
    directory = tmp_path / "models" / "base"
    assert materialise(store, files, directory) == 2
    assert (directory / "sub/copy.bin").samefile(store.path(blob.digest))
    assert materialise(store, files, directory) == 0


def test_a_file_that_the_new_bundle_does_not_have_is_not_left_for_the_container(store: Store, tmp_path: Path) -> None:
    blob = store.put(b"weights", "x")
    directory = tmp_path / "base"
    materialise(store, [LockedFile("old.bin", blob.digest, blob.size)], directory)
    materialise(store, [LockedFile("new.bin", blob.digest, blob.size)], directory)
    assert [path.name for path in directory.iterdir()] == ["new.bin"]


def test_where_links_are_not_to_be_had_the_file_is_copied_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    blob = store.put(b"weights", "x")
    monkeypatch.setattr(os, "link", refuse)
    files = [LockedFile("model.bin", blob.digest, blob.size)]
    assert materialise(store, files, tmp_path / "m") == 1
    assert (tmp_path / "m/model.bin").read_bytes() == b"weights"
    assert materialise(store, files, tmp_path / "m") == 0
