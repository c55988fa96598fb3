"""Podman, 4.3 and newer, rootful: what the API that it shares with Docker lacks, through its own (libpod).

Seen with Podman 4.3.1: the shared API pulls only over TLS, drops requests for GPUs and the size of logs without a word,
and can't change a restart policy. https://docs.podman.io/en/latest/_static/api.html
"""

from __future__ import annotations

import http
import json
import time
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import APIError, NotFound

from bundler.engine import cdi
from bundler.engine.dialect import TMP
from bundler.engine.errors import EngineFailed
from bundler.workloads import labels
from bundler.workloads.container import ContainerSpec

_API = "v4.0.0/libpod"
_UNLIMITED = (1 << 64) - 1
"""RLIM_INFINITY (getrlimit(2)), as JSON has it."""


class Podman:
    """Podman's own ways."""

    product = "Podman"
    edge_options: Mapping[str, str] = {}
    """None: Podman can't make a bridge that publishes ports and does not masquerade (docs/limits.md)."""

    def __init__(self, api: docker.APIClient) -> None:
        self._api = api

    def pull(self, reference: str) -> None:
        """Its own pull can be told to do without TLS."""
        url = f"{self._api.base_url}/{_API}/images/pull"
        with self._api.post(
            url, params={"reference": reference, "tlsVerify": "false"}, stream=True, timeout=self._api.timeout
        ) as answer:
            _require(answer)
            for line in answer.iter_lines():
                if line and (error := json.loads(line).get("error")):
                    raise EngineFailed(f"the engine could not take in {reference}", because=str(error))

    def create(self, spec: ContainerSpec) -> str:
        """From Podman's own form of a spec."""
        answer = self._api.post(
            f"{self._api.base_url}/{_API}/containers/create", json=specgen(spec), timeout=self._api.timeout
        )
        _require(answer)
        return str(answer.json()["Id"])

    def keep_running(self, identity: str) -> None:
        """Nothing to do: a service has its restart policy from the beginning."""

    def halt(self, identity: str) -> None:
        """Podman takes a stop for one only while the container runs (204): between two starts it says 304, and goes on.

        A container that it has not started again for two seconds stays as it is.
        """
        url = f"{self._api.base_url}/{_API}/containers/{identity}/stop"
        patience = time.monotonic() + 2
        while time.monotonic() < patience:
            answer = self._api.post(url, params={"timeout": "10"}, timeout=self._api.timeout)
            _require(answer)
            if answer.status_code == http.HTTPStatus.NO_CONTENT:
                return
            time.sleep(0.02)

    def has_cdi(self, info: Mapping[str, Any]) -> bool:  # noqa: ARG002 - Podman does not say
        """As the specifications on this machine say."""
        return cdi.specified()


def specgen(spec: ContainerSpec) -> dict[str, Any]:
    """A container as Podman's own API wants it (SpecGenerator in pkg/specgen of Podman 4.3)."""
    document: dict[str, Any] = {
        "name": spec.name,
        "image": spec.image,
        "entrypoint": [spec.command[0]],
        "command": list(spec.command[1:]),
        "user": spec.user,
        "hostname": spec.hostname,
        "env": dict(spec.environment),
        "httpproxy": False,
        "labels": dict(spec.labels),
        "mounts": [
            *(
                {"type": "bind", "source": b.source, "destination": b.target}
                | {"options": ["rbind", "ro" if b.read_only else "rw"]}
                for b in spec.binds
            ),
            _tmpfs("/tmp", *TMP),
            # said here, because Podman 5 mounts its own read-only where the root is
            _tmpfs("/dev/shm", "rw", "noexec", "nosuid", "nodev", "mode=1777", f"size={spec.shm}"),
        ],
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "read_only_filesystem": True,
        "resource_limits": {"pids": {"limit": 0}},  # none, as with Docker; Podman's own are 2048
        "log_configuration": {"driver": "k8s-file", "size": 50 << 20},
        "init": True,
        "systemd": "false",
    }
    if spec.labels.get(labels.ROLE) in ("service", "proxy"):
        # `always` is what podman-restart.service starts again at boot
        document["restart_policy"] = "always"
    if spec.gpus:
        document["devices"] = [{"path": f"{cdi.GPU}={index}"} for index in range(spec.gpus)]
        document["r_limits"] = [{"type": "RLIMIT_MEMLOCK", "soft": _UNLIMITED, "hard": _UNLIMITED}]
    if spec.published:
        published = {"host_ip": spec.published.bind, "host_port": spec.published.port}
        document["portmappings"] = [published | {"container_port": spec.published.port, "protocol": "tcp"}]
    if spec.network == "none":
        return document | {"netns": {"nsmode": "none"}, "hostadd": [f"{spec.hostname}:127.0.0.1"]}
    joined: dict[str, Any] = {spec.network: {"aliases": [spec.alias]} if spec.alias else {}}
    return document | {"netns": {"nsmode": "bridge"}, "networks": joined}


def _tmpfs(where: str, *options: str) -> dict[str, Any]:
    return {"type": "tmpfs", "source": "tmpfs", "destination": where, "options": [*options]}


def _require(answer: Any) -> None:
    """Raises APIError, as the SDK does for its own calls."""
    if answer.status_code >= 400:
        try:
            explanation = answer.json().get("cause") or answer.json().get("message")
        except ValueError:
            explanation = answer.text
        kind = NotFound if answer.status_code == http.HTTPStatus.NOT_FOUND else APIError
        raise kind(explanation or answer.reason, response=answer, explanation=explanation)
