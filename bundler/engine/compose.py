"""The containers of a bundle as a Compose file: for people who want to see them so, or to run them without `bundle up`.

https://github.com/compose-spec/compose-spec/blob/main/spec.md. Each says what docker.py asks of the engine. A `$` is
doubled, because Compose puts variables in. Written by hand: the agent carries no YAML library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bundler.workloads import labels
from bundler.workloads.container import ContainerSpec, Placement
from bundler.workloads.flat_yaml import is_plain
from bundler.workloads.planned import Planned

_HEADER = """\
# The containers of {name}, as `bundle up` runs them.
# Images must have been loaded, models, datasets and configuration laid out, and the directories that are written must
# belong to {user}: `bundle up` does all that.
"""


def compose(planned: Sequence[Planned], at: Placement) -> str:
    """The Compose file of a bundle on a node."""
    services = {name: member for one in planned for name, member in _services(one)}
    document: dict[str, Any] = {"name": at.project.replace(".", "-"), "services": services}
    networks = sorted({network for one in planned for spec in one.specs for network in (spec.network, spec.edge)})
    if named := {name: _network(name, at) for name in networks if name not in ("", "none")}:
        document["networks"] = named
    return _HEADER.format(name=at.bundle, user=at.user) + "\n".join(_lines(document)) + "\n"


def _services(one: Planned) -> Iterator[tuple[str, dict[str, Any]]]:
    workload = one.workload
    condition = "service_started" if workload.is_early else "service_completed_successfully"
    after = {job: {"condition": condition} for job in one.needs}
    main = _service(one.spec)
    main |= {"depends_on": after} if after else {}
    if workload.is_service:
        main |= {"restart": "unless-stopped", "healthcheck": _healthcheck(one)}
    yield workload.name, main
    if one.proxy and not workload.is_service:  # the way out of a job
        yield f"{workload.name}--gate", _service(one.proxy)
    elif one.proxy:
        proxied = _service(one.proxy)
        proxied |= {"depends_on": {workload.name: {"condition": "service_healthy"}}, "restart": "unless-stopped"}
        yield f"{workload.name}--proxy", proxied


def _service(spec: ContainerSpec) -> dict[str, Any]:
    service: dict[str, Any] = {
        "container_name": spec.name,
        "image": spec.image,
        "pull_policy": "never",
        "entrypoint": [spec.command[0]],
        "command": list(spec.command[1:]),
        "user": spec.user,
        "hostname": spec.hostname,
        "init": True,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "tmpfs": ["/tmp:rw,exec,nosuid,nodev,mode=1777"],
        "shm_size": spec.shm,
        "logging": {"driver": "json-file", "options": {"max-size": "50m", "max-file": "3"}},
        "labels": dict(spec.labels),
    }
    if spec.environment:
        service["environment"] = dict(spec.environment)
    if spec.binds:
        service["volumes"] = [
            {"type": "bind", "source": bind.source, "target": bind.target, "read_only": bind.read_only}
            | {"bind": {"create_host_path": False}}
            for bind in spec.binds
        ]
    if spec.gpus:
        gpus = {"driver": "nvidia", "count": spec.gpus, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [gpus]}}}
        service["ulimits"] = {"memlock": {"soft": -1, "hard": -1}}
    if spec.published:
        bind = f"[{spec.published.bind}]" if ":" in spec.published.bind else spec.published.bind
        service["ports"] = [f"{bind}:{spec.published.port}:{spec.published.port}"]
    if spec.network == "none":
        return service | {"network_mode": "none", "extra_hosts": [f"{spec.hostname}:127.0.0.1"]}
    networks: dict[str, Any] = {spec.network: {"aliases": [spec.alias]} if spec.alias else {}}
    return service | {"networks": networks | ({spec.edge: {}} if spec.edge else {})}


def _healthcheck(one: Planned) -> dict[str, Any]:
    """Asks inside the container, with what its image has."""
    workload = one.workload
    address = f"http://127.0.0.1:{workload.inner or workload.port}{workload.health or '/'}"
    if workload.runtime == "node":
        source = f"fetch('{address}').then((it) => process.exit(it.ok ? 0 : 1), () => process.exit(1))"
        test = ["CMD", "node", "-e", source]
    else:
        test = ["CMD", "python3", "-c", f"import urllib.request as it; it.urlopen('{address}', timeout=5)"]
    return {"test": test, "interval": "10s", "timeout": "10s", "retries": 3, "start_period": "1h"}


def _network(name: str, at: Placement) -> dict[str, Any]:
    network: dict[str, Any] = {"name": name, "driver": "bridge", "labels": {labels.BUNDLE: at.bundle}}
    if name == at.inner:
        return network | {"internal": True}
    if name == at.outer:
        return network
    return network | {"driver_opts": {"com.docker.network.bridge.enable_ip_masquerade": "false"}}


def _lines(value: Any, indent: int = 0) -> Iterator[str]:
    """A mapping or a sequence in block style; empty ones and scalars stand on their key's line."""
    pad = "  " * indent
    items = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for key, item in items:
        head = f"{pad}{_scalar(key)}:" if key is not None else f"{pad}-"
        if not isinstance(item, (Mapping, list)):
            yield f"{head} {_scalar(item)}"
        elif not item:
            yield f"{head} {'{}' if isinstance(item, Mapping) else '[]'}"
        elif key is None and isinstance(item, Mapping):
            first, *rest = _lines(item, indent + 1)
            yield f"{pad}- {first.lstrip()}"
            yield from rest
        else:
            yield head
            yield from _lines(item, indent + 1)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if is_plain(value):
        return value
    return json.dumps(value.replace("$", "$$"))
