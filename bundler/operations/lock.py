"""`lock`: a manifest becomes digests. What can't be pinned without bytes (small files of a hub) is fetched here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bundler import __version__
from bundler.agent.executable import executable
from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.durable import write_file
from bundler.core.errors import ManifestInvalid
from bundler.core.events import Events
from bundler.core.media_types import AGENT, RAW
from bundler.core.reference import Reference
from bundler.manifest.artifacts import (
    AnyDataset,
    DockerfileImage,
    HubModel,
    Image,
    LocalDataset,
    LocalModel,
    Model,
    UrlFile,
    UrlModel,
)
from bundler.manifest.hardware import hardware
from bundler.manifest.lock import FORMAT, GpuMemory, Lock, LockedAgent, LockedFiles, LockedImage, lock_path
from bundler.manifest.schema import Manifest
from bundler.manifest.settings import Settings
from bundler.operations.judge_data import judge_datasets, require_usable
from bundler.operations.judge_models import require_whole
from bundler.operations.moves import Move, build_moves, moves
from bundler.operations.require_fit import require_fit
from bundler.operations.token_lengths import TOKENIZER, TOKENIZER_CONFIG
from bundler.planning.datasets.tokens import LARGEST
from bundler.sources import files, images, url
from bundler.sources.dockerfile import Recipe, build_image, write_recipe
from bundler.sources.fetch import fetch
from bundler.sources.models import ModelResolver, model_downloads
from bundler.sources.remote_code import CONFIG, LIMIT
from bundler.sources.selection import Patterns
from bundler.sources.source import Download
from bundler.store.layout import Store
from bundler.store.leases import leasing
from bundler.store.space import need, require
from bundler.workloads.evaluation import evaluations
from bundler.workloads.graph import question, workloads

if TYPE_CHECKING:
    from bundler.engine.docker import DockerEngine


@dataclass(frozen=True, slots=True)
class LockResult:
    """The lock, where it lies, and what moved since the one before (nothing for a first lock).

    `unbuilt` are images that a dry run did not build: their bases stand in their places.
    """

    lock: Lock
    path: Path
    moved: tuple[Move, ...]
    first: bool
    unbuilt: tuple[str, ...] = ()


class LockMoved(ManifestInvalid):
    """`--locked`, and the lock would change."""

    def __init__(self, path: Path, moved: tuple[Move, ...]) -> None:
        super().__init__(
            f"{path} no longer says what the manifest resolves to:\n  " + "\n  ".join(map(str, moved)),
            because="--locked forbids to change it",
            hint="bundle lock MANIFEST   # takes the changes; then build without --locked, or again with it",
        )
        self.moved = moved


class BuildDue(ManifestInvalid):
    """`--locked`, and an image would have to be built anew."""

    def __init__(self, name: str, dockerfile: str, reasons: list[Move]) -> None:
        unnamed = f"its recipe ({dockerfile}, its files, its base) is not the one that the lock pins"
        super().__init__(
            f"image {name} would have to be built anew",
            because="; ".join(map(str, reasons)) or unnamed,
            hint="bundle lock MANIFEST   # builds it; then build again",
        )


class NoLock(ManifestInvalid):
    """`--locked`, and there is no lock."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} does not exist", because="--locked needs one", hint="bundle lock MANIFEST")


def lock(
    manifest: Manifest,
    path: Path,
    store: Store,
    events: Events,
    *,
    locked: bool = False,
    dry: bool = False,
    settings: Settings | None = None,
    accepted: Sequence[str] = (),
) -> LockResult:
    """Resolve a manifest read from `path`, compare with the lock that is there, and write it.

    With `locked` it is not written, and may not differ; with `dry` it is not written, and nothing is built. `accepted`
    are checks that may refuse.

    Raises ManifestInvalid, DataRefused, ModelLacksFiles, DoesNotFit, LockMoved, NetworkFailed, EngineFailed, NoSpace.
    """
    target = lock_path(path)
    before = Lock.parse(target.read_bytes(), str(target)) if target.is_file() else None
    if locked and before is None:
        raise NoLock(target)
    require_usable(manifest, path, judge_datasets(manifest, events), accepted)
    resolver = _Resolver(store, events, before, build=not locked, dry=dry, settings=settings or Settings())
    with leasing(store, "lock"):
        fresh = resolver.resolve(manifest, path, accepted)
    moved = moves(before, fresh) if before else ()
    if moved and locked:
        raise LockMoved(target, moved)
    if before != fresh and not dry:
        write_file(target, fresh.encode())
    return LockResult(fresh, target, moved, first=before is None, unbuilt=tuple(resolver.unbuilt))


@dataclass(frozen=True, slots=True)
class _Resolver:
    store: Store
    events: Events
    before: Lock | None
    build: bool
    dry: bool
    settings: Settings
    unbuilt: list[str] = field(default_factory=list)
    known: list[Descriptor] = field(default_factory=list)

    def resolve(self, manifest: Manifest, path: Path, accepted: Sequence[str]) -> Lock:
        agent = self.store.put(executable(), AGENT)
        # What is built comes last: by then all else is known, and it is refused at once where it does not fit.
        models = tuple(self._model(name, model) for name, model in sorted(manifest.models.items()))
        require_whole(manifest, path, models, self.events, accepted)
        datasets = tuple(self._dataset(name, dataset) for name, dataset in sorted(manifest.datasets.items()))
        memory: tuple[GpuMemory, ...] = ()
        self._bring_configs(manifest, models)
        if manifest.target.count:
            memory = require_fit(manifest, path, models, self.store, self.events, accepted)
        for artifact in (*models, *datasets):
            self.known.extend(Descriptor(RAW, file.digest, file.size) for file in artifact.files)
        built_last = sorted(manifest.images.items(), key=lambda item: isinstance(item[1], DockerfileImage))
        resolved = [self._image(name, image) for name, image in built_last]
        return Lock(
            format=FORMAT,
            name=manifest.name,
            version=manifest.version,
            agent=LockedAgent(__version__, agent),
            hardware=hardware(manifest.target),
            images=tuple(sorted(resolved, key=lambda image: image.name)),
            models=models,
            datasets=datasets,
            workloads=workloads(manifest),
            question=question(manifest),
            evaluations=evaluations(manifest),
            memory=memory,
        )

    def _image(self, name: str, image: Image) -> LockedImage:
        if not isinstance(image, DockerfileImage):
            return self._pinned(name, image.registry, plain_http=image.plain_http)
        base = self._pinned(name, image.base, plain_http=image.plain_http)
        pinned = image.base.pinned(base.manifest.digest)
        paths = {key: path.resolved for key, path in image.files.items()}
        recipe = write_recipe(
            image.dockerfile.resolved, str(pinned), image.arguments, paths, source=image.dockerfile.written
        )
        built = self._built(name, recipe)
        if built is None and not self.build:
            raise BuildDue(name, image.dockerfile.written, self._reasons(name, recipe))
        if built is None and self.dry:
            self.unbuilt.append(name)
            return base
        return built or self._build(name, recipe, base, plain_http=image.plain_http)

    def _reasons(self, name: str, recipe: Recipe) -> list[Move]:
        for image in self.before.images if self.before else ():
            if image.name == name and image.build:
                return build_moves(f"image {name}", image.build, recipe.record)
        return []

    def _pinned(self, name: str, reference: Reference, *, plain_http: bool = False) -> LockedImage:
        mirrors = self.settings.mirrors
        image = images.resolve_image(
            name, reference, self.store, plain_http=plain_http, mirrors=mirrors, events=self.events
        )
        self.known.extend(image.blobs)
        return image

    def _built(self, name: str, recipe: Recipe) -> LockedImage | None:
        """What the same recipe gave before, as long as the store still has it."""
        for image in self.before.images if self.before else ():
            if image.name == name and image.recipe == recipe.digest:
                whole = not self.store.missing((image.manifest, *image.blobs))
                return image if whole or not self.build else None
        return None

    def _build(self, name: str, recipe: Recipe, base: LockedImage, *, plain_http: bool) -> LockedImage:
        require(self.store, need(self.store, self.known))
        mirrors = self.settings.mirrors
        downloads = images.image_downloads(base, plain_http=plain_http, mirrors=mirrors, events=self.events)
        fetch(downloads, self.store, self.events, self.settings.streams)
        return build_image(name, recipe, base, _engine(), self.store, self.events)

    def _bring_configs(self, manifest: Manifest, models: Sequence[LockedFiles]) -> None:
        """Fetch what the plan reads: each model's config.json, and the tokenizer of the one that is trained. A hub
        that states SHA-256 has not sent them yet.
        """
        missing: list[Download] = []
        for model in models:
            where = manifest.models[model.name]
            read = {CONFIG: LIMIT} if manifest.target.count else {}
            if manifest.train and manifest.train.model == model.name:
                read |= {TOKENIZER: LARGEST, TOKENIZER_CONFIG: LIMIT}
            wanted = tuple(file for file in model.files if file.size <= read.get(file.path, -1))
            if not isinstance(where, LocalModel):
                downloads = url.downloads if isinstance(where, UrlModel) else model_downloads
                missing += [one for one in downloads(replace(model, files=wanted)) if not self.store.has(one.blob)]
        if missing:
            fetch(missing, self.store, self.events, self.settings.streams)

    def _model(self, name: str, model: Model) -> LockedFiles:
        if isinstance(model, HubModel):
            resolver = ModelResolver.over(self.store, self.events, self.before.models if self.before else ())
            return resolver.resolve(name, model.origins, Patterns(model.include, model.exclude, model.allow))
        if isinstance(model, UrlModel):
            wanted = {path: _wanted(file) for path, file in model.files.items()}
            return url.resolve(name, wanted, self.store, self.events)
        return files.resolve(name, model.path.resolved, self.store, self.events, source=model.path.written)

    def _dataset(self, name: str, dataset: AnyDataset) -> LockedFiles:
        if not isinstance(dataset, LocalDataset):
            return url.resolve(name, {dataset.file_name: _wanted(dataset)}, self.store, self.events, dataset=True)
        path = dataset.path
        return files.resolve(name, path.resolved, self.store, self.events, dataset=True, source=path.written)


def _wanted(file: UrlFile) -> url.Wanted:
    return url.Wanted(file.url, Digest(file.sha256))


@cache
def _engine() -> DockerEngine:
    """The engine, when one is needed: importing the docker SDK takes 0.2 s."""
    from bundler.engine.build import require_builder
    from bundler.engine.docker import DockerEngine

    return require_builder(DockerEngine.connect())
