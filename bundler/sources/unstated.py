"""Files that no hub states a SHA-256 for: streamed into the store, hashed on the way, and named by what came out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from bundler.core.descriptor import TITLE, Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.events import BytesMoved, Events
from bundler.core.media_types import RAW
from bundler.manifest.lock import LockedFile, LockedFiles, Origin
from bundler.sources.hub import HubFiles, Offered, git_header
from bundler.sources.ranges import part_size
from bundler.sources.retry import Retries, Transient
from bundler.sources.source import Stream
from bundler.sources.widening import Widening
from bundler.store.ingest import Ingest
from bundler.store.layout import Store
from bundler.store.space import Need, require

STREAMS = 4
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_UNKNOWN = Digest("0" * 64)
"""Stands for the digest that is being found out."""


def pinned_before(path: str, size: int, origin: Origin, before: LockedFiles | None) -> LockedFile | None:
    """What the lock before says of a file at the same commit of the same repository: it can't have changed.

    None where the revision is a branch or a tag, which may move.
    """
    if not _COMMIT.fullmatch(origin.revision) or before is None or before.origins[0] != origin:
        return None
    return next((file for file in before.files if (file.path, file.size) == (path, size)), None)


def bring(
    source: HubFiles, files: Sequence[Offered], store: Store, events: Events, retries: Retries, step: str
) -> list[LockedFile]:
    """Download files, one after another, each over several connections, and pin them to what came.

    In constant memory. A connection that breaks off is opened again where it stopped, as long as the command runs;
    a killed one begins again. Raises NoSpace before the first byte; IntegrityFailed, NetworkFailed.
    """
    size = sum(file.size for file in files)
    require(store, Need(size, len(files), store.free_bytes(), store.free_files()))
    return [_brought(source, file, store, events, retries, step) for file in files]


def _brought(source: HubFiles, file: Offered, store: Store, events: Events, retries: Retries, step: str) -> LockedFile:
    one = replace(source, paths={_UNKNOWN: file.path})
    blob = Descriptor(RAW, _UNKNOWN, file.size, {TITLE: file.path})
    told = 0

    def attempt() -> LockedFile:
        nonlocal told
        git = hashlib.sha1(git_header(file.size), usedforsecurity=False)
        count = 0
        with Ingest(store) as ingest, closing(_opened(one, blob, retries)) as stream:
            for chunk in stream:
                ingest.write(chunk)
                git.update(chunk)
                count += len(chunk)
                if count > told:
                    events.emit(BytesMoved(step, file.path, count - told))
                    told = count
                if count > file.size:
                    break
            if count < file.size:  # cut off, as what is not mended may be
                raise Transient(
                    f"{one.name} sent too little of {file.path}", because=f"it ended after {count} of {file.size} bytes"
                )
            _require_stated(one, file, count, git.hexdigest())
            found = ingest.commit(RAW)
        return LockedFile(file.path, found.digest, found.size)

    return retries.run(attempt)


def _opened(source: HubFiles, blob: Descriptor, retries: Retries) -> Stream:
    """A stream that is mended where it breaks off; of a branch, which may move in between, one that is not."""
    if not _COMMIT.fullmatch(source.commit):
        return source.open(blob, 0)
    return Widening(source, blob, 0, lambda: STREAMS, part_size(STREAMS), retries)


def _require_stated(source: HubFiles, file: Offered, size: int, git: str) -> None:
    """Raises IntegrityFailed where the bytes have not the length or the git hash that the hub states."""
    if size == file.size and (not file.git or git == file.git):
        return
    wrong = f"not the git hash {file.git}" if size == file.size else f"not the {file.size} bytes"
    raise IntegrityFailed(
        f"the bytes of {file.path} from {source.name} are wrong",
        because=f"they have {wrong} that the hub states. {source.suspicion}",
        hint=source.remedy,
    )
