"""The proxy in front of a service: the service itself sits on a network with no route out, and stays reachable.

An engine ignores published ports on internal networks (Docker 20.10 to 28), and a bridge that publishes ports
also lets packets out. So a container of our own stands on both: a few lines of Python in the service's image
(or of JavaScript, where it is on Node.js) that pass bytes between the published port and the service.
"""

from __future__ import annotations

from bundler.core.digest import Digest
from bundler.manifest.lock import Workload
from bundler.workloads.container import ContainerSpec, Placement, Published

COPY = """\
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass
"""
"""One direction of a connection, to the end of what is sent."""

SOURCE = f"""\
import asyncio, sys

{COPY}
async def serve(reader, writer):
    try:
        upstream = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    except OSError:
        writer.close()
        return
    try:
        await asyncio.gather(copy(reader, upstream[1]), copy(upstream[0], writer))
    finally:
        upstream[1].close()
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[-1]))
    async with server:
        await server.serve_forever()

asyncio.run(main())
"""

NODE_SOURCE = """\
const net = require('net')
const [, host, inner, port = inner] = process.argv
const server = net.createServer({ allowHalfOpen: true }, (client) => {
  const service = net.connect({ host, port: Number(inner), allowHalfOpen: true })
  for (const [one, other] of [[client, service], [service, client]]) {
    one.pipe(other)
    one.on('error', () => other.destroy())
    one.on('close', (failed) => { if (failed) other.destroy() })
  }
})
server.listen(Number(port), '0.0.0.0')
"""


def proxy(workload: Workload, image: str, fingerprint: Digest, at: Placement) -> ContainerSpec:
    """The container that publishes a service's port on the node, at the address that the manifest names."""
    program = ("node", "-e", NODE_SOURCE) if workload.runtime == "node" else ("python3", "-c", SOURCE)
    ports = (str(workload.inner), str(workload.port)) if workload.inner else (str(workload.port),)
    return ContainerSpec(
        name=at.named(workload.name, "proxy"),
        image=image,
        command=(*program, workload.name, *ports),
        network=at.inner,
        edge=at.edge,
        published=Published(workload.bind, workload.port),
        user=at.user,
        labels=at.labels(workload.name, "proxy", fingerprint),
    )
