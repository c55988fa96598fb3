"""Findings: what a check says of a node."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from bundler.core.errors import CheckRefused


class Severity(enum.Enum):
    """Worst first. `cannot read` and `not tried` are results of their own: neither good nor bad."""

    BLOCK = "block"
    UNREADABLE = "cannot read"
    NOT_TRIED = "not tried"
    WARN = "warn"
    PASS = "pass"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result: what was found, why it matters, what mends it, and what would have been enough.

    `accepted` says that a person has let a block pass, by name.
    """

    check: str
    severity: Severity
    what: str
    why: str = ""
    remedy: str = ""
    needed: str = ""
    accepted: bool = False


class NodeRefused(CheckRefused):
    """The node can't run the bundle; carries all findings."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        blocked = blocking(self.findings)
        remedies = [finding.remedy for finding in blocked if finding.remedy]
        remedies.append(f"the same with {' '.join(f'--accept {f.check}' for f in blocked)}   # goes on all the same")
        super().__init__(
            "this node can't run the bundle: " + "; ".join(finding.what for finding in blocked),
            because="; ".join(dict.fromkeys(finding.why for finding in blocked if finding.why)) or None,
            hint="\n      ".join(dict.fromkeys(remedies)),
        )


def blocking(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that block and that nobody has accepted."""
    return tuple(found for found in findings if found.severity is Severity.BLOCK and not found.accepted)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """In the order of their severity; those alike stay as they were."""
    order = list(Severity)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))


def good(check: str, what: str) -> Finding:
    """A pass."""
    return Finding(check, Severity.PASS, what)


def unread(check: str, what: str, reason: str) -> Finding:
    """What could not be read, and why not."""
    return Finding(check, Severity.UNREADABLE, f"{what} could not be read", why=reason)
