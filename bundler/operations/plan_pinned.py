"""What of a lock still is what the manifest beside it names: a plan of another model's sizes would be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.engine.load import unpacked_size
from bundler.manifest.artifacts import AnyDataset, DockerfileImage, HubModel, Image, LocalModel, Model, UrlDataset
from bundler.manifest.lock import Lock, LockedFiles, LockedImage, lock_path
from bundler.manifest.schema import Manifest
from bundler.store.layout import Store


@dataclass(frozen=True, slots=True)
class Pinned:
    """Artifacts of a lock, by name; `store` has them as far as it has. All empty where there is no lock."""

    images: Mapping[str, LockedImage]
    models: Mapping[str, LockedFiles]
    datasets: Mapping[str, LockedFiles]
    agent: Descriptor | None = None
    store: Store | None = None

    @classmethod
    def none(cls) -> Pinned:
        return cls({}, {}, {})

    @classmethod
    def of(cls, manifest: Manifest, lock: Lock, store: Store | None = None) -> Pinned:
        """Those artifacts of a lock that come from where the manifest says now."""
        images, models, datasets = manifest.images, manifest.models, manifest.datasets
        return cls(
            {one.name: one for one in lock.images if one.name in images and _same_image(images[one.name], one)},
            {one.name: one for one in lock.models if one.name in models and _same_model(models[one.name], one)},
            {one.name: one for one in lock.datasets if one.name in datasets and _same_data(datasets[one.name], one)},
            lock.agent.blob,
            store,
        )

    @classmethod
    def beside(cls, manifest: Manifest, path: Path, store: Path) -> Pinned:
        """By the lock beside a manifest that was read from `path`. Raises MalformedJson."""
        target = lock_path(path)
        if not target.is_file():
            return cls.none()
        opened = Store.open(store) if (store / "oci-layout").is_file() else None
        return cls.of(manifest, Lock.parse(target.read_bytes(), str(target)), opened)

    def configs(self) -> Mapping[str, Path]:
        """The config.json of each model, as far as the store has them."""
        return configs_of(tuple(self.models.values()), self.store) if self.store else {}

    def model_file(self, name: str, path: str) -> Path | None:
        """A file of a model, where the store has it."""
        return self._file(self.models.get(name), path)

    def dataset_file(self, name: str, path: str) -> Path | None:
        """A file of a dataset, where the store has it."""
        return self._file(self.datasets.get(name), path)

    def _file(self, among: LockedFiles | None, path: str) -> Path | None:
        digests = [file.digest for file in among.files if file.path == path] if among else []
        if not digests or self.store is None:
            return None
        found = self.store.path(digests[0])
        return found if found.is_file() else None

    def sizes(self) -> Mapping[str, int]:
        """Bytes of each artifact, as the parts of the disk are named. A blob that two have counts for the first."""
        seen: set[Digest] = set()
        named: list[tuple[str, LockedImage | LockedFiles]] = [
            (f"image {name}", one) for name, one in self.images.items()
        ]
        named += [(f"model {name}", one) for name, one in self.models.items()]
        named += [(f"dataset {name}", one) for name, one in self.datasets.items()]
        found = {}
        for name, artifact in named:
            blobs = dict(_blobs(artifact))
            found[name] = sum(size for digest, size in blobs.items() if digest not in seen)
            seen |= blobs.keys()
        return found

    def unpacked(self) -> Mapping[str, int]:
        """Bytes of each image's layers unpacked, where the store has them: gzip states it. Shared ones count once."""
        seen: set[Digest] = set()
        found = {}
        for name, image in self.images.items():
            layers = image.blobs[1:]
            if self.store is None or self.store.missing(layers):
                continue
            fresh = {layer.digest for layer in layers} - seen
            found[name] = sum(unpacked_size(self.store.path(digest)) for digest in fresh)
            seen |= fresh
        return found


def configs_of(models: tuple[LockedFiles, ...], store: Store) -> Mapping[str, Path]:
    """The config.json of each pinned model, as far as the store has them."""
    files = ((model.name, file) for model in models for file in model.files if file.path == "config.json")
    return {name: store.path(file.digest) for name, file in files if store.path(file.digest).is_file()}


def _same_image(image: Image, locked: LockedImage) -> bool:
    wanted = image.dockerfile.written if isinstance(image, DockerfileImage) else str(image.registry)
    return locked.source == wanted


def _same_model(model: Model, locked: LockedFiles) -> bool:
    if isinstance(model, HubModel):
        return bool({one.source for one in model.origins} & {one.source for one in locked.origins})
    if isinstance(model, LocalModel):
        return locked.source == model.path.written
    return {(path, file.sha256) for path, file in model.files.items()} == {
        (file.path, file.digest.hex) for file in locked.files
    }


def _same_data(dataset: AnyDataset, locked: LockedFiles) -> bool:
    if isinstance(dataset, UrlDataset):
        return [file.digest.hex for file in locked.files] == [dataset.sha256]
    return True  # it is read here, whatever the lock says


def _blobs(artifact: LockedImage | LockedFiles) -> Iterator[tuple[Digest, int]]:
    yield artifact.manifest.digest, artifact.manifest.size
    if isinstance(artifact, LockedImage):
        yield from ((blob.digest, blob.size) for blob in artifact.blobs)
    else:
        yield from ((file.digest, file.size) for file in artifact.files)
