"""Sessions with the far end's program in the shells of this machine, and a blob to send them."""

from __future__ import annotations

from pathlib import Path

from bundler.core.digest import Digest
from bundler.transport.far_end import launcher, program
from bundler.transport.session import Session
from bundler.transport.wire import Launch

DATA = b"0123456789abcdef" * 5000
HEX = Digest.of(DATA).hex


def start(directory: Path, shell: str = "sh", stall: float = 20.0) -> Session:
    text = program(str(directory))
    return Session(Launch((shell, "-c", launcher(text))), text, stall=stall)


def prepared(directory: Path) -> Session:
    session = start(directory)
    session.request("prepare")
    while not session.answer().startswith("ready "):
        pass
    return session


def put(session: Session, data: bytes, hex_: str = HEX, offset: int = 0) -> str:
    session.request("put", hex_, offset, len(data) - offset)
    session.send(data[offset:])
    session.request("seal")
    return session.answer()
