"""One of the streams of a push by SFTP: lots from the shipment, each step of a lot under way for all of its blobs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from bundler.core.digest import Digest
from bundler.store.closure import Member
from bundler.store.layout import Store
from bundler.transport.attempts import Attempts
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.remote_errors import SourceDamaged
from bundler.transport.sftp import FSYNC, WINDOW, Sftp, SftpError
from bundler.transport.sftp_layout import SftpLayout
from bundler.transport.sftp_packets import CREATE, WRITE, Code
from bundler.transport.shipment import Shipment
from bundler.transport.wire import SourceEnded

_TELL_BYTES = 1 << 20


@dataclass(slots=True)
class _Going:
    """A blob on its way: the open file here, and there the path, the handle, and where it goes on from."""

    member: Member
    file: BinaryIO
    path: str
    hashed: Future[Digest]
    offset: int = 0
    handle: bytes = b""


class SftpStream:
    """Sends lots until none is left. Connects again where a connection breaks, and goes on behind what has arrived."""

    def __init__(
        self,
        shipment: Shipment,
        source: Store,
        borrow: Callable[[], AbstractContextManager[Sftp]],
        layout: Callable[[Sftp], SftpLayout],
        cancelled: threading.Event,
    ) -> None:
        self._shipment = shipment
        self._source = source
        self._borrow = borrow
        self._layout = layout
        self._lot: tuple[Member, ...] = ()
        self._attempts = Attempts(shipment, cancelled)

    def run(self) -> None:
        """Send. Raises ConnectionFailed when it can't come through, RemoteNoSpace, RemoteRefused, SourceDamaged."""
        with ThreadPoolExecutor(1) as self._hashing:
            self._run()

    def _run(self) -> None:
        while True:
            try:
                with self._borrow() as sftp:
                    self._drive(sftp)
                return
            except ConnectionFailed as error:
                self._shipment.give_back(self._lot)
                self._lot = ()
                self._attempts.failed(error)

    def _drive(self, sftp: Sftp) -> None:
        while lot := self._shipment.take():
            self._lot = lot
            self._send(sftp, self._layout(sftp), lot)
            self._lot = ()
            self._attempts.went_on()

    def _send(self, sftp: Sftp, layout: SftpLayout, lot: Sequence[Member]) -> None:
        """Each step is asked for all blobs of the lot before the first answer is waited for."""
        with ExitStack() as files:
            going = [self._begin(sftp, layout, member, files) for member in lot]
            opened = [sftp.ask_open(one.path, WRITE | CREATE) for one in going]
            for one, asked in zip(going, opened, strict=True):
                one.handle = sftp.handle(asked, one.member.label)
            for one in going:
                self._write(sftp, one)
            sftp.settle()
            steps: list[Callable[[_Going], int]] = [
                *([lambda one: sftp.ask_sync(one.handle)] if FSYNC in sftp.extensions else []),
                lambda one: sftp.ask_mode(one.handle, 0o444),
                lambda one: sftp.close_handle(one.handle),
            ]
            for step in steps:
                self._all(sftp, going, step)
            self._check_lengths(sftp, going)
            self._check_sources(sftp, going)
            self._all(sftp, going, lambda one: sftp.ask_rename(one.path, layout.blob(one.member.blob.digest)))

    def _all(self, sftp: Sftp, going: Sequence[_Going], step: Callable[[_Going], int]) -> None:
        asked = [(step(one), one.member.label) for one in going]
        for number, label in asked:
            sftp.done(number, label)

    def _check_lengths(self, sftp: Sftp, going: Sequence[_Going]) -> None:
        """What is there is as long as it should be; a longer file of an earlier push is begun anew."""
        for one in going:
            found = sftp.stat(one.path)
            if found is None or found.size != one.member.blob.size:
                sftp.remove(one.path)
                size = "nothing" if found is None else f"{found.size} bytes"
                raise SftpError(Code.FAILURE, f"{size} arrived, {one.member.blob.size} were sent", one.member.label)

    def _begin(self, sftp: Sftp, layout: SftpLayout, member: Member, files: ExitStack) -> _Going:
        path = layout.partial(member.blob.digest.hex)
        try:
            file = files.enter_context(self._source.path(member.blob.digest).open("rb", buffering=0))
            length = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise SourceDamaged(member, self._source, f"it can't be read: {error.strerror}") from error
        if length != member.blob.size:
            raise SourceDamaged(member, self._source, f"it has {length} bytes, should have {member.blob.size}")
        hashed = self._hashing.submit(Digest.of_file, self._source.path(member.blob.digest))
        going = _Going(member, file, path, hashed)
        if self._shipment.begun((member,)):
            going.offset = self._resumable(sftp, layout, going)
        return going

    def _check_sources(self, sftp: Sftp, going: Sequence[_Going]) -> None:
        """No one there hashes what is sent, so it is hashed here while it goes, before it gets its name there."""
        for one in going:
            actual = one.hashed.result()
            if actual != one.member.blob.digest:
                sftp.remove(one.path)
                raise SourceDamaged(one.member, self._source, f"its bytes have the digest {actual}")

    def _resumable(self, sftp: Sftp, layout: SftpLayout, one: _Going) -> int:
        """Where to go on from: the end of what is there, 0 where that is not the same.

        What may have been under way when it broke is read back: a server may have done those writes in any order.
        """
        there = layout.adopt(one.member.blob.digest.hex)
        since = max(0, there - WINDOW)
        if there and there <= one.member.blob.size:
            here = os.pread(one.file.fileno(), there - since, since)
            if sftp.excerpt(one.path, since, there - since) == here:
                return there
        sftp.remove(one.path)
        return 0

    def _write(self, sftp: Sftp, one: _Going) -> None:
        position = told = one.offset
        size = one.member.blob.size
        self._shipment.reached(one.member, one.offset)

        def moved(count: int) -> None:
            nonlocal position, told
            position += count
            if position - told >= _TELL_BYTES or position == size:
                self._shipment.reached(one.member, position, position - told)
                told = position

        try:
            sftp.write(one.handle, one.file.fileno(), one.offset, size - one.offset, moved)
        except SourceEnded:
            raise SourceDamaged(one.member, self._source, "it became shorter while it was sent") from None
