"""`push --via`: a host that has the bundle pushes it on with the agent of its store, so our link carries it once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bundler.core.errors import BundlerError
from bundler.core.event_lines import decode
from bundler.core.events import Events
from bundler.core.records import from_json
from bundler.core.strict_json import MalformedJson, parse_object
from bundler.operations.push_report import Failure, Pushed, Report
from bundler.store.layout import BundleEntry
from bundler.transport import receipts
from bundler.transport.client import Client
from bundler.transport.place import Place
from bundler.transport.relay import run_there

_KEPT_LINES = 20
_NOT_FOUND = 127  # POSIX, Shell Command Language, 2.8.2; env(1)


@dataclass(frozen=True, slots=True)
class Onward:
    """What the host that feeds the others is asked to do: their names as it knows them, and options of its push."""

    destinations: tuple[str, ...]
    options: tuple[str, ...] = ()


class RelayFailed(BundlerError):
    """The agent of the host that is to feed the others did not do it."""

    def __init__(self, place: Place, status: int, said: Sequence[str]) -> None:
        words = "\n  ".join(line for line in said if line.strip())
        python = status == _NOT_FOUND
        super().__init__(
            f"{place.host} has the bundle, and could not push it on",
            because="it has no python3, which the agent needs" if python else words or f"exit status {status}",
            hint=f"{place.run(f'{place.directory}/bundle', 'push', '--help')}   # should show the push of an agent "
            "that is as new as this one; without --via, every host is pushed to from here",
        )


def push_on(client: Client, place: Place, bundle: BundleEntry, onward: Onward, events: Events) -> tuple[Pushed, ...]:
    """Have a host push a bundle to others. Its events are told as ours, the receipts are kept here too.

    The hosts are reached as that host reaches them: by its keys, its known_hosts and its ssh configuration.
    Raises ConnectionFailed, RelayFailed.
    """
    said: list[str] = []
    reports: list[Report] = []

    def hear(line: str) -> None:
        if event := decode(line):
            events.emit(event)
        elif report := _report(line):
            reports.append(report)
        else:
            said.append(line)
            del said[:-_KEPT_LINES]

    agent = f"{place.directory}/bundle"
    words = (agent, "push", str(bundle.name), *onward.destinations, "--relayed", "--store", place.directory)
    status = run_there(client, (*words, *onward.options), hear)
    if not reports or tuple(one.destination for one in reports[-1].pushes) != onward.destinations:
        raise RelayFailed(place, status, said)
    return tuple(_ours(pushed, bundle, place) for pushed in reports[-1].pushes)


def _report(line: str) -> Report | None:
    try:
        document = parse_object(line.encode(), "a report")
        document.pop("format", None)
        return from_json(Report, document, "a report")
    except MalformedJson:
        return None


def _ours(pushed: Pushed, bundle: BundleEntry, place: Place) -> Pushed:
    """What was told of one host, under our own roof: the receipt kept here, a failure with the name of who told it."""
    if pushed.failure:
        failure = replace(pushed.failure, what=f"{place.host} says: {pushed.failure.what}")
        return Pushed(pushed.destination, failure=failure)
    if pushed.record is None or pushed.record.root != bundle.root.digest:
        what = f"{place.host} says that it is there, and has no receipt of {bundle.root.digest}"
        return Pushed(pushed.destination, failure=Failure(what, RelayFailed.exit_code))
    record = replace(pushed.record, via=place.host)
    return replace(pushed, record=record, receipt=str(receipts.write(record)))
