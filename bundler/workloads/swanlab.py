"""SwanLab's local dashboard over the training job's logs, while it runs and after (0.6.4, cli/commands/dashboard)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundler.manifest.lock import Mount, Workload
from bundler.manifest.names import TRAIN
from bundler.workloads.paths import OFFLINE, STATE

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.apps import SwanlabBoard

_RESULTS = "/bundle/results"

SOURCE = """\
import contextlib, os, shutil, sqlite3, subprocess, sys, time

SECONDS = 2
source, copy, *command = sys.argv[1:]
database = "runs.swanlab"
whole = os.path.join(source, database)
seen = {}

def state(path):
    with contextlib.suppress(OSError):
        found = os.stat(path)
        return found.st_mtime_ns, found.st_size

def changed(path):
    now = state(path)
    return now if now and seen.get(path) != now else None

def mirror():
    for where, _, names in os.walk(source):
        there = os.path.join(copy, os.path.relpath(where, source))
        os.makedirs(there, exist_ok=True)
        for name in names:
            path = os.path.join(where, name)
            if not name.startswith(database) and (now := changed(path)):
                shutil.copyfile(path, os.path.join(there, name))
                seen[path] = now
    now = [state(whole), state(whole + "-wal")]
    # Its log grows before what is in it counts: what was written a moment ago is copied once more.
    recent = any(one and one[0] > time.time_ns() - 5 * SECONDS * 10**9 for one in now)
    if now[0] and (recent or seen.get(whole) != now):
        # Without a log of its own nobody writes it: then it is opened as what can't change, for SQLite could not
        # make the log's index in a directory that is read-only.
        how = "mode=ro" if now[1] else "immutable=1"
        with contextlib.closing(sqlite3.connect(f"file:{whole}?{how}", uri=True)) as one:
            with contextlib.closing(sqlite3.connect(os.path.join(copy, database))) as other:
                one.backup(other)
        seen[whole] = now

def attempt():
    # A file that is written right now, or gone again, is looked at in the next round.
    with contextlib.suppress(OSError, sqlite3.Error):
        mirror()
    return whole in seen

for name in os.listdir(copy):
    path = os.path.join(copy, name)
    shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
while not attempt():
    time.sleep(SECONDS)
board = subprocess.Popen(command)
while board.poll() is None:
    attempt()
    time.sleep(SECONDS)
sys.exit(board.returncode)
"""


def serve(name: str, service: SwanlabBoard) -> Workload:
    """The service of this name. It shows a copy of the logs, made anew when it starts and brought up to date since.

    SwanLab opens its database to write (swanboard 0.1.8b1, db/db_connect.py, journal_mode wal), and a job's results are
    nobody's to write but the job's. It answers once the training has logged something: of a directory
    without a database the dashboard makes nothing.
    """
    watch = ("swanlab", "watch", STATE, "--host", "0.0.0.0", "--port", str(service.port))
    return Workload(
        name=name,
        kind=service.kind,
        image=service.image,
        command=("python3", "-c", SOURCE, f"{_RESULTS}/{service.logdir}", STATE, *watch),
        mounts=(Mount(f"results/{TRAIN}", _RESULTS),),
        environment=dict(OFFLINE),
        port=service.port,
        bind=service.bind,
        health="/",
        state=(Mount("swanlog", STATE),),
        starts="early",
    )
