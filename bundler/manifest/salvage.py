"""What is left of a document when all that the schema refuses is taken out, so that no error hides another.

A typing error in one key must not keep the rules from speaking of all the rest. What follows only from a part that
was taken out is no news: `Damage` says which places those are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from bundler.manifest.findings import KeyPath, Problem

_REQUIRED: Mapping[str, Any] = {
    "name": "stand-in",
    "version": "0",
    "image": "stand-in",
    "model": "stand-in",
    "datasets": ["stand-in"],
    "template": "stand-in",
    "llamafactory": "0",
    **dict.fromkeys(("vllm", "sglang", "llamafactory_api", "llamaboard", "easy_dataset", "swanlab"), "0"),
    "base": "stand-in",
    "text": "stand-in",
}
"""For keys that a section can't do without: the section stays, and the rules speak of the rest of it."""

_ARTIFACTS: Mapping[str, Any] = {
    "images": {"registry": "stand-in"},
    "models": {"path": "."},
    "datasets": {"path": "stand-in"},
}
"""For an artifact: its name stays, so that those who use it are not told that it does not exist."""


class Damage:
    """The places where something was taken out."""

    def __init__(self) -> None:
        self._places: set[KeyPath] = set()

    def add(self, problem: Problem) -> None:
        """Note a problem's place, and that of the key which was perhaps meant."""
        self._places.update((problem.path, *problem.concerns))

    def touches(self, problem: Problem) -> bool:
        """Whether this problem follows, or may follow, from a place that was taken out."""
        wanted = (problem.path, *problem.concerns)
        return any(_overlap(one, other) for one in wanted for other in self._places)


def without(data: Any, problems: Sequence[Problem]) -> Any:
    """A copy of a document without the places that these problems are about; what must be there gets a stand-in."""
    rest = copy.deepcopy(data)
    for problem in problems:
        if not problem.at_key:
            _replace(rest, problem.path)
    for problem in problems:
        if problem.at_key:
            _remove(rest, problem.path)
    return rest


def _replace(data: Any, path: KeyPath) -> None:
    """Put the stand-in where something is wrong or missing; without one, take it out, or the mapping that lacks it."""
    if not path:
        return
    if isinstance(path[-1], int):  # taking out one item would shift the others: the list goes
        _replace(data, path[:-1])
        return
    parent = _parent(data, path)
    stand_in = _stand_in(path)
    if isinstance(parent, dict) and stand_in is not None:
        parent[path[-1]] = copy.deepcopy(stand_in)
    elif isinstance(parent, dict) and path[-1] in parent:
        del parent[path[-1]]
    else:
        _replace(data, path[:-1])


def _remove(data: Any, path: KeyPath) -> None:
    parent = _parent(data, path)
    if isinstance(parent, dict):
        parent.pop(path[-1], None)


def _stand_in(path: KeyPath) -> Any:
    section, key = path[0], str(path[-1])
    if len(path) == 1:
        return _REQUIRED[key] if key in ("name", "version") else None
    if len(path) == 2 and section in _ARTIFACTS:
        return _ARTIFACTS[str(section)]
    return None if len(path) == 2 and section == "services" else _REQUIRED.get(key)


def _parent(data: Any, path: KeyPath) -> Any:
    for part in path[:-1]:
        if isinstance(part, int):
            data = data[part] if isinstance(data, list) and part < len(data) else None
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]
