"""The servers of a plan: a bar for each, and one of what all take of the GPU that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bundler.report.memory import MemoryBar, evaluation_bar, serving_bar, together_bar


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server: its name in the manifest, the plan's words on it, and its bar. `cached` is None where it keeps no
    cache of its own between requests.
    """

    name: str
    plan: Mapping[str, Any]
    bar: MemoryBar
    cached: int | None


def servers(plan: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """`serve` and all `services` of a plan, by name."""
    if serve := plan.get("serve"):
        yield "serve", serve
    yield from (plan.get("services") or {}).items()


def server_views(plan: Mapping[str, Any]) -> tuple[ServerView, ...]:
    """As the page shows them."""
    return tuple(_view(name, one, plan["gpu_bytes"]) for name, one in servers(plan))


def together(plan: Mapping[str, Any]) -> MemoryBar | None:
    """What all servers take, where there are several."""
    found = plan.get("together")
    return together_bar(found["servers"], plan["gpu_bytes"]) if found else None


def problems(server: Mapping[str, Any]) -> tuple[str, ...]:
    """Why a server would not start, or not answer."""
    return tuple(server["problems"])


def _view(name: str, one: Mapping[str, Any], gpu_bytes: int) -> ServerView:
    per_gpu = one["per_gpu"]
    title = f"{name}: memory of one GPU"
    cached = per_gpu.get("kv_tokens")
    bar = (evaluation_bar if cached is None else serving_bar)(per_gpu, gpu_bytes, title)
    return ServerView(name, one, bar, cached)
