"""From a manifest's file to a manifest, or to everything that is wrong with it at once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bundler.manifest.document import NotADocument, read_document
from bundler.manifest.findings import Finding, ManifestRejected, Problem, dotted, shown
from bundler.manifest.presence import absent
from bundler.manifest.rules import problems
from bundler.manifest.salvage import Damage, without
from bundler.manifest.schema import Manifest
from bundler.manifest.wording import problem
from bundler.manifest.yaml_tree import Mark, Tree

MAX_ROUNDS = 20


def load(path: Path) -> Manifest:
    """Read, parse and check a manifest; its relative paths are seen from its directory.

    Raises ManifestRejected with every finding.
    """
    tree = _parse(path)
    if not isinstance(tree.data, dict):
        expected = "a mapping: name, version, images, ..."
        raise ManifestRejected(path, [_placed(path, Mark(1, 1), Problem((), shown(tree.data), expected))])
    manifest, wrong = _checked(tree, path.parent)
    findings = [_finding(path, tree, one) for one in wrong]
    findings += [_placed(path, mark, one) for mark, one in tree.problems]
    if manifest is None or findings:
        raise ManifestRejected(path, findings)
    return manifest


def _parse(path: Path) -> Tree:
    try:
        return read_document(path, "a manifest: a YAML file")
    except NotADocument as error:
        raise ManifestRejected(path, [error.finding]) from error


def _checked(tree: Tree, directory: Path) -> tuple[Manifest | None, list[Problem]]:
    """The manifest of a document and its problems: the schema's, and the rules' on all that the schema takes."""
    wrong: list[Problem] = []
    damage = Damage()
    unread = {one.path for _, one in tree.problems}
    for _, one in tree.problems:
        damage.add(one)
    data = tree.data
    for round_ in range(MAX_ROUNDS):
        manifest, refused = _validated(data, tree, directory)
        if manifest is not None:
            found = (*problems(manifest), *absent(manifest))
            return manifest, [*wrong, *(one for one in found if not damage.touches(one))]
        for one in refused:
            damage.add(one)
        if round_ == 0:
            wrong += (one for one in refused if one.path not in unread)
        data = without(data, refused)
    return None, wrong


def _validated(data: Any, tree: Tree, directory: Path) -> tuple[Manifest | None, list[Problem]]:
    try:
        return Manifest.model_validate(data, context={"directory": directory}), []
    except ValidationError as error:
        return None, [problem(one, _schema(), tree.texts) for one in error.errors()]


@cache
def _schema() -> dict[str, Any]:
    return Manifest.model_json_schema()


def _finding(path: Path, tree: Tree, one: Problem) -> Finding:
    return _placed(path, tree.mark(one.path, at_key=one.at_key), one)


def _placed(path: Path, mark: Mark, one: Problem) -> Finding:
    return Finding(
        str(path), mark.line, mark.column, dotted(one.path), one.found, one.expected, one.because, one.suggestion
    )
