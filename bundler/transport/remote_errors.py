"""What a remote store refuses, and why."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bundler.core.errors import BundlerError, CheckRefused, IntegrityFailed, LockedByAnother, NoSpace
from bundler.core.size import format_size
from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.transport.place import Place


class LacksTools(CheckRefused):
    """The host has a shell and lacks a tool."""

    def __init__(self, place: Place, tools: str) -> None:
        super().__init__(
            f"{place.host} lacks: {tools}",
            because="the far end of a push needs a POSIX shell and GNU coreutils 8.16 or newer",
            hint="install GNU coreutils on the host, or push to another one",
        )


class RemoteNoSpace(NoSpace):
    """The host's file system is full."""

    def __init__(self, place: Place, because: str) -> None:
        super().__init__(
            f"no space left on {place.host} in {place.directory}",
            because=because,
            hint=f"{place.run('df', '-h', place.directory)}   # make room, then push again: it goes on",
        )


class RemoteFileTooLarge(CheckRefused):
    """The host's file system, or a limit there, takes no file as long as a blob."""

    def __init__(self, place: Place, count: int) -> None:
        super().__init__(
            f"{place} takes no file of {format_size(count)}, which one of the blobs has",
            because="FAT32 ends at 4 GiB, and a login may have a limit (ulimit -f); nothing was sent",
            hint=f"{place.run('df', '-hT', place.directory)}   # name a directory on another file system",
        )


class RemoteRefused(BundlerError):
    """The host's operating system would not read or write."""

    def __init__(self, place: Place, said: str) -> None:
        super().__init__(
            f"{place.host} can't write {place.directory}",
            because=said,
            hint=f"{place.run('ls', '-ld', place.directory)}   # name a directory that the login may write",
        )


class RemoteLocked(LockedByAnother):
    """Another process changes the host's index, or deletes from its store, and does not end."""

    def __init__(self, place: Place, lock: str, owner: str) -> None:
        path = f"{place.directory}/{lock}"
        super().__init__(
            f"the store {place} is in use by {owner}",
            because=f"its lock is {path}",
            hint=f"wait for it to end; if you know that it is gone: {place.run('rm', path)}",
        )


class RemoteIncomplete(IntegrityFailed):
    """Blobs that were there are not any more."""

    def __init__(self, place: Place, missing: Sequence[Member]) -> None:
        shown = "\n  ".join(f"{member.label} ({member.blob.digest})" for member in missing[:10])
        more = f"\n  and {len(missing) - 10} more" if len(missing) > 10 else ""
        super().__init__(
            f"{len(missing)} blobs are not in {place}, so that the bundle was not listed:\n  {shown}{more}",
            because="someone removed them while the push ran",
            hint="push again: only these are sent",
        )


class SourceDamaged(IntegrityFailed):
    """A blob of this machine's store is not what its name says."""

    def __init__(self, member: Member, source: Store, problem: str) -> None:
        path = source.path(member.blob.digest)
        super().__init__(
            f"{member.label} is damaged in {source.root}: {problem}",
            because=f"the bytes of {path} changed after they were written; the host refused them",
            hint=f"rm -f {shlex.quote(str(path))}   # then build or push to this store again: only this is sent",
        )


class DamagedInTransit(IntegrityFailed):
    """A blob is good here and arrives broken, again and again."""

    def __init__(self, member: Member, place: Place, actual: str) -> None:
        super().__init__(
            f"{member.label} ({member.blob.digest}) arrives on {place.host} as sha256:{actual}",
            because="it is right on this machine and SSH protects it on its way: the host's memory or disk is faulty",
            hint=f"{place.run('dmesg')}   # errors of memory or of the disk under {place.directory}?",
        )
