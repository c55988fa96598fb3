"""Easy Dataset: its project's own image, with its database and its files kept in the release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundler.manifest.lock import Mount, Workload

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.apps import EasyDataset

_PORT = 1717
"""Its start script says so (easy-dataset, package.json)."""


def serve(name: str, service: EasyDataset) -> Workload:
    """The service of this name. Its image is on Node.js and has no Python.

    The entry point makes the database where `/app/prisma` is an empty directory (easy-dataset#601).
    """
    return Workload(
        name=name,
        kind=service.kind,
        image=service.image,
        command=("/usr/local/bin/docker-entrypoint.sh", "pnpm", "start"),
        environment={"NEXT_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"},
        port=service.port,
        bind=service.bind,
        health="/",
        state=(Mount("local-db", "/app/local-db"), Mount("prisma", "/app/prisma")),
        inner=_PORT if service.port != _PORT else None,
        runtime="node",
        starts="early",
    )
