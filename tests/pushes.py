"""Pushes that are killed, on either side, and pushes to the end: the same by every door of a host."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from bundler.core.events import Events, Silence
from bundler.operations.push import PushResult, push
from bundler.store.layout import BundleEntry, Store
from bundler.transport.doors import EXEC
from bundler.transport.refusals import ConnectionFailed
from bundler.transport.remote_store import RemoteStore
from tests.far_host import FarHost, Killing, assert_sound, listed_names

_VICTIM = """
import sys
from pathlib import Path
from bundler.operations.push import push
from bundler.store.layout import Store
from bundler.transport.destination import Destination
from bundler.transport.doors import open_door
from bundler.transport.openssh_client import OpenSshClient
from tests.far_host import Recorder, kill_self

source, target, config, after, door, streams, first = sys.argv[1:]
exec(first)
store = Store.open(Path(source))
client = OpenSshClient(Destination.parse(target, config=Path(config)))
remote = open_door(client, door, streams=int(streams) or None)
push(store, store.bundles()[0], remote, Recorder(int(after), kill_self))
"""


def killed_push(
    host: FarHost, source: Store, after: int, *, door: str = EXEC, streams: int = 0, first: str = ""
) -> None:
    """A push in a process of its own that kills itself when so many bytes have moved; before it, `first` is run."""
    words = (source.root, host.destination(), host.server.config, after, door, streams, first)
    argv = [sys.executable, "-c", _VICTIM, *map(str, words)]
    done = subprocess.run(argv, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr


def push_under_kills(remote: RemoteStore, source: Store, bundle: BundleEntry, killer: Killing) -> None:
    """A push whose far side `killer` kills: it comes to its end, or fails in a way that is worth another try."""
    failure: ConnectionFailed | None = None
    try:
        with closing(remote):
            push(source, bundle, remote, killer)
    except ConnectionFailed as error:
        failure = error
    assert failure is None or failure.transient, failure
    assert any(killer.killed)


def push_to_the_end(
    remote: RemoteStore, source: Store, bundle: BundleEntry, *, blobs: int, events: Events | None = None
) -> PushResult:
    """Push, and look at all that is there then: so many blobs, each of them right, and the bundle listed."""
    with closing(remote):
        result = push(source, bundle, remote, events or Silence())
    far = Path(result.directory)
    assert assert_sound(far) == blobs
    assert listed_names(far) == ["demo:1.0.0", "demo:1.0.0/base"]
    return result
