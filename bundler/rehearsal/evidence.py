"""The result of a rehearsal, as it is kept beside the bundle: what was seen, of which root, when, and on what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bundler.core.digest import Digest
from bundler.core.records import from_json, to_json
from bundler.core.strict_json import MalformedJson, canonical, parse_object
from bundler.node.findings import Finding, Severity
from bundler.rehearsal.plain import plain_members

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """A finding, as it is kept. `severity` is the word of `Severity`."""

    check: str
    severity: str
    what: str
    why: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, finding: Finding) -> Kept:
        """The finding without what only the moment needed."""
        return cls(finding.check, finding.severity.value, finding.what, finding.why, finding.remedy)

    def finding(self) -> Finding:
        """As a finding again. Raises ValueError where the severity is none."""
        return Finding(self.check, Severity(self.severity), self.what, self.why, self.remedy)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A rehearsal of one root. `when` is UTC (RFC 3339); `versions` are those seen, by image and package."""

    format: int
    bundle: str
    root: Digest
    when: str
    program: str
    engine: str
    machine: str
    gpus: int
    seconds: float
    versions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    findings: tuple[Kept, ...] = ()

    @classmethod
    def parse(cls, raw: bytes, what: str) -> Evidence:
        """Read evidence, which anyone may have written; `what` names it in errors. Raises MalformedJson."""
        found = from_json(cls, plain_members(parse_object(raw, what)), what)
        words = {severity.value for severity in Severity}
        if found.format != FORMAT or not {kept.severity for kept in found.findings} <= words:
            raise MalformedJson(what, f"it is of format {found.format}, or has findings of a kind that is not known")
        return found

    def encode(self) -> bytes:
        """Its bytes."""
        return canonical(to_json(self), indent=2)

    @property
    def passed(self) -> bool:
        """Whether nothing blocks."""
        return not any(kept.severity == Severity.BLOCK.value for kept in self.findings)

    def count(self) -> Mapping[str, int]:
        """How many findings there are of each severity, worst first."""
        return counted(kept.severity for kept in self.findings)


def counted(severities: Iterable[str]) -> Mapping[str, int]:
    """How often each severity's word occurs, worst first; those that do not occur are left out."""
    listed = list(severities)
    return {one.value: listed.count(one.value) for one in Severity if one.value in listed}
