"""The registry: Debian's docker-registry (CNCF distribution) on the loopback."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from scripts.world import ports
from scripts.world.daemon import Daemon
from scripts.world.errors import WorldError, find_program

PORT_VARIABLE = "BUNDLE_WORLD_REGISTRY_PORT"
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)


@dataclass(frozen=True)
class Credentials:
    """A user of the registry, checked with HTTP basic authentication."""

    user: str
    password: str

    def header(self) -> str:
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def htpasswd(self) -> str:
        """The line of an htpasswd file; distribution accepts bcrypt only."""
        import bcrypt

        return f"{self.user}:{bcrypt.hashpw(self.password.encode(), bcrypt.gensalt(4)).decode()}\n"


class Registry:
    """A registry over a directory; blobs stay there when it stops."""

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        *,
        credentials: Credentials | None = None,
        tied: bool = False,
    ) -> None:
        self.directory = directory
        self.port = port or ports.free_port()
        self.credentials = credentials
        self._tied = tied

    @property
    def address(self) -> str:
        """`host:port`, the first part of its references."""
        return f"{ports.LOOPBACK}:{self.port}"

    @property
    def daemon(self) -> Daemon:
        program = find_program("docker-registry", "docker-registry")
        command = (program, "serve", str(self.directory / "config.yml"))
        return Daemon("registry", command, self.directory, tied=self._tied)

    def start(self) -> bool:
        """Start and wait for /v2/ to answer; False when it ran already."""
        daemon = self.daemon
        if not daemon.running():
            ports.claim(self.port, "registry", PORT_VARIABLE)
            self._configure()
        return daemon.start(self._answers)

    def stop(self) -> bool:
        return self.daemon.stop()

    def running(self) -> bool:
        return self.daemon.running() and self._answers()

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest that a tag names, or None when the registry has no such image."""
        request = self._request(f"/v2/{repository}/manifests/{reference}", method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                digest: str = answer.headers["Docker-Content-Digest"]
                return digest
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise WorldError(f"the registry answers {error.code} for {repository}:{reference}") from error

    def __enter__(self) -> Registry:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _request(self, path: str, method: str = "GET") -> urllib.request.Request:
        headers = {"Accept": _MANIFESTS}
        if self.credentials:
            headers["Authorization"] = self.credentials.header()
        return urllib.request.Request(f"http://{self.address}{path}", headers=headers, method=method)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._request("/v2/"), timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _configure(self) -> None:
        storage = self.directory / "data"
        storage.mkdir(parents=True, exist_ok=True)
        # JSON is YAML, and needs no quoting rules of our own.
        config: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
            "http": {"addr": self.address},
        }
        if self.credentials:
            users = self.directory / "htpasswd"
            users.write_text(self.credentials.htpasswd())
            config["auth"] = {"htpasswd": {"realm": "bundle-world", "path": str(users)}}
        (self.directory / "config.yml").write_text(json.dumps(config, indent=1) + "\n")


def configured_port(directory: Path) -> int | None:
    """The port that the registry over a directory was last started on."""
    try:
        address: str = json.loads((directory / "config.yml").read_text())["http"]["addr"]
        return int(address.rpartition(":")[2])
    except (OSError, ValueError, KeyError):
        return None
