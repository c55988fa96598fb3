"""Building an image: the engine's own `docker build` with BuildKit, its context streamed from memory and disk."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING

from bundler.engine.errors import EngineFailed

if TYPE_CHECKING:
    from bundler.engine.docker import DockerEngine

LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class ContextFile:
    """A file of the build context: its path there, and its bytes or where they are."""

    path: str
    content: bytes | Path

    @property
    def mode(self) -> int:
        """What is executable stays so; nothing else of a file's mode travels."""
        executable = isinstance(self.content, Path) and self.content.stat().st_mode & 0o111
        return 0o755 if executable else 0o644


class NoBuilder(EngineFailed):
    """No `docker` command here can build with BuildKit."""

    def __init__(self) -> None:
        super().__init__(
            "no docker command on this machine can build images",
            because="building needs BuildKit: docker 20.10 to 22 have it, newer ones need the buildx plugin",
            hint="apt-get install docker.io   # or docker-buildx-plugin beside docker-ce",
        )


class NotABuilder(EngineFailed):
    """The engine can't build images for a bundle."""

    def __init__(self, product: str) -> None:
        super().__init__(
            f"the engine that was chosen is {product}, with which bundle does not build images",
            because="a build goes through docker's BuildKit; on the node the images run on either engine",
            hint="BUNDLE_ENGINE=docker bundle build MANIFEST   # DOCKER_HOST says where it listens",
        )


def require_builder(engine: DockerEngine) -> DockerEngine:
    """The engine, if it builds. Raises NotABuilder."""
    if engine.product != "Docker":
        raise NotABuilder(engine.product)
    return engine


def find_client() -> str:
    """The first `docker` on PATH that can use BuildKit. Raises NoBuilder."""
    for directory in os.get_exec_path():
        candidate = shutil.which("docker", path=directory)
        if candidate and _has_buildkit(candidate):
            return candidate
    raise NoBuilder


def _has_buildkit(client: str) -> bool:
    """Clients before 23 have BuildKit inside; later ones hand over to the buildx plugin (Docker 23.0 notes)."""
    version = subprocess.run([client, "--version"], capture_output=True, text=True, check=False).stdout
    digits = version.removeprefix("Docker version ").partition(".")[0]
    if digits.isdigit() and int(digits) < 23:
        return True
    return subprocess.run([client, "buildx", "version"], capture_output=True, check=False).returncode == 0


def build_command(client: str, iidfile: str, secrets: Mapping[str, Path]) -> tuple[str, ...]:
    """The command that builds a context from stdin and writes the image's id to a file.

    The build sees the network as this machine does (`--network host`): proxies and mirrors on its loopback too.
    """
    passed = (f"--secret=id={name},src={path}" for name, path in secrets.items())
    return (client, "build", "--network=host", "--progress=plain", f"--iidfile={iidfile}", *passed, "-")


def build(context: Iterable[ContextFile], secrets: Mapping[str, Path], say: Callable[[str], None]) -> str:
    """Build the context's `Dockerfile`. Returns the image's id; `say` hears the builder's lines.

    Raises NoBuilder, and EngineFailed with the builder's last lines.
    """
    with tempfile.NamedTemporaryFile(prefix="bundle-iid-") as iidfile:
        command = build_command(find_client(), iidfile.name, secrets)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"},
        )
        assert process.stdin
        assert process.stdout
        feeder = Thread(target=_feed, args=(process.stdin, tuple(context)), daemon=True)
        feeder.start()
        lines: list[str] = []
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            lines = [*lines[-LAST_LINES:], line]
            say(line)
        status = process.wait()
        feeder.join()
        if status:
            raise EngineFailed(
                "the image could not be built",
                because="the builder's last lines were:\n  " + "\n  ".join(lines[-LAST_LINES:]),
                hint="run it again with -v to see all of the builder's output",
            )
        return Path(iidfile.name).read_text().strip()


def _feed(pipe: IO[bytes], context: tuple[ContextFile, ...]) -> None:
    """Write the context as a tar with neither times nor owners, so that BuildKit's cache knows it again."""
    try:
        with pipe, tarfile.open(fileobj=pipe, mode="w|", bufsize=1 << 20) as tar:
            for file in context:
                entry = tarfile.TarInfo(file.path)
                entry.mode = file.mode
                if isinstance(file.content, bytes):
                    entry.size = len(file.content)
                    tar.addfile(entry, io.BytesIO(file.content))
                else:
                    entry.size = file.content.stat().st_size
                    with file.content.open("rb") as source:
                        tar.addfile(entry, source)
    except BrokenPipeError:
        pass  # the builder gave up; its exit status and last lines say why
