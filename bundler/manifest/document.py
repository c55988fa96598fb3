"""A YAML file that a person wrote, read into a tree that remembers where everything stood."""

from __future__ import annotations

from pathlib import Path

from bundler.manifest.findings import Finding
from bundler.manifest.yaml_tree import Mark, NotYaml, Tree, read

MAX_BYTES = 1 << 20
"""No such file is longer; a file of weights named by mistake is."""


class NotADocument(Exception):
    """A file that is not a YAML document; `finding` says why, and where."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def read_document(path: Path, expected: str) -> Tree:
    """Read a file; `expected` says what it should be, for people. Raises NotADocument."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise _refused(path, None, "a directory", expected) from None
    except FileNotFoundError:
        raise _refused(path, None, "no such file", expected) from None
    except (OSError, ValueError) as error:
        raise _refused(path, None, f"a file that can't be read: {error}", expected) from error
    if len(raw) > MAX_BYTES:
        raise _refused(path, None, f"more than {MAX_BYTES} bytes", f"{expected} of a few hundred lines")
    try:
        return read(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        mark = Mark(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise _refused(path, mark, f"the byte 0x{raw[error.start]:02x}", "text in UTF-8") from error
    except NotYaml as error:
        raise _refused(path, error.mark, f"broken YAML: {error}", "a YAML document") from error


def _refused(path: Path, mark: Mark | None, found: str, expected: str) -> NotADocument:
    place = mark or Mark(0, 0)
    return NotADocument(Finding(str(path), place.line, place.column, "", found, expected))
