"""What is wrong with a manifest: problems by key path, findings by line, and the error that carries them all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.core.errors import ManifestInvalid
from bundler.core.secret import DOTS

_LOGIN = re.compile(r"://[^/]*@")
"""A user name and password in a URL."""

KeyPath = tuple[str | int, ...]
"""Where something stands in a document: keys and list positions, from the root."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a key path. `concerns` are other places that it follows from.

    `at_key` points at the key, not at the value.
    """

    path: KeyPath
    found: str
    expected: str
    because: str = ""
    suggestion: str = ""
    concerns: tuple[KeyPath, ...] = ()
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a manifest, and where. Line 0: with the file itself."""

    file: str
    line: int
    column: int
    path: str
    found: str
    expected: str
    because: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        subject = f"{self.path}: " if self.path else ""
        reason = f" ({self.because})" if self.because else ""
        suggestion = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{place}: {subject}found {self.found}, expected {self.expected}{suggestion}{reason}"


class ManifestRejected(ManifestInvalid):
    """A manifest that can't be used, with all that is wrong with it."""

    def __init__(self, path: Path, findings: Sequence[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: (finding.line, finding.column)))
        count = "1 problem" if len(self.findings) == 1 else f"{len(self.findings)} problems"
        super().__init__(
            f"{path} has {count}",
            because="\n".join(str(finding) for finding in self.findings),
            hint="bundle schema   # every key, what it means and what it may be",
        )


def dotted(path: KeyPath) -> str:
    """`images.train.base`, `train.datasets[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def shown(value: Any) -> str:
    """A value of a manifest, for people."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        value = _LOGIN.sub(f"://{DOTS}@", value)
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    return f"the number {value}"
