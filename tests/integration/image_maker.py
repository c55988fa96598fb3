"""Small images, made and pushed by hand, so that a test knows every byte."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class MadeImage:
    """A manifest's bytes and type, and the blobs that it names."""

    manifest: bytes
    media_type: str
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> Digest:
        return Digest.of(self.manifest)


def layer(name: str, content: bytes) -> bytes:
    """A layer with one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def image(
    *contents: bytes, docker: bool = False, platform: Sequence[str] = ("linux", "amd64"), **changes: Any
) -> MadeImage:
    """An image with a layer for each of these contents. `changes` replace members of the manifest."""
    layers = [layer(f"file-{number}", content) for number, content in enumerate(contents)]
    diff_ids = [str(Digest.of(gzip.decompress(one))) for one in layers]
    config = json.dumps(
        {
            "os": platform[0],
            "architecture": platform[1],
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    ).encode()
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": Descriptor.of(config, DOCKER_CONFIG if docker else OCI_CONFIG).to_json(),
        "layers": [Descriptor.of(one, DOCKER_LAYER if docker else OCI_LAYER).to_json() for one in layers],
        **changes,
    }
    # Indented as docker does it: the bytes must survive as they are, not as we would write them.
    return MadeImage(json.dumps(document, indent=3).encode(), media_type, (config, *layers))


def index(images: Mapping[str, MadeImage], *, docker: bool = False) -> MadeImage:
    """An index of images by platform, `os/architecture`."""
    entries = []
    for platform, made in images.items():
        os, architecture = platform.split("/")
        entry = Descriptor.of(made.manifest, made.media_type).to_json()
        entries.append({**entry, "platform": {"os": os, "architecture": architecture}})
    media_type = DOCKER_INDEX if docker else OCI_INDEX
    return MadeImage(
        json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode(), media_type, ()
    )


@dataclass(frozen=True)
class Pusher:
    """Pushes to a registry; `authorization` is the header that it wants."""

    address: str
    authorization: str = ""

    def push(self, repository: str, made: MadeImage, reference: str | None = None) -> str:
        """Push an image under a tag, or under its digest. Returns its reference."""
        for blob in made.blobs:
            self._blob(repository, blob)
        name = reference or str(made.digest)
        self._send("PUT", f"/v2/{repository}/manifests/{name}", made.manifest, made.media_type)
        return f"{self.address}/{repository}{':' if reference else '@'}{name}"

    def _blob(self, repository: str, content: bytes) -> None:
        where = self._send("POST", f"/v2/{repository}/blobs/uploads/", b"", "application/octet-stream")
        where += f"{'&' if '?' in where else '?'}digest={Digest.of(content)}"
        self._send("PUT", where, content, "application/octet-stream")

    def _send(self, method: str, path: str, body: bytes, content_type: str) -> str:
        url = path if path.startswith("http") else f"http://{self.address}{path}"
        headers = {"Content-Type": content_type}
        if self.authorization:
            headers["Authorization"] = self.authorization
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=30) as answer:
            return str(answer.headers.get("Location", ""))


def serve(server: Any, repository: str, made: MadeImage, reference: str) -> str:
    """Lay an image out on a scripted server, which then is a registry for it. Returns its reference."""
    for name in (reference, str(made.digest)):
        server.files[f"/v2/{repository}/manifests/{name}"] = made.manifest
        server.types[f"/v2/{repository}/manifests/{name}"] = made.media_type
    for blob in made.blobs:
        server.files[f"/v2/{repository}/blobs/{Digest.of(blob)}"] = blob
    return f"{server.address}/{repository}:{reference}"
