"""Writing one blob: hashed while written, resumed where a dead process stopped, named only when it is whole."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bundler.core.digest import Digest
from bundler.core.durable import WriteBehind, explained, publish
from bundler.core.errors import IntegrityFailed
from bundler.core.owner import Owner

CHUNK = 1 << 20
_PARTIAL = re.compile(
    r"(?:(?:split-)?[0-9a-f]{64}|ranges-[0-9a-f]{64}-[\w-]+|ingest-[0-9a-f]{16}|agent|index|new|probe)"
    r"\.(\w{0,8}-[\w-]{0,8}?-\d+-\d*)(?:\.\d+)?"
)
_KEY = re.compile(r"(\w{0,8})-([\w-]{0,8}?)-(\d+)-(\d*)")
_writing: set[Path] = set()
_writing_lock = threading.Lock()


class WrongBytes(IntegrityFailed):
    """What arrived is not what was asked for."""

    def __init__(self, digest: Digest, problem: str) -> None:
        super().__init__(
            f"the bytes received for {digest} are wrong",
            because=problem,
            hint="run the same command again; if it stays so, the source changed: bundle lock MANIFEST",
        )
        self.digest = digest


class BlobWriter:
    """Writes one blob of known digest and size; a context manager.

    The partial file carries its owner in its name. A dead owner's is taken over by renaming it, which one
    process wins; a living owner's is left alone and the blob is written twice, the same both times. So two
    builds in one store need no lock. Two writers of one process have a file each, too.
    """

    def __init__(self, partial: Path, final: Path, digest: Digest, size: int) -> None:
        self._final = final
        self._partial = partial
        self._digest = digest
        self._size = size
        self._hash = hashlib.sha256()
        self.offset = 0

    def __enter__(self) -> BlobWriter:
        self._path = _claim(self._partial / f"{self._digest.hex}.{Owner.me().key}")
        try:
            with explained(self._path):
                _adopt(self._path, self._digest)
                self._file = open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
                self._rehash()
                self._behind = WriteBehind(self._file.fileno(), self.offset)
        except BaseException:
            _release(self._path)
            raise
        return self

    def _rehash(self) -> None:
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)
        if self.offset > self._size:
            self.restart()

    def restart(self) -> None:
        """Forget what has been written: the source begins again at byte 0."""
        self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.offset = 0

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises WrongBytes past the blob's size, NoSpace."""
        if self.offset + len(chunk) > self._size:
            raise self._wrong(f"more than the expected {self._size} bytes came")
        with explained(self._path):
            view = memoryview(chunk)
            at = self.offset
            while view:  # at its own place: should another process write to this file too, it writes the same there
                written = os.pwrite(self._file.fileno(), view, at)
                view, at = view[written:], at + written
            self._behind.reached(at)
        self._hash.update(chunk)
        self.offset += len(chunk)

    def commit(self) -> None:
        """Give the blob its name. Raises WrongBytes, and then forgets what has been written."""
        if self.offset != self._size:
            raise WrongBytes(self._digest, f"{self.offset} bytes came, {self._size} were expected")
        if self._hash.hexdigest() != self._digest.hex:
            raise self._wrong(f"their digest is sha256:{self._hash.hexdigest()}")
        with explained(self._final):
            length = os.fstat(self._file.fileno()).st_size
            if length != self._size:
                raise self._wrong(f"the file has {length} bytes: another process wrote to it")
            publish(self._path, self._final, mode=0o444)

    def _wrong(self, problem: str) -> WrongBytes:
        self.restart()
        return WrongBytes(self._digest, problem)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        _release(self._path)


def begun(partial: Path, digest: Digest) -> int:
    """Bytes of a blob that a writer would find and go on with."""
    mine = partial / f"{digest.hex}.{Owner.me().key}"
    sizes = [0]
    for found in partial.glob(f"{digest.hex}.*"):
        if found == mine or abandoned(found):
            with suppress(FileNotFoundError):
                sizes.append(found.stat().st_size)
    return max(sizes)


def _claim(path: Path) -> Path:
    """A name that no other writer of this process has: this one, or with a number."""
    with _writing_lock:
        number = 1
        free = path
        while free in _writing:
            number += 1
            free = path.with_name(f"{path.name}.{number}")
        _writing.add(free)
        return free


def _release(path: Path) -> None:
    with _writing_lock:
        _writing.discard(path)


def _adopt(mine: Path, digest: Digest) -> None:
    """Take over the longest that dead writers left, unless ours is as long; the rest is of no use to anyone."""
    longest = mine.stat().st_size if mine.exists() else 0
    for found in mine.parent.glob(f"{digest.hex}.*"):
        if found == mine or not abandoned(found):
            continue
        with suppress(FileNotFoundError):  # another process took it over first
            size = found.stat().st_size
            if size > longest:
                os.rename(found, mine)
                longest = size
            else:
                found.unlink()


def abandoned(path: Path) -> bool:
    """Whether a file in flight belongs to a process that is gone."""
    owner = owner_of(path)
    return owner is not None and owner.dead


def owner_of(path: Path) -> Owner | None:
    """Whose a file in flight is, as far as its name says; None where the name is not of a file in flight.

    Those with words for names are the far end's of a push (transport/remote.sh).
    """
    match = _PARTIAL.fullmatch(path.name)
    return _owner(match[1]) if match else None


def gone(key: str) -> bool:
    """Whether the process of this key (Owner.key) is certainly gone."""
    owner = _owner(key)
    return owner is not None and owner.dead


def _owner(key: str) -> Owner | None:
    match = _KEY.fullmatch(key)
    if not match:
        return None
    me = Owner.me()
    machine, boot, pid, start = match.groups()
    if machine != me.key.partition("-")[0]:
        return Owner("", machine, boot, int(pid), start)
    return Owner(me.host, me.machine, me.boot if boot == me.boot[:8] else "", int(pid), start)
