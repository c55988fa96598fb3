"""Models and datasets from this machine's own disk: hashed where they lie, then copied into the store."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed, ManifestInvalid
from bundler.core.events import BytesMoved, Events, Silence, StepEnded, StepStarted, Warned
from bundler.core.media_types import RAW
from bundler.core.size import format_size
from bundler.manifest.lock import LockedFile, LockedFiles, UnsafePath, checked_path
from bundler.sources.modelpack import lock_files, put_manifest
from bundler.sources.source import CHUNK, Download, Stream
from bundler.store.layout import Store

STEP = "hash"


class UnusableFile(ManifestInvalid):
    """A path of the manifest that can't be read, or is not a file."""


class FileChanged(IntegrityFailed):
    """A file that is shorter or longer than when it was locked."""

    def __init__(self, path: Path, size: int, locked: int) -> None:
        super().__init__(
            f"{path} changed after it was locked",
            because=f"it has {size} bytes, and had {locked}",
            hint="bundle lock MANIFEST   # takes it as it is now",
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The files below a directory by their path in it, and the hidden names that were passed over."""

    files: Mapping[str, Path]
    hidden: tuple[str, ...] = ()


def resolve(
    name: str, path: Path, store: Store, events: Events | None = None, *, dataset: bool = False, source: str = ""
) -> LockedFiles:
    """Pin a file or a directory by hashing it, on all cores. Puts its manifest into the store, not yet its files.

    `source` is how the lock calls it: as the manifest does, so that the same files give the same lock elsewhere.
    Symbolic links to files are followed, as Hugging Face's cache is made of them. Raises UnusableFile.
    """
    events = events or Silence()
    found = find(path)
    if found.hidden:
        events.emit(Warned(f"{path}: hidden, left out: {', '.join(found.hidden)}"))
    total = sum(_size(file) for file in found.files.values())
    events.emit(StepStarted(STEP, total))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        locked = list(pool.map(lambda item: _hashed(item[0], item[1], events), found.files.items()))
    events.emit(StepEnded(STEP, f"{path}: {len(locked)} files, {format_size(total)}"))
    files = lock_files(name, source or str(path), locked, dataset=dataset)
    put_manifest(files, store)
    return files


def downloads(files: LockedFiles, path: Path | None = None) -> list[Download]:
    """The files of a locked model or dataset, read from `path`, or from where they were locked."""
    root = path or Path(files.source)
    places = {file.digest: root if root.is_file() else root / file.path for file in files.files}
    source = LocalFiles(root, places)
    return [
        Download(Descriptor(RAW, file.digest, file.size), f"{files.name}: {file.path}", source) for file in files.files
    ]


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Files of this machine, as a BlobSource."""

    root: Path
    places: Mapping[Digest, Path]

    @property
    def name(self) -> str:
        """The directory."""
        return str(self.root)

    @property
    def suspicion(self) -> str:
        """Why its bytes would be wrong."""
        return "The file changed after it was locked, or while it was read"

    @property
    def remedy(self) -> str:
        """What to do then."""
        return "bundle lock MANIFEST   # takes it as it is now"

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read a file. Raises UnusableFile, FileChanged."""
        path = self.places[blob.digest]
        size = _size(path)
        if size != blob.size:
            raise FileChanged(path, size, blob.size)
        try:
            file = path.open("rb", buffering=0)
            file.seek(offset)
        except OSError as error:
            raise _unreadable(path, error) from error
        return _FileStream(path, file, offset, size)


class _FileStream:
    """A file from an offset on."""

    def __init__(self, path: Path, file: BinaryIO, offset: int, size: int) -> None:
        self.offset = offset
        self._path = path
        self._file = file
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        position = self.offset
        try:
            while chunk := self._file.read(CHUNK):
                position += len(chunk)
                yield chunk
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if position < self._size:
            raise FileChanged(self._path, position, self._size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def abort(self) -> None:
        """Nothing to wake: a disk answers."""


def find(path: Path) -> Found:
    """The regular files at or below a path, in order. Raises UnusableFile for what is not one, or not there."""
    if path.is_file():
        return Found({_checked(path.name, path): path})
    if not path.is_dir():
        raise _unreadable(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    files: dict[str, Path] = {}
    hidden: list[str] = []
    for directory, folders, names in os.walk(path, onerror=_stop):
        here = Path(directory)
        hidden += [str((here / name).relative_to(path)) for name in (*folders, *names) if name.startswith(".")]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if (here / name).is_symlink():
                raise UnusableFile(
                    f"{here / name} is a symbolic link to a directory",
                    because="it may lead outside, or in a circle",
                    hint="put the directory itself there, or name it in the manifest",
                )
        for name in names:
            if not name.startswith("."):
                file = here / name
                files[_checked(file.relative_to(path).as_posix(), file)] = file
    if not files:
        raise UnusableFile(f"{path} has no files", because="an empty directory, or only hidden files")
    return Found(dict(sorted(files.items())), tuple(sorted(hidden)))


def _checked(relative: str, file: Path) -> str:
    if not file.is_file():
        problem = "a symbolic link to nothing" if file.is_symlink() else "neither a file nor a directory"
        raise UnusableFile(f"{file} can't be carried", because=f"it is {problem}", hint=f"ls -l {file}")
    try:
        return checked_path(relative)
    except UnsafePath as error:
        raise UnusableFile(
            f"the name {relative!r} can't be carried",
            because="it has control characters, backslashes or bytes that are not UTF-8",
            hint="rename the file",
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _hashed(relative: str, path: Path, events: Events) -> LockedFile:
    digest = hashlib.sha256()
    size = 0
    view = memoryview(bytearray(CHUNK))
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(view):
                digest.update(view[:count])
                size += count
                events.emit(BytesMoved(STEP, relative, count))
    except OSError as error:
        raise _unreadable(path, error) from error
    return LockedFile(relative, Digest(digest.hexdigest()), size)


def _stop(error: OSError) -> None:
    raise _unreadable(Path(str(error.filename)), error)


def _unreadable(path: Path, error: OSError) -> UnusableFile:
    return UnusableFile(f"{path} can't be read", because=(error.strerror or str(error)).lower(), hint=f"ls -ld {path}")
