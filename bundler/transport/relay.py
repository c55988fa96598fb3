"""A command on a host that ends when the connection does, line by line."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from bundler.core.strict_json import LIMIT
from bundler.transport.client import Client
from bundler.transport.far_end import launcher
from bundler.transport.wire import Wire, WireBroken

_STALL = 1800.0
"""Seconds of silence. The command there has a watchdog of its own for what it waits for."""

_PROGRAM = """\
exec 3<&0
{command} </dev/null 2>&1 3<&- &
pid=$!
{{ while read -r line; do :; done; kill $pid; }} <&3 >/dev/null 2>&1 & # nobody waits for it any more
watch=$!
wait $pid
status=$?
kill $watch 2>/dev/null
exit $status
"""


def run_there(client: Client, words: Sequence[str], hear: Callable[[str], None]) -> int:
    """Run a command on a host; `hear` is called for each line of its stdout and stderr. Returns its exit status.

    When this end goes, however it goes, the command there is ended as soon as the host notices.
    Raises ConnectionFailed.
    """
    text = _PROGRAM.format(command=shlex.join(words)).encode()
    wire = Wire(client.command(launcher(text)), stall=_STALL)
    try:
        wire.send(text)
        while True:
            _lines(wire, hear)
            wire.more()
    except WireBroken as broken:
        _lines(wire, hear)
        if failure := client.failure(broken):
            raise failure from broken
        hear(broken.said)
        return broken.status
    finally:
        wire.abandon()


def _lines(wire: Wire, hear: Callable[[str], None]) -> None:
    while (end := wire.received.find(b"\n")) >= 0:
        line = wire.received[:end].decode(errors="replace")
        del wire.received[: end + 1]
        hear(line)
    if len(wire.received) > LIMIT:
        raise wire.broken("it prints a line without end")
