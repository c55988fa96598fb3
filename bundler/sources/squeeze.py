"""Gzip on all cores: blocks of a fixed size, each compressed for itself, joined into one member in their order.

Where a block ends depends on the bytes alone, so the same input gives the same output on any number of cores.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from isal import isal_zlib

BLOCK = 1 << 20
"""Bytes of input in a block; with two blocks a core in flight, memory stays at a few MiB a core."""
MOST_CORES = 16
HEADER = b"\x1f\x8b\x08" + bytes(4) + b"\x00\x04\xff"
"""Deflate, no name, no time, fastest, system unknown (RFC 1952, 2.3)."""
LAST = b"\x03\x00"
"""An empty final deflate block with fixed codes (RFC 1951, 3.2.6)."""


def gzip_blocks(chunks: Iterable[bytes], cores: int | None = None) -> Iterator[bytes]:
    """Compress a stream of chunks of any length into the pieces of one gzip member.

    `cores` is how many blocks are compressed at once, None for all that the machine has.
    """
    workers = min(cores or os.cpu_count() or 1, MOST_CORES)
    checksum = length = 0
    waiting: deque[Future[bytes]] = deque()
    yield HEADER
    with ThreadPoolExecutor(workers, thread_name_prefix="gzip") as pool:
        for block in _blocks(chunks):
            checksum = isal_zlib.crc32(block, checksum)
            length += len(block)
            waiting.append(pool.submit(_deflate, block))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    yield LAST + struct.pack("<II", checksum, length & 0xFFFFFFFF)


def _deflate(block: bytes) -> bytes:
    """One block without a header, ended on a byte, so that the next can follow (zlib.h, Z_SYNC_FLUSH)."""
    squeeze = isal_zlib.compressobj(level=1, wbits=-15)
    return squeeze.compress(block) + squeeze.flush(isal_zlib.Z_SYNC_FLUSH)


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        rest += chunk
        start = 0
        while len(rest) - start >= BLOCK:
            yield rest[start : start + BLOCK]
            start += BLOCK
        rest = rest[start:]
    if rest:
        yield rest
