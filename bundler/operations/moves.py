"""What moved between two locks, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bundler.core.records import to_json
from bundler.manifest.lock import BuildRecord, Lock, LockedFiles, LockedImage


@dataclass(frozen=True, slots=True)
class Move:
    """One thing that the manifest resolves to differently: what, from what, to what."""

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} -> {self.after}"


def moves(before: Lock, after: Lock) -> tuple[Move, ...]:
    """All that moved: artifacts by name and digest, files of models and datasets, and the rest by key."""
    found: list[Move] = []
    if before.agent.blob.digest != after.agent.blob.digest:
        old, new = before.agent, after.agent
        found.append(Move("agent", f"{old.version} {old.blob.digest.short}", f"{new.version} {new.blob.digest.short}"))
    found += _artifacts("image", _by_name(before.images), _by_name(after.images))
    found += _artifacts("model", _by_name(before.models), _by_name(after.models))
    found += _artifacts("dataset", _by_name(before.datasets), _by_name(after.datasets))
    artifacts = {"agent", "images", "models", "datasets"}
    old_rest, new_rest = (_leaves({k: v for k, v in to_json(x).items() if k not in artifacts}) for x in (before, after))
    for key in sorted(old_rest.keys() | new_rest.keys()):
        if old_rest.get(key) != new_rest.get(key):
            found.append(Move(key, _short(old_rest.get(key)), _short(new_rest.get(key))))
    return tuple(found)


Artifact = LockedImage | LockedFiles


def _by_name(artifacts: Iterable[Artifact]) -> dict[str, Artifact]:
    return {artifact.name: artifact for artifact in artifacts}


def _artifacts(kind: str, before: Mapping[str, Artifact], after: Mapping[str, Artifact]) -> list[Move]:
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            found.append(Move(f"{kind} {name}", _pin(old), _pin(new)))
        elif isinstance(old, LockedFiles) and isinstance(new, LockedFiles) and old.manifest != new.manifest:
            found += _files(f"{kind} {name}", old, new)
        elif isinstance(old, LockedFiles) and isinstance(new, LockedFiles):
            if old != new:  # the same bytes, from other places
                found.append(Move(f"{kind} {name}: from", _places(old), _places(new)))
        elif old != new:
            found.append(Move(f"{kind} {name} ({new.source})", _pin(old), _pin(new)))
            if isinstance(old, LockedImage) and isinstance(new, LockedImage) and old.build and new.build:
                found += build_moves(f"{kind} {name}", old.build, new.build)
                found += _entries(f"{kind} {name}: package", old.build.packages, new.build.packages)
    return found


def build_moves(what: str, old: BuildRecord, new: BuildRecord) -> list[Move]:
    """Why an image has to be built anew: its base, arguments, files or Dockerfile are others than before.

    Arguments stand in the Dockerfile's text, so a text that differs is named only where no argument does.
    """
    found = [Move(f"{what}: base", old.base, new.base)] if old.base != new.base else []
    arguments = _entries(f"{what}: argument", old.arguments, new.arguments)
    files = _entries(f"{what}: file", *({path: at.short for path, at in b.files.items()} for b in (old, new)))
    found += arguments + files
    if old.dockerfile != new.dockerfile and not arguments:
        found.append(Move(f"{what}: Dockerfile", old.dockerfile.short, new.dockerfile.short))
    return found


def _entries(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[Move]:
    return [
        Move(f"{what} {key}", old.get(key, "absent"), new.get(key, "absent"))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _files(what: str, old: LockedFiles, new: LockedFiles) -> list[Move]:
    found = []
    if old.revision != new.revision:
        found.append(Move(f"{what}: revision", old.revision, new.revision))
    before = {file.path: file.digest.short for file in old.files}
    after = {file.path: file.digest.short for file in new.files}
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            found.append(Move(f"{what}: {path}", before.get(path, "absent"), after.get(path, "absent")))
    return found or [Move(what, _pin(old), _pin(new))]


def _places(files: LockedFiles) -> str:
    urls = (file.url for file in files.files if file.url)
    return ", ".join((*(f"{origin.source} {origin.revision[:12]}".strip() for origin in files.origins), *urls))


def _pin(artifact: Artifact | None) -> str:
    return artifact.manifest.digest.short if artifact else "absent"


def _leaves(value: object, key: str = "") -> dict[str, object]:
    """A nested document as `workloads[0].port -> 8000`."""
    if isinstance(value, dict) and value:
        nested = [(f"{key}.{name}" if key else str(name), item) for name, item in value.items()]
    elif isinstance(value, list) and value:
        nested = [(f"{key}[{position}]", item) for position, item in enumerate(value)]
    else:
        return {key: value}
    return {leaf: found for name, item in nested for leaf, found in _leaves(item, name).items()}


def _short(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 and "\n" not in text else f"{text[:57]!r}..."
