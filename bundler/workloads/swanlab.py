"""SwanLab's local dashboard over the training job's logs (0.6.3, cli/commands/dashboard/watch.py)."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from bundler.manifest.lock import Mount, Workload
from bundler.manifest.names import TRAIN
from bundler.workloads.paths import OFFLINE, STATE

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.apps import SwanlabBoard

_RESULTS = "/bundle/results"


def serve(name: str, service: SwanlabBoard) -> Workload:
    """The service of this name. It shows a copy of the logs, made anew when it starts.

    SwanLab opens its database to write (swanboard 0.1.6, db/db_connect.py, journal_mode wal), and a job's results are
    nobody's to write any more.
    """
    logs = shlex.quote(f"{_RESULTS}/{service.logdir}")
    watch = f"swanlab watch {STATE} --host 0.0.0.0 --port {service.port}"
    return Workload(
        name=name,
        kind=service.kind,
        image=service.image,
        command=("sh", "-c", f"rm -rf {STATE}/* && cp -r {logs}/. {STATE}/ && exec {watch}"),
        mounts=(Mount(f"results/{TRAIN}", _RESULTS),),
        environment=dict(OFFLINE),
        port=service.port,
        bind=service.bind,
        health="/",
        state=(Mount("swanlog", STATE),),
    )
