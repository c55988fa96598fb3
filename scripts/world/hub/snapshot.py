"""What a repository of the hub holds now: files with the hashes that the hub states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LFS_SUFFIXES = (".safetensors", ".bin", ".gguf", ".pt", ".parquet", ".arrow")
_LFS_NAMES = ("tokenizer.json",)
_LFS_SIZE = 10 << 20  # the hub refuses larger files outside LFS


@dataclass(frozen=True)
class HubFile:
    """`sha256` is stated for LFS files only, as on the hub; `oid` is the git blob's name."""

    path: str
    source: Path
    size: int
    oid: str
    sha256: str | None
    pointer_size: int

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid

    def digest(self) -> str:
        """The SHA-256 of any file, as ModelScope states it."""
        return self.sha256 or hashlib.sha256(self.source.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Snapshot:
    """A repository at its only commit, whose id follows from the contents."""

    repo: str
    commit: str
    files: tuple[HubFile, ...]

    def file(self, path: str) -> HubFile | None:
        return next((file for file in self.files if file.path == path), None)

    def below(self, folder: str, *, recursive: bool) -> Iterator[dict[str, object]]:
        """The entries of the tree answer: folders first met, then files."""
        prefix = f"{folder}/" if folder else ""
        folders = set()
        for file in self.files:
            if not file.path.startswith(prefix):
                continue
            parents = file.path.removeprefix(prefix).split("/")[:-1]
            for depth in range(1, len(parents) + 1 if recursive else min(len(parents), 1) + 1):
                path = prefix + "/".join(parents[:depth])
                if path not in folders:
                    folders.add(path)
                    yield {"type": "directory", "path": path, "size": 0, "oid": git_oid(b"tree", path.encode())}
            if recursive or not parents:
                yield tree_entry(file)


class Shelf:
    """Repositories under a directory: ORG/NAME are models, datasets/ORG/NAME are data sets."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._hashed: dict[Path, tuple[tuple[int, int], HubFile]] = {}

    def snapshot(self, kind: str, repo: str) -> Snapshot | None:
        """The repository now; None when there is none. Unchanged files are not hashed again."""
        top = self.directory / "datasets" / repo if kind == "datasets" else self.directory / repo
        if not top.is_dir():
            return None
        paths = sorted(path for path in top.rglob("*") if path.is_file())
        files = tuple(self._file(top, path) for path in paths)
        listing = json.dumps([(file.path, file.oid) for file in files]).encode()
        return Snapshot(repo, git_oid(b"commit", listing), files)

    def by_sha256(self, sha256: str) -> HubFile | None:
        """An LFS object that some snapshot has stated."""
        return next((file for _, file in self._hashed.copy().values() if file.sha256 == sha256), None)

    def _file(self, top: Path, path: Path) -> HubFile:
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        known = self._hashed.get(path)
        if known is None or known[0] != stamp:
            known = (stamp, _read(path.relative_to(top).as_posix(), path))
            self._hashed[path] = known
        return known[1]


def git_oid(kind: bytes, content: bytes) -> str:
    """The name that git gives an object (git-hash-object(1))."""
    return hashlib.sha1(b"%s %d\0" % (kind, len(content)) + content).hexdigest()


def tree_entry(file: HubFile) -> dict[str, object]:
    """A file as the tree and paths-info answers state it."""
    entry: dict[str, object] = {"type": "file", "path": file.path, "size": file.size, "oid": file.oid}
    if file.sha256:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return entry


def sibling(file: HubFile) -> dict[str, object]:
    """A file as the info answer states it with `blobs=true`."""
    entry: dict[str, object] = {"rfilename": file.path, "size": file.size, "blobId": file.oid}
    if file.sha256:
        entry["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return entry


def _read(name: str, path: Path) -> HubFile:
    size = path.stat().st_size
    if path.name in _LFS_NAMES or path.suffix in _LFS_SUFFIXES or size > _LFS_SIZE:
        with path.open("rb") as stream:
            digest = hashlib.sha256()
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        sha256 = digest.hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        return HubFile(name, path, size, git_oid(b"blob", pointer), sha256, len(pointer))
    return HubFile(name, path, size, git_oid(b"blob", path.read_bytes()), None, 0)
