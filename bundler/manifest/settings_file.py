"""A settings file: parsed strictly, all that is wrong with it told at once, by line and column."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bundler.core.errors import UsageInvalid
from bundler.core.reference import MalformedReference
from bundler.manifest.document import NotADocument, read_document
from bundler.manifest.findings import Finding, KeyPath, Problem, dotted, shown
from bundler.manifest.mirrors import Mirrors, checked_place
from bundler.manifest.settings import checked_engine, checked_streams
from bundler.manifest.yaml_tree import Mark, Tree


class SettingsRejected(UsageInvalid):
    """A settings file that can't be used, with all that is wrong with it."""

    def __init__(self, path: Path, findings: Sequence[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: (finding.line, finding.column)))
        count = "1 problem" if len(self.findings) == 1 else f"{len(self.findings)} problems"
        super().__init__(
            f"{path} has {count}",
            because="\n".join(str(finding) for finding in self.findings),
            hint="bundle config --help   # the keys and an example",
        )


def read_settings(path: Path) -> dict[str, tuple[Any, str]]:
    """A file's settings, each with its place in the file. Raises SettingsRejected."""
    try:
        tree = read_document(path, "settings: a YAML file")
    except NotADocument as error:
        raise SettingsRejected(path, [error.finding]) from error
    reader = _Reader(path, tree)
    found = reader.read()
    problems = [*tree.problems, *reader.problems]
    if problems:
        raise SettingsRejected(path, [_finding(path, mark, one) for mark, one in problems])
    return found


class _Reader:
    """Turns a tree into settings, and notes what can't be."""

    def __init__(self, path: Path, tree: Tree) -> None:
        self.problems: list[tuple[Mark, Problem]] = []
        self._path = path
        self._tree = tree

    def read(self) -> dict[str, tuple[Any, str]]:
        """Each key's value and place."""
        kinds: dict[str, Callable[[Any], Any]] = {
            "mirrors": self._mirrors,
            "store": self._store,
            "streams": self._streams,
            "engine": self._engine,
        }
        if self._tree.data is None and not self._tree.problems:
            return {}  # an empty file, or one of comments
        if not isinstance(self._tree.data, dict):
            self._refuse((), shown(self._tree.data), f"a mapping with the keys {', '.join(kinds)}")
            return {}
        found: dict[str, tuple[Any, str]] = {}
        for key, value in self._tree.data.items():
            mark = self._tree.mark((key,), at_key=True)
            if key in kinds:
                found[key] = kinds[key](value), f"{self._path}:{mark.line}:{mark.column}"
            else:
                near = next(iter(difflib.get_close_matches(key, kinds, n=1)), "")
                expected = f"one of the keys {', '.join(kinds)}"
                self.problems.append((mark, Problem((key,), "an unknown key", expected, suggestion=near)))
        return found

    def _streams(self, value: Any) -> int | None:
        try:
            return checked_streams(value)
        except ValueError as error:
            self._refuse(("streams",), shown(value), str(error))
            return None

    def _engine(self, value: Any) -> str | None:
        try:
            return checked_engine(value)
        except ValueError as error:
            self._refuse(("engine",), shown(value), str(error))
            return None

    def _store(self, value: Any) -> Path | None:
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            self._refuse(("store",), shown(value), "a directory")
            return None
        return self._path.parent / Path(value).expanduser()

    def _mirrors(self, value: Any) -> Mirrors | None:
        if not isinstance(value, dict):
            self._refuse(("mirrors",), shown(value), "a mapping of a registry to a list of its mirrors")
            return None
        by_prefix = {}
        for prefix, listed in value.items():
            self._place(prefix, ("mirrors",), self._tree.mark(("mirrors", prefix), at_key=True))
            if not isinstance(listed, list):
                self._refuse(("mirrors", prefix), shown(listed), "a list of mirrors, like [mirror.example]")
                continue
            for at, mirror in enumerate(listed):
                self._place(mirror, ("mirrors",), self._tree.mark(("mirrors", prefix, at), at_key=False))
            by_prefix[prefix] = tuple(listed)
        return Mirrors(by_prefix)

    def _place(self, text: Any, path: KeyPath, mark: Mark) -> None:
        try:
            checked_place(text if isinstance(text, str) else "")
        except MalformedReference as error:  # what was found is not repeated: it may hold a login
            self.problems.append((mark, Problem(path, "something else", error.what)))

    def _refuse(self, path: KeyPath, found: str, expected: str) -> None:
        self.problems.append((self._tree.mark(path, at_key=False), Problem(path, found, expected)))


def _finding(path: Path, mark: Mark, one: Problem) -> Finding:
    return Finding(
        str(path), mark.line, mark.column, dotted(one.path), one.found, one.expected, one.because, one.suggestion
    )
