"""What became of a push to several hosts, as one document: for programs, and for the bundle that asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bundler.core.digest import Digest
from bundler.core.errors import BundlerError, DoneInPart
from bundler.operations.push import PushResult
from bundler.transport.receipts import Receipt, Tally


@dataclass(frozen=True, slots=True)
class Failure:
    """An error, as it was told."""

    what: str
    exit_code: int
    because: str = ""
    hint: str = ""

    @classmethod
    def of(cls, error: BundlerError) -> Failure:
        """What an error tells."""
        return cls(error.what, error.exit_code, error.because or "", error.hint or "")


@dataclass(frozen=True, slots=True)
class Pushed:
    """One host: `destination` as the user named it, and either what was pushed or the failure. See PushResult."""

    destination: str
    sent: Tally | None = None
    present: Tally | None = None
    moved: int | None = None
    seconds: float | None = None
    receipt: str | None = None
    record: Receipt | None = None
    failure: Failure | None = None

    @classmethod
    def of(cls, destination: str, result: PushResult) -> Pushed:
        """What a push to one host brought."""
        return cls(
            destination,
            result.sent,
            result.present,
            result.moved,
            round(result.seconds, 2),
            str(result.receipt),
            result.record,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """A bundle, and what became of it at each host."""

    bundle: str
    root: Digest
    pushes: tuple[Pushed, ...]

    @property
    def failed(self) -> tuple[Pushed, ...]:
        """The hosts that do not have it."""
        return tuple(pushed for pushed in self.pushes if pushed.failure)


class PushedInPart(DoneInPart):
    """Some of the hosts have the bundle, or none."""

    def __init__(self, report: Report, command: str) -> None:
        have = [pushed.destination for pushed in report.pushes if not pushed.failure]
        codes = {pushed.failure.exit_code for pushed in report.pushes if pushed.failure}
        super().__init__(
            f"{report.bundle} is not on {_listed([pushed.destination for pushed in report.failed])}"
            + (f"; it is on {_listed(have)}" if have else ""),
            because="\n  ".join(
                _told(pushed.destination, pushed.failure) for pushed in report.failed if pushed.failure
            ),
            hint=f"{command}   # for the rest; what has arrived there is kept",
        )
        if not have:
            self.exit_code = codes.pop() if len(codes) == 1 else 1


def _told(destination: str, failure: Failure) -> str:
    because = f": {failure.because}" if failure.because else ""
    hint = f"\n    {failure.hint}" if failure.hint else ""
    return f"{destination}: {failure.what}{because}{hint}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
