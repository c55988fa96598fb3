"""YAML to plain values that remember where they stood.

Scalars are read by YAML 1.2's core schema (yaml.org/spec/1.2.2, 10.3.2), not by PyYAML's 1.1: `1e-4` is a
number, `no` and `on` are text, `12:30` is no sexagesimal, and a date is text. A key that stands twice is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from bundler.manifest.findings import KeyPath, Problem

MAX_VALUES = 20_000
"""No manifest has more values than this; aliases of aliases could make any number of them."""

_PREFIX = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Tree:
    """A document's plain values, the places of its keys and values, and what could not be read."""

    data: Any = None
    keys: dict[KeyPath, Mark] = field(default_factory=dict)
    values: dict[KeyPath, Mark] = field(default_factory=dict)
    texts: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[tuple[Mark, Problem]] = field(default_factory=list)

    def mark(self, path: KeyPath, *, at_key: bool) -> Mark:
        """The place of a path; of the nearest thing around it when it is not there."""
        first, second = (self.keys, self.values) if at_key else (self.values, self.keys)
        for length in range(len(path), -1, -1):
            found = first.get(path[:length]) or second.get(path[:length])
            if found:
                return found
            first, second = self.keys, self.values  # something missing is reported at its mapping's key
        return Mark(1, 1)


class NotYaml(Exception):
    """Text that is not one YAML document."""

    def __init__(self, problem: str, mark: Mark) -> None:
        super().__init__(problem)
        self.mark = mark


class _CoreSchema(yaml.SafeLoader):
    """Resolves plain scalars by YAML 1.2's core schema."""


_CoreSchema.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _CoreSchema.add_implicit_resolver(f"{_PREFIX}{_tag}", re.compile(f"(?:{_pattern})$"), _first)


def read(text: str) -> Tree:
    """Read one YAML document. Raises NotYaml."""
    try:
        root = yaml.compose(text, Loader=_CoreSchema)
        tree = Tree()
        if root is not None:
            tree.data = _Reader(tree).visit(root, (), ())
        return tree
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise NotYaml(problem, Mark(where.line + 1, where.column + 1) if where else Mark(1, 1)) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise NotYaml("a character that YAML does not allow", mark) from error
    except (RecursionError, ValueError) as error:  # ValueError: PyYAML on a %YAML directive of huge numbers
        raise NotYaml("lists or mappings nested too deeply, or a bad directive", Mark(1, 1)) from error


class _Reader:
    """Walks YAML's nodes once, and notes where each stood."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._count = 0

    def visit(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> Any:
        """The plain value of a node; `above` are the nodes that it stands in."""
        self._tree.values[path] = _mark(node)
        self._count += 1
        if self._count > MAX_VALUES or node in above:
            raise NotYaml(f"an alias of itself, or more than {MAX_VALUES} values", _mark(node))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_PREFIX}map":
            return self._mapping(node, path, (*above, node))
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_PREFIX}seq":
            return [self.visit(item, (*path, at), (*above, node)) for at, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag != f"{_PREFIX}str" or not _encodable(key_node.value):
                expected = "text as a key, in quotes where it looks like a number"
                self._report(key_node, Problem(path, "another kind of key", expected))
                continue
            inner = (*path, key_node.value)
            if key_node.value in members:
                expected = f"it once: it stands in line {self._tree.keys[inner].line} too"
                self._report(key_node, Problem(inner, "the key again", expected))
                continue
            self._tree.keys[inner] = _mark(key_node)
            members[key_node.value] = self.visit(value_node, inner, above)
        return members

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        try:
            value = _SCALARS[node.tag.removeprefix(_PREFIX)](node.value)
        except (KeyError, ValueError, TypeError, AttributeError):
            self._report(node, Problem(path, f"a value with the tag '{node.tag}'", "a plain value without a tag"))
            return None
        if not _encodable(node.value):
            self._report(node, Problem(path, "half of a surrogate pair", "text that has a UTF-8 form"))
            return None
        self._tree.texts[path] = node.value
        return value

    def _report(self, node: yaml.Node, problem: Problem) -> None:
        self._tree.problems.append((_mark(node), problem))


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": _float,
}


def _encodable(text: str) -> bool:
    """Whether text can be written to the lock: a `\\ud800` in double quotes can't."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)
