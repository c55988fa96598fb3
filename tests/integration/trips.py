"""Bundles out and in by media, as `export` and `import` do it, and what must hold where they have arrived."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bundler.core.events import Silence
from bundler.operations.export import ExportResult, export
from bundler.operations.import_volumes import ImportResult, import_volumes
from bundler.operations.verify import verify
from bundler.store.layout import BundleEntry, Store
from tests.far_host import assert_sound

SIZES = [700_000, 400_000, 90_000, 5_000, 0]
VOLUME = 600_000


def written(source: Store, bundle: BundleEntry, *places: Path, size: int | None = VOLUME) -> ExportResult:
    return export(source, bundle, places, Silence(), volume_size=size)


def taken(store: Path, *sources: Path) -> ImportResult:
    return import_volumes(sources, store, Silence())


def unpacked(place: Path, volumes: Iterable[Path]) -> Path:
    """The volumes as people without us take them: one `tar -xf` after the other, into one directory."""
    place.mkdir()
    for path in volumes:
        subprocess.run(["tar", "-xf", str(path), "-C", str(place)], check=True)
    return place


def assert_same(source: Store, bundle: BundleEntry, target: Path) -> None:
    """The same root, the same index, and every byte."""
    store = Store.open(target)
    assert store.bundles() == source.bundles()
    assert (target / "index.json").read_bytes() == (source.root / "index.json").read_bytes()
    verify(store, bundle, Silence())
    assert_sound(target)
    assert os.access(target / "bundle", os.X_OK)
    assert not (target / "parts").exists()


def assert_unlisted(target: Path) -> None:
    assert Store.open(target).bundles() == ()
    assert_sound(target)
