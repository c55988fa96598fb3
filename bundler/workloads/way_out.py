"""The way out of a job that reports to one server of the intranet: a socket in a directory, and a container behind it.

The job keeps its network of nothing but a loopback: a process beside its program passes what reaches a port there on
to the socket. Behind the socket stands a container of our own, which connects to the one address that the manifest
names and to no other, whatever it is sent. It listens on nothing but the socket.
"""

from __future__ import annotations

from bundler.core.digest import Digest
from bundler.manifest.lock import Workload
from bundler.workloads.container import WAY_OUT, Bind, ContainerSpec, Placement
from bundler.workloads.proxy import COPY

PORT = 18800
"""On the job's own loopback."""
STARTING = 60
"""Seconds from a job's start in which its way out may come up; it is waited for only then."""
_SOCKET = f"{WAY_OUT}/socket"

_BETWEEN = f"""\
import asyncio, os, sys, time

{COPY}
async def join(reader, writer, connecting):
    try:
        upstream = await connecting
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
        writer.close()
        return
    try:
        await asyncio.gather(copy(reader, upstream[1]), copy(upstream[0], writer))
    finally:
        upstream[1].close()
        writer.close()

async def serve(starting):
    async with await starting as server:
        await server.serve_forever()
"""

INSIDE = f"""{_BETWEEN}
began = time.monotonic()

async def reach():
    while True:
        try:
            return await asyncio.open_unix_connection({_SOCKET!r})
        except OSError:  # what listens there was started a moment before this
            if time.monotonic() - began > {STARTING}:
                raise
            await asyncio.sleep(0.1)

async def inside(reader, writer):
    await join(reader, writer, reach())

if os.fork() == 0:
    if os.fork() == 0:  # nobody's child but the first process's: the program may wait for all of its own
        asyncio.run(serve(asyncio.start_server(inside, "127.0.0.1", {PORT})))
    os._exit(0)
os.wait()
os.execvp(sys.argv[1], sys.argv[1:])
"""

GATE = f"""{_BETWEEN}
async def outside(reader, writer):
    await join(reader, writer, asyncio.open_connection(sys.argv[1], int(sys.argv[2])))

if os.path.exists({_SOCKET!r}):
    os.remove({_SOCKET!r})
asyncio.run(serve(asyncio.start_unix_server(outside, {_SOCKET!r})))
"""


def through(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command that starts this one with its way out on the loopback, at PORT."""
    return ("python3", "-c", INSIDE, *command)


def gate(workload: Workload, image: str, fingerprint: Digest, at: Placement) -> ContainerSpec:
    """The container behind the socket of a job with a way out. It alone has a network that packets leave."""
    host, _, port = workload.way_out.rpartition(":")
    return ContainerSpec(
        name=at.named(workload.name, "gate"),
        image=image,
        command=("python3", "-c", GATE, host.strip("[]"), port),
        network=at.outer,
        reaches=workload.way_out,
        user=at.user,
        labels=at.labels(workload.name, "gate", fingerprint),
        binds=(Bind(str(at.way_out(workload.name)), WAY_OUT, read_only=False),),
    )
