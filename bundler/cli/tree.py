"""Trees for people: a line for each node, drawn with box characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A line, and what hangs below it."""

    line: str
    below: Sequence[Node] = ()


def tree(root: Node) -> str:
    """The tree as text, without a newline at its end."""
    return "\n".join([root.line, *_below(root, "")])


def _below(node: Node, indent: str) -> Iterator[str]:
    for position, child in enumerate(node.below, start=1):
        last = position == len(node.below)
        yield f"{indent}{'└─ ' if last else '├─ '}{child.line}"
        yield from _below(child, indent + ("   " if last else "│  "))
