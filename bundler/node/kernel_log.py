"""XIDs: the faults that NVIDIA's driver writes to the kernel's log."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from bundler.node.facts import Xid

_XID = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): ([0-9]+),")
"""`NVRM: Xid (PCI:0000:3b:00): 79, pid=..., GPU has fallen off the bus.` (NVIDIA's XID catalogue)."""


def read_xids() -> tuple[Xid, ...]:
    """All since boot that the kernel's ring buffer still has. Raises OSError (reading it takes root)."""
    return xids(_records())


def xids(lines: Iterable[str]) -> tuple[Xid, ...]:
    """Count the XIDs in lines of the kernel's log, by device and code."""
    counted = Counter((int(match[2]), match[1]) for line in lines for match in _XID.finditer(line))
    return tuple(Xid(code, device, count) for (code, device), count in sorted(counted.items()))


def _records() -> Iterator[str]:
    """One read gives one record; none is left at EAGAIN, and EPIPE means that one was overwritten meanwhile (kmsg)."""
    handle = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                yield os.read(handle, 8192).decode(errors="replace")
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue
    finally:
        os.close(handle)
