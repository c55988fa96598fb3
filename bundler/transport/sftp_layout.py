"""A store's files by SFTP: the names of docs/format.md, and the rules of remote.sh as far as SFTP has words."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from bundler.core.digest import Digest
from bundler.core.owner import Owner
from bundler.core.strict_json import MalformedJson, parse_object
from bundler.store.gc import DAY
from bundler.store.layout import LAYOUT, encode_index
from bundler.store.writer import gone
from bundler.transport.far_end import LOCK_SECONDS
from bundler.transport.place import Place
from bundler.transport.remote_errors import RemoteLocked
from bundler.transport.sftp import Sftp, SftpError
from bundler.transport.sftp_packets import CREATE, EXCLUSIVE, TRUNCATE, WRITE, Attributes, Code, Malformed
from bundler.transport.wire import WireBroken

_FRESH = WRITE | CREATE | TRUNCATE
_PAUSE = 0.2
_LOCK_BYTES = 1 << 16
_HEX = re.compile(r"[0-9a-f]{64}")
_LEASE = re.compile(r"push\.([\w-]+)\.\d+")
_RANGES = re.compile(r"(?:split|ranges)-([0-9a-f]{64})[.-].+")
_BEGUN = re.compile(r"([0-9a-f]{64})\.([\w-]+)")


class SftpLayout:
    """A store in a directory of an SFTP server. All methods raise SftpError, WireBroken, Malformed, Cancelled.

    `me` owns what is in flight: this machine's process, as nothing of ours runs there.
    """

    def __init__(self, sftp: Sftp, root: str, me: Owner) -> None:
        self._sftp = sftp
        self.root = root
        self._me = me

    @property
    def index(self) -> str:
        """The index's path."""
        return f"{self.root}/index.json"

    def blob(self, digest: Digest) -> str:
        """Where a blob is, or would be."""
        return f"{self.root}/blobs/sha256/{digest.hex}"

    def partial(self, hex_: str) -> str:
        """Where this process writes a blob until it is whole."""
        return f"{self.root}/partial/{hex_}.{self._me.key}"

    def made(self) -> bool:
        """Whether there is a store."""
        return self._sftp.stat(f"{self.root}/blobs/sha256") is not None

    def above(self) -> str:
        """The directory in which the store would be made, as far as there is one."""
        path = PurePosixPath(self.root)
        return str(next((one for one in path.parents if self._sftp.stat(str(one)) is not None), "/"))

    def make(self) -> None:
        """Make the store unless it is there."""
        root = PurePosixPath(self.root)
        for directory in (*reversed(root.parents), root, root / "blobs", root / "blobs/sha256", root / "partial",
                          root / "leases"):  # fmt: skip
            if self._sftp.stat(str(directory)) is None:
                self._sftp.mkdir(str(directory))
        self._place(self.index, encode_index(()))
        self._place(f"{self.root}/oci-layout", LAYOUT)

    def holdings(self) -> tuple[dict[Digest, int], dict[Digest, int]]:
        """The blobs that are there, and those that can be gone on with, by their lengths."""
        listed = self._sftp.listing(f"{self.root}/blobs/sha256")
        whole = {Digest(name): found.size or 0 for name, found in listed.items() if _HEX.fullmatch(name)}
        begun: dict[Digest, int] = {}
        for name, found in self._sftp.listing(f"{self.root}/partial").items():
            match = _BEGUN.fullmatch(name)
            if match and self._ours(match[2]) and found.size:
                digest = Digest(match[1])
                begun[digest] = max(found.size, begun.get(digest, 0))
        return whole, {digest: size for digest, size in begun.items() if digest not in whole}

    def sweep(self, lease: str) -> None:
        """Remove what pushes through a shell left of blobs in ranges, which has holes and is no use by this door.

        As `gc` does it: what a living process may write is left alone, and one of another machine, of whose life
        nothing is known, counts as gone a day after its last byte, by the clock of the server, which a fresh `lease`
        tells.
        """
        left: dict[str, dict[str, Attributes]] = {}
        for name, found in self._sftp.listing(f"{self.root}/partial").items():
            if match := _RANGES.fullmatch(name):
                left.setdefault(match[1], {})[name] = found
        fresh = self._sftp.stat(lease) if left else None
        now = fresh.changed if fresh else None
        for files in left.values():
            if not all(self._left(name, found, now) for name, found in files.items()):
                continue
            for name in sorted(files):  # the notes go first: without them no one takes the file for more than it is
                self._sftp.remove(f"{self.root}/partial/{name}")

    @staticmethod
    def _left(name: str, found: Attributes, now: int | None) -> bool:
        quiet = now is not None and found.changed is not None and now - found.changed > DAY
        return gone(name.rpartition(".")[2]) or quiet

    def adopt(self, hex_: str) -> int:
        """Take over the longest that a process of this machine which is gone left of a blob. Returns its bytes."""
        mine = self.partial(hex_)
        there = self._sftp.stat(mine)
        longest = (there.size or 0) if there else 0
        for name, found in self._sftp.listing(f"{self.root}/partial").items():
            match = _BEGUN.fullmatch(name)
            if not match or match[1] != hex_ or match[2] == self._me.key or not gone(match[2]):
                continue
            path = f"{self.root}/partial/{name}"
            if (found.size or 0) > longest:
                self._sftp.done(self._sftp.ask_rename(path, mine), path)
                longest = found.size or 0
            else:
                self._sftp.remove(path)
        return longest

    def replace(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a small file aside, and put it in the place of what is there."""
        aside = f"{self.root}/partial/new.{self._me.key}.{threading.get_ident()}"
        self._write(aside, data, mode)
        self._sftp.done(self._sftp.ask_rename(aside, path), path)

    def place_agent(self, agent: Digest) -> None:
        """Put the agent beside the blobs, as a program. It is read back: a name and a length say too little of one."""
        path = f"{self.root}/bundle"
        found = self._sftp.stat(path)
        executable = found is not None and (found.mode or 0) & 0o100
        if executable and hashlib.sha256(b"".join(self._sftp.content(path))).hexdigest() == agent.hex:
            return
        data = b"".join(self._sftp.content(self.blob(agent)))
        if Digest.of(data) != agent:
            raise SftpError(Code.FAILURE, f"it has the digest {Digest.of(data)}", self.blob(agent))
        self.replace(path, data, 0o755)

    def lease(self, cancelled: threading.Event) -> str:
        """Keep a gc there from deleting what no index lists yet; waits for one that runs. Returns the lease's path."""
        for name in self._sftp.listing(f"{self.root}/leases"):
            match = _LEASE.fullmatch(name)
            if match and gone(match[1]):  # no gc there can know that a process of this machine has ended
                self._sftp.remove(f"{self.root}/leases/{name}")
        path = f"{self.root}/leases/push.{self._me.key}.{secrets.randbits(30)}"
        self.replace(path, self.signature())
        waited = 0.0
        while (owner := self._owner(f"{self.root}/leases/gc.lock")) and not owner.dead:
            if waited >= LOCK_SECONDS or cancelled.wait(_PAUSE):
                self._sftp.remove(path)
                raise SftpError(Code.FAILURE, f"a gc of {owner} holds the store", "leases/gc.lock")
            waited += _PAUSE
        return path

    @contextmanager
    def index_locked(self, place: Place, signature: bytes, cancelled: threading.Event) -> Iterator[None]:
        """Hold the index's lock, as bundler/store/locking.py does. Raises RemoteLocked.

        A lock with this very `signature` is held already: over a connection that broke, and could not give it back.
        """
        path = f"{self.root}/index.lock"
        self._take(path, place, signature, cancelled)
        try:
            yield
        except (WireBroken, Malformed):
            raise
        except BaseException:
            self._sftp.remove(path)
            raise
        else:
            self._sftp.remove(path)

    def _take(self, path: str, place: Place, signature: bytes, cancelled: threading.Event) -> None:
        until = time.monotonic() + LOCK_SECONDS
        while not self._place(path, signature):
            if self._lock(path) == signature:
                return
            owner = self._owner(path)
            if owner and owner.dead:
                # only who holds the lock's own lock removes it: another may have taken it over meanwhile
                self._take(f"{path}.stale", place, signature, cancelled)
                try:
                    if self._owner(path) == owner:
                        self._sftp.remove(path)
                finally:
                    self._sftp.remove(f"{path}.stale")
            elif time.monotonic() >= until or cancelled.wait(_PAUSE):
                raise RemoteLocked(place, path.rpartition("/")[2], str(owner or Owner.parse({})))

    def _owner(self, path: str) -> Owner | None:
        raw = self._lock(path)
        try:
            return None if raw is None else Owner.parse(parse_object(raw, path))
        except MalformedJson:
            return Owner.parse({})

    def _lock(self, path: str) -> bytes | None:
        try:
            return b"".join(self._sftp.content(path, _LOCK_BYTES))
        except SftpError as error:
            if error.code == Code.NO_SUCH_FILE:
                return None
            raise

    def signature(self) -> bytes:
        """What a lock or a lease of ours says: who, and since when, so that no two are the same."""
        return json.dumps({**self._me.to_json(), "since": time.time()}).encode()

    def _place(self, path: str, data: bytes) -> bool:
        """Make a file, whole when it appears; what there is of its name stays. Returns whether it was made."""
        if self._sftp.stat(path) is not None:
            return False
        aside = f"{self.root}/partial/new.{self._me.key}.{threading.get_ident()}"
        self._write(aside, data, 0o644)
        try:
            self._sftp.done(self._sftp.ask_rename_new(aside, path), path)
        except SftpError:
            self._sftp.remove(aside)
            if self._sftp.stat(path) is None:
                raise
            return False
        return True

    def _write(self, path: str, data: bytes, mode: int) -> None:
        self._sftp.remove(path)
        self._sftp.put(path, data, _FRESH | EXCLUSIVE)
        handle = self._sftp.handle(self._sftp.ask_open(path, WRITE), path)
        self._sftp.done(self._sftp.ask_mode(handle, mode), path)
        self._sftp.done(self._sftp.close_handle(handle), path)

    def _ours(self, key: str) -> bool:
        return key == self._me.key or gone(key)
