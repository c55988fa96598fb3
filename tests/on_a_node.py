"""Being on a node, as the agent is; an image there that no bundle brought; a network that it should not have."""

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


@contextmanager
def machine_outside(node: Node) -> Iterator[str]:
    """A machine that the node can reach: for a moment the node has a network, which its containers must not have."""
    name, within = f"{node.name}-out", node.name

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    ip("netns", "add", name)
    try:
        ip("-n", within, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", name)
        for namespace, address in ((within, "198.51.100.1/24"), (name, "198.51.100.2/24")):
            ip("-n", namespace, "address", "add", address, "dev", "wire")
            ip("-n", namespace, "link", "set", "wire", "up")
        ip("-n", within, "route", "add", "default", "via", "198.51.100.2")
        code = "import socket,sys;s=socket.create_server(('198.51.100.2',9));print('on',flush=True);sys.stdin.read()"
        enter = ("nsenter", f"--net=/var/run/netns/{name}", "--", "/usr/bin/python3", "-c", code)
        with subprocess.Popen(enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listener:
            assert listener.stdout
            assert listener.stdout.readline() == b"on\n"
            yield "198.51.100.2"
            listener.communicate()
    finally:
        ip("netns", "delete", name)
