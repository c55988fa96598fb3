"""What the store has already of what a manifest's lock pins: for a plan, which fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.manifest.lock import Lock, LockedFiles, lock_path
from bundler.store.layout import Store


@dataclass(frozen=True, slots=True)
class AtHand:
    """Files of pinned models and datasets, by name and path. Empty where there is no lock, or no store."""

    models: tuple[LockedFiles, ...] = ()
    datasets: tuple[LockedFiles, ...] = ()
    store: Store | None = None

    @classmethod
    def of(cls, manifest: Path, store: Path) -> AtHand:
        """Read the lock beside a manifest. Raises MalformedJson."""
        target = lock_path(manifest)
        if not target.is_file() or not (store / "oci-layout").is_file():
            return cls()
        lock = Lock.parse(target.read_bytes(), str(target))
        return cls(lock.models, lock.datasets, Store.open(store))

    def model_file(self, name: str, path: str) -> Path | None:
        """A file of a model."""
        return self._file(self.models, name, path)

    def dataset_file(self, name: str, path: str) -> Path | None:
        """A file of a dataset."""
        return self._file(self.datasets, name, path)

    def _file(self, among: Sequence[LockedFiles], name: str, path: str) -> Path | None:
        digests = [file.digest for one in among if one.name == name for file in one.files if file.path == path]
        if not digests or self.store is None:
            return None
        found = self.store.path(digests[0])
        return found if found.is_file() else None
