"""What `bundle plan` says of the servers: each by itself, and all that share the first GPU together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bundler.core.records import to_json
from bundler.core.size import format_size
from bundler.manifest.names import SERVE
from bundler.operations.plan import PlanResult
from bundler.operations.plan_servers import ServerPlan
from bundler.planning import ServingPlan


def document(result: PlanResult) -> dict[str, object]:
    """`serve` and `services` as data, and `together` where there are several."""
    rest = {name: _server(server) for name, server in result.servers.items() if name != SERVE}
    return {"serve": _server(result.serve) if result.serve else None, "services": rest, "together": _together(result)}


def _server(server: ServerPlan) -> dict[str, object]:
    return {
        "kind": server.kind,
        "gpus": server.gpus,
        "per_gpu": to_json(server.per_gpu),
        "takes_bytes": server.takes,
        "beside": dict(server.beside),
        "problems": list(server.problems),
        "verdict": _verdict(server.fits),
    }


def _together(result: PlanResult) -> dict[str, object] | None:
    """What all servers take of the first GPU, which each of them is given."""
    if len(result.servers) < 2:
        return None
    total = _total(result.servers)
    servers = {name: server.takes for name, server in result.servers.items()}
    return {"bytes": total, "servers": servers, "verdict": _verdict(total <= result.gpu_bytes)}


def text(result: PlanResult) -> Iterator[str]:
    """The servers for people."""
    for name, server in result.servers.items():
        plan, does = server.per_gpu, _verdict(server.fits)
        if isinstance(plan, ServingPlan):
            yield f"{name}: {does}: weights {format_size(plan.weights_bytes)}"
            yield f"  KV cache {format_size(plan.kv_cache_bytes)}: {plan.kv_tokens} tokens"
        else:
            yield f"{name}: {does}: weights {format_size(plan.breakdown['weights'])}"
        yield f"  on the device {format_size(server.device_bytes)}, by formula, not compared with a GPU"
        yield from (f"  {problem}" for problem in server.problems)
    if len(result.servers) > 1:
        total, have = _total(result.servers), format_size(result.gpu_bytes)
        parts = ", ".join(f"{name} {format_size(server.takes)}" for name, server in result.servers.items())
        much = "" if total <= result.gpu_bytes else ": too much"
        yield f"servers: {format_size(total)} of the first GPU's {have}{much} ({parts})"


def _total(servers: Mapping[str, ServerPlan]) -> int:
    return sum(server.takes for server in servers.values())


def _verdict(fits: bool) -> str:
    return "fits" if fits else "does not fit"
