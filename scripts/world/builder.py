"""Building an image from a dockerfile template, as the product does, but without it."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.world.engine import Engine
from scripts.world.errors import WorldError

_INCLUDE = "include"
_FIRST_WITHOUT_BUILDKIT = 23  # from here on the docker client hands builds to the buildx plugin
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Dockerfile:
    """A template's directory, what fills it in, and directories that the build reads besides."""

    directory: Path
    base: str
    arguments: Mapping[str, str]
    extra: Mapping[str, Path]

    def render(self) -> str:
        """The text of the Dockerfile; a variable that nobody gave is an error."""
        places = (self.directory, self.directory.parent / _INCLUDE)
        environment = Environment(
            loader=FileSystemLoader(places),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            autoescape=False,
        )
        return environment.get_template("Dockerfile.j2").render(base=self.base, arguments=dict(self.arguments))

    def write_context(self, stream: IO[bytes]) -> None:
        """The build context as a tar without times and owners, so that the build cache knows it again."""
        sources = {"": self.directory, _INCLUDE: self.directory.parent / _INCLUDE, **self.extra}
        with tarfile.open(fileobj=stream, mode="w|", bufsize=1 << 20) as tar:
            text = self.render().encode()
            tar.addfile(_entry("Dockerfile", len(text)), io.BytesIO(text))
            for prefix, top in sources.items():
                for path in sorted(one for one in top.rglob("*") if one.is_file()):
                    name = os.path.join(prefix, path.relative_to(top))
                    with path.open("rb") as content:
                        tar.addfile(_entry(name, path.stat().st_size), content)


def build(dockerfile: Dockerfile, tag: str, engine: Engine, pip_conf: Path) -> None:
    """Build and tag the image with BuildKit, on the network of this machine."""
    proxies = [f"--build-arg={name}" for name in _PROXIES if os.environ.get(name)]
    secrets = {"ca.crt": Path(os.environ.get("SSL_CERT_FILE") or _CERTIFICATES), "pip.conf": pip_conf}
    command = (
        buildkit_client(),
        "build",
        "--network=host",
        "--progress=plain",
        f"--tag={tag}",
        *(f"--secret=id={name},src={path}" for name, path in secrets.items() if path.is_file()),
        *proxies,
        "-",
    )
    environment = {**engine.environment(), "DOCKER_BUILDKIT": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    assert process.stdin is not None
    feeder = threading.Thread(target=_feed, args=(dockerfile, process.stdin), daemon=True)
    feeder.start()
    assert process.stdout is not None
    lines = process.stdout.read().decode(errors="replace").splitlines()
    feeder.join()
    if process.wait():
        errors = [line for line in lines if "ERROR" in line] or lines[-1:] or ["no message"]
        raise WorldError(f"building {tag} failed: {errors[0].strip()}", f"see {_keep(lines, engine)}")


def buildkit_client() -> str:
    """The first docker client on PATH that can use BuildKit."""
    for directory in (*os.get_exec_path(), "/usr/bin"):
        client = shutil.which("docker", path=directory)
        if client and _has_buildkit(client):
            return client
    raise WorldError("no docker client here can build with BuildKit", "apt-get install docker.io")


def _has_buildkit(client: str) -> bool:
    told = subprocess.run((client, "--version"), capture_output=True, text=True, check=False).stdout
    major = told.removeprefix("Docker version ").partition(".")[0]
    if major.isdigit() and int(major) < _FIRST_WITHOUT_BUILDKIT:
        return True
    return subprocess.run((client, "buildx", "version"), capture_output=True, check=False).returncode == 0


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o644
    entry.size = size
    return entry


def _feed(dockerfile: Dockerfile, pipe: IO[bytes]) -> None:
    try:
        with pipe:
            dockerfile.write_context(pipe)
    except BrokenPipeError:
        pass  # the builder gave up, and says why


def _keep(lines: list[str], engine: Engine) -> Path:
    log = engine.data / "build.log"
    log.write_text("\n".join(lines) + "\n")
    return log
