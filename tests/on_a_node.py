"""Being on a node, as the agent is; and an image there that no bundle brought."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.world.engine import Engine
from scripts.world.node import Node

_CLONE_NEWNET = 0x40000000


@contextmanager
def inside(node: Node) -> Iterator[None]:
    """This thread, and those that it starts, in the node's network namespace for the length of a block (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/var/run/netns/{node.name}", os.O_RDONLY)
    assert libc.setns(there, _CLONE_NEWNET) == 0
    try:
        yield
    finally:
        assert libc.setns(here, _CLONE_NEWNET) == 0
        os.close(here)
        os.close(there)


def carry(image: str, online: Engine, node: Node) -> str:
    """Bring an image from the online engine into the node's. Returns its name."""
    online.docker("pull", "-q", image)  # the registry may have kept it from an engine that is no more
    with subprocess.Popen(["docker", "-H", online.host, "save", image], stdout=subprocess.PIPE) as save:
        subprocess.run(["docker", "-H", node.engine.host, "load", "-q"], stdin=save.stdout, check=True)
    return image
