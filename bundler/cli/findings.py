"""Findings for people and for programs: worst first, severity in words."""

from __future__ import annotations

from collections.abc import Iterable

from bundler.cli.table import table
from bundler.node.checks import Finding


def as_table(findings: Iterable[Finding]) -> str:
    """A table of all findings; what mends the bad ones stands below it."""
    findings = tuple(findings)
    rows = [(finding.severity.value, finding.check, finding.what) for finding in findings]
    remedies = [f"{finding.check}: {finding.remedy}" for finding in findings if finding.remedy]
    return "\n".join([table(["RESULT", "CHECK", "FOUND"], rows), *(["", *remedies] if remedies else [])])


def as_json(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """The same as data."""
    return [
        {"check": f.check, "severity": f.severity.value, "what": f.what, "why": f.why, "remedy": f.remedy}
        for f in findings
    ]
