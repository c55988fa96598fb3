"""A damaged document hides no other damage: whoever mends a store behind the gap gets the whole list at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundler.core.errors import IntegrityFailed
from bundler.core.events import Silence
from bundler.operations.verify import BundleDamaged, verify_all
from bundler.store.closure import closure
from bundler.store.layout import Store
from tests.bundles import make_bundle


def spoil(blob: Path) -> None:
    blob.chmod(0o644)
    blob.write_bytes(b"x" + blob.read_bytes()[1:])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.mark.parametrize("document", ["the bundle's root", "lock", "model base"])
def test_a_damaged_document_of_one_bundle_is_named_beside_a_bad_blob_of_another(store: Store, document: str) -> None:
    one, two = make_bundle(store, name="one:1", seed=1), make_bundle(store, name="two:1", seed=2)
    bad = next(member for member in closure(store, one.root) if member.label == document)
    weights = next(member for member in closure(store, two.root) if "safetensors" in member.label)
    for member in (bad, weights):
        spoil(store.path(member.blob.digest))
    with pytest.raises(BundleDamaged) as damaged:
        verify_all(store, store.bundles(), Silence())
    named = {blob.member.blob.digest for blob in damaged.value.bad}
    assert named == {bad.blob.digest, weights.blob.digest}
    assert f"one:1: {document}" in damaged.value.what


def test_a_root_that_is_gone_is_named_too(store: Store) -> None:
    bundle = make_bundle(store)
    store.path(bundle.root.digest).unlink()
    with pytest.raises(BundleDamaged, match="it is missing"):
        verify_all(store, (bundle,), Silence())


def test_a_sound_store_is_whole(store: Store) -> None:
    make_bundle(store)
    assert verify_all(store, store.bundles(), Silence()).bad == ()


def test_what_reads_well_and_makes_no_sense_is_still_refused(store: Store) -> None:
    bundle = make_bundle(store)
    nonsense = store.put(b"{}", bundle.root.media_type)
    with pytest.raises(IntegrityFailed, match="can't be read"):
        verify_all(store, (replace(bundle, root=nonsense),), Silence())
