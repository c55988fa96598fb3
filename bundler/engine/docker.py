"""An engine, Docker or Podman, through the docker SDK. Imported only by verbs that change something."""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from bundler.core.descriptor import Descriptor
from bundler.engine.dialect import LOG, Dialect, Docker
from bundler.engine.endpoint import chosen, client, endpoint
from bundler.engine.errors import EngineFailed, NoEngine, OtherEngine, require_ours, root_cause
from bundler.engine.info import EngineInfo
from bundler.engine.log_lines import lines
from bundler.engine.podman import Podman
from bundler.workloads import labels
from bundler.workloads.container import ContainerSpec

_HELLO = 30
"""Seconds in which an engine answers a question; one that is wedged never does."""
_WORK = 3600
"""Seconds without a byte in its longest works: unpacking a large layer, saving an image."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container as the engine sees it. `exit_code` means something once it does not run.

    `restarts` counts how often the engine has started it again by itself.
    """

    id: str
    name: str
    running: bool
    exit_code: int
    labels: dict[str, str]
    started: str
    restarts: int = 0

    @property
    def directory(self) -> str:
        """The release that it belongs to; empty where it is none of ours."""
        return self.labels.get(labels.DIRECTORY, "")

    @property
    def ended_well(self) -> bool:
        """Whether it has run to its end; one that was only created has exit code 0 too, and no start."""
        return not self.running and self.exit_code == 0 and not self.started.startswith("0001-")


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except RequestsConnectionError as error:
        raise NoEngine(endpoint(), f"the connection broke while {doing}: {error}") from error
    except APIError as error:
        raise EngineFailed(
            f"the engine refused {doing}",
            because=str(error.explanation or error),
            hint=f"{client()} info   # shows whether the engine is well; its own log says more",
        ) from error
    except (RequestException, HTTPError, struct.error) as error:  # the engine went away in the middle of an answer
        raise NoEngine(endpoint(), f"the connection broke while {doing}: {root_cause(error)}") from error
    except DockerException as error:
        raise EngineFailed(f"the docker SDK failed while {doing}", because=str(error)) from error


class DockerEngine:
    """An engine that answers Docker's API: Docker, or Podman. Where the two differ, a dialect knows how."""

    def __init__(self, client: docker.DockerClient, dialect: Dialect) -> None:
        self._client = client
        self._api = client.api
        self._dialect = dialect

    @classmethod
    def connect(cls) -> DockerEngine:
        """The engine that was chosen (see endpoint.py), or that answers. Raises NoEngine, OtherEngine."""
        where = endpoint()
        try:
            client = docker.from_env(timeout=_HELLO, environment={**os.environ, "DOCKER_HOST": where})
            parts: list[dict[str, Any]] = client.version().get("Components") or []
        except (DockerException, RequestException) as error:
            raise NoEngine(where, root_cause(error)) from error
        client.api.timeout = _WORK
        is_podman = any("podman" in str(part.get("Name", "")).lower() for part in parts)
        dialect: Dialect = Podman(client.api) if is_podman else Docker(client.api)
        if chosen() not in ("auto", dialect.product.lower()):
            raise OtherEngine(where, dialect.product)
        return cls(client, dialect)

    @property
    def product(self) -> str:
        """What the engine calls itself: Docker, Podman."""
        return self._dialect.product

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """A question, which an engine that is well answers at once: one that does not is told as gone."""
        self._api.timeout = _HELLO
        try:
            with _explained(doing):
                yield
        finally:
            self._api.timeout = _WORK

    def info(self) -> EngineInfo:
        """Version, storage driver, data directory, runtimes."""
        with self._asking("describing itself"):
            info: dict[str, Any] = self._client.info()
        return EngineInfo(
            version=info.get("ServerVersion", ""),
            storage=info.get("Driver", ""),
            root=info.get("DockerRootDir", ""),
            runtimes=tuple(info.get("Runtimes") or ()),
            cdi=self._dialect.has_cdi(info),
            cgroup_driver=info.get("CgroupDriver", ""),
            cgroup_version=str(info.get("CgroupVersion", "")),
            security=(
                *(info.get("SecurityOptions") or ()),
                *(("name=rootless",) if info.get("Rootless") else ()),  # Podman's own member
            ),
            product=self._dialect.product,
        )

    # Images

    def image(self, manifest: Descriptor, config: Descriptor) -> str | None:
        """The id of an image that the engine holds, or None.

        It is the config's digest, except in the containerd image store, where it is the manifest's.
        """
        for digest in (config.digest, manifest.digest):
            try:
                with self._asking("looking for an image"):
                    found: dict[str, Any] = self._client.images.get(str(digest)).attrs
                    return cast(str, found["Id"])
            except EngineFailed as error:
                if not isinstance(error.__cause__, ImageNotFound):
                    raise
        return None

    def pull(self, reference: str) -> None:
        """Pull by digest from a registry on the loopback."""
        with _explained(f"the pull of {reference}"):
            self._dialect.pull(reference)

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give an image a name, so that it is found by people and not pruned."""
        with _explained(f"naming an image {repository}:{tag}"):
            self._api.tag(image, repository, tag)

    def pulled_as(self, image: str) -> tuple[str, ...]:
        """The names by digest, `REPOSITORY@DIGEST`, under which an image came here."""
        with self._asking("looking at an image's names"):
            return tuple(self._client.images.get(image).attrs.get("RepoDigests") or ())

    def untag(self, reference: str) -> None:
        """Take a name from an image; the image stays as long as it has another."""
        with _explained(f"removing the name {reference}"):
            self._api.remove_image(reference, noprune=True)

    def reaches(self, reference: str) -> bool:
        """Whether the engine can read this image's manifest from the registry that its reference names."""
        try:
            with _explained(f"asking the registry for {reference}"):
                self._client.images.get_registry_data(reference)
        except NoEngine:
            raise
        except EngineFailed:
            return False
        return True

    def output(self, image: str, command: tuple[str, ...]) -> bytes | None:
        """What a program of an image prints, in a container without a network; None where it fails or is not there."""
        host = self._api.create_host_config(network_mode="none", cap_drop=["ALL"], log_config=LOG)
        with _explained(f"looking into {image}"):
            made = self._api.create_container(
                image, entrypoint=[command[0]], command=list(command[1:]), host_config=host
            )
            try:
                self._api.start(made["Id"])
                ended = int(self._api.wait(made["Id"])["StatusCode"])
                printed = self._api.logs(made["Id"], stdout=True, stderr=False)
                return None if ended else printed
            except APIError as error:
                if error.status_code is not None and error.status_code < 500:  # no such program
                    return None
                raise
            finally:
                self._api.remove_container(made["Id"], force=True)

    def save(self, image: str) -> Iterator[bytes]:
        """The image as the tar stream of `docker save`."""
        with _explained(f"saving {image}"):
            yield from self._api.get_image(image, chunk_size=1 << 20)

    def load(self, tar: Iterator[bytes], what: str) -> None:
        """Take in the tar stream of `docker load`."""
        with _explained(f"loading {what}"):
            for line in cast(Any, self._api).load_image(tar):
                if "error" in line:
                    raise EngineFailed(f"the engine could not take in {what}", because=str(line["error"]))

    def remove_image(self, image: str) -> None:
        """Remove an image, its names, and bundles' containers of it. Raises EngineFailed where another uses it."""
        for found in self.list_containers({"ancestor": image, "label": labels.BUNDLE}):
            self.remove(found["Id"])
        with _explained(f"removing the image {image}"):
            self._api.remove_image(image, force=True)

    # Networks and containers

    def ensure_network(self, name: str, labels: dict[str, str], *, internal: bool, masquerade: bool = False) -> None:
        """A bridge with this name: internal (no gateway), or one that only lets published ports in; with
        `masquerade`, one that packets leave and come back to.
        """
        options = {} if internal or masquerade else dict(self._dialect.edge_options)
        with _explained(f"making the network {name}"):
            # the filter takes a pattern, and a dot in a bundle's name stands for any letter there
            for network in self._api.networks(names=[f"^{name}$"]):
                if network["Name"] == name:
                    require_ours(network, labels, internal=internal)
                    return
            self._api.create_network(
                name, driver="bridge", internal=internal, options=options, labels=labels, check_duplicate=True
            )

    def start(self, spec: ContainerSpec) -> str:
        """Create and start a container. Returns its id; raises EngineFailed and leaves none behind."""
        with _explained(f"starting {spec.name}"):
            identity = self._dialect.create(spec)
            try:
                if spec.edge:
                    self._api.connect_container_to_network(identity, spec.edge)
                self._api.start(identity)
            except BaseException:
                self._api.remove_container(identity, force=True)
                raise
        return identity

    def find(self, name: str) -> ContainerState | None:
        """The container with this name, running or not."""
        with self._asking(f"looking for the container {name}"):
            try:
                return self._state(name)
            except NotFound:
                return None

    def _state(self, name: str) -> ContainerState:
        found = self._api.inspect_container(name)
        state = found["State"]
        return ContainerState(
            id=found["Id"],
            name=found["Name"].lstrip("/"),
            running=bool(state["Running"]) and not state.get("Restarting"),
            exit_code=int(state["ExitCode"]),
            labels=found["Config"]["Labels"] or {},
            started=state["StartedAt"],
            restarts=int(found.get("RestartCount") or 0),
        )

    def list_containers(self, filters: dict[str, Any]) -> list[dict[str, Any]]:
        """The engine's own list of containers, running or not (see `listing`, which is faster where it can be)."""
        with self._asking("listing containers"):
            found: list[dict[str, Any]] = self._api.containers(all=True, filters=filters)
        return found

    def wait(self, identity: str) -> int:
        """Wait for a container to end. Returns its exit code."""
        with _explained("waiting for a container"):
            return int(self._api.wait(identity, timeout=None)["StatusCode"])

    def logs(self, identity: str, *, tail: int | None = None, follow: bool = False) -> Iterator[bytes]:
        """A container's output, in the pieces that it came in; its end only after the container's with `follow`."""
        with _explained("reading a log"):
            yield from self._api.logs(identity, stream=True, follow=follow, tail="all" if tail is None else tail)

    def last_words(self, identity: str, count: int) -> tuple[str, ...]:
        """The last lines of a container's output, and those of its errors that are not among them.

        The engine reads output and errors from two pipes, so an error may stand before lines printed earlier.
        """
        both = self._last_lines(identity, count, stdout=True)
        errors = self._last_lines(identity, count, stdout=False)
        return (*both, *(line for line in errors if line not in both))

    def _last_lines(self, identity: str, count: int, *, stdout: bool) -> tuple[str, ...]:
        """All is read, because the engine's own `tail` counts lines of both pipes, also where one is asked for."""
        with _explained("reading a log"):
            return tuple(deque(lines(self._api.logs(identity, stdout=stdout, stderr=True, stream=True)), maxlen=count))

    def keep_running(self, identity: str) -> None:
        """From now on the engine starts this container again when it or the machine has stopped."""
        with _explained("setting a restart policy"):
            self._dialect.keep_running(identity)

    def halt(self, identity: str) -> None:
        """Stop a container, with 10 seconds' notice, and start it no more by itself; it stays, and its log."""
        with _explained("stopping a container"), suppress(NotFound):
            self._dialect.halt(identity)

    def remove(self, identity: str) -> None:
        """Stop a container, with 10 seconds' notice, and remove it."""
        with _explained("removing a container"):
            try:
                self._api.stop(identity, timeout=10)
                self._api.remove_container(identity, force=True)
            except NotFound:
                return

    def remove_networks(self, bundle: str) -> None:
        """Remove a bundle's networks."""
        with _explained("removing networks"):
            for network in self._client.networks.list(filters={"label": f"{labels.BUNDLE}={bundle}"}):
                network.remove()
