"""Findings for people and for programs: worst first, severity in words."""

from __future__ import annotations

from collections.abc import Iterable

from bundler.cli.table import table
from bundler.node.findings import Finding


def as_table(findings: Iterable[Finding]) -> str:
    """A table of all findings; what the bad ones need, why, and what mends them stands below it."""
    findings = tuple(findings)
    rows = [(_severity(finding), finding.check, finding.what) for finding in findings]
    return "\n".join([table(["RESULT", "CHECK", "FOUND"], rows), *(line for f in findings for line in _below(f))])


def as_json(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """The same as data."""
    return [
        {
            "check": f.check,
            "severity": f.severity.value,
            "what": f.what,
            "needed": f.needed,
            "why": f.why,
            "remedy": f.remedy,
            "accepted": f.accepted,
        }
        for f in findings
    ]


def _severity(finding: Finding) -> str:
    return f"{finding.severity.value}, accepted" if finding.accepted else finding.severity.value


def _below(finding: Finding) -> list[str]:
    if not finding.why and not finding.remedy:
        return []
    said = [("why", finding.why), ("needed", finding.needed), ("remedy", finding.remedy)]
    return ["", f"{finding.check}:", *(f"  {name}: {text}" for name, text in said if text)]
