"""Files on web servers, of which the manifest states the SHA-256."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import NetworkFailed
from bundler.core.events import Events, StepEnded, StepStarted
from bundler.core.media_types import RAW
from bundler.core.size import format_size
from bundler.manifest.lock import LockedFile, LockedFiles
from bundler.sources.http import Http, Refused
from bundler.sources.modelpack import lock_files, put_manifest
from bundler.sources.retry import Retries
from bundler.sources.source import Download, Stream
from bundler.store.layout import Store

STEP = "resolve"
SOURCE = "url"
"""A lock's source for what is made of URLs, which stand at the files."""
STREAMS = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file's address, and what it must be."""

    url: str
    sha256: Digest


class UrlFailed(NetworkFailed):
    """A web server does not give a file."""

    def __init__(self, url: str, refusal: Refused) -> None:
        asked = _host(url)
        said = f"HTTP status {refusal.status}"
        super().__init__(
            f"{asked} does not give {urlsplit(url).path or '/'}",
            because=f"it answers with {said}"
            if refusal.host == asked
            else f"it redirects to {refusal.host}, which answers with {said}",
            hint="open the URL in a browser, and correct it in the manifest",
        )


@dataclass(frozen=True, slots=True)
class UrlFiles:
    """Files by their address, as a BlobSource."""

    urls: Mapping[Digest, str]
    http: Http

    @property
    def name(self) -> str:
        """The hosts."""
        return ", ".join(sorted({_host(url) for url in self.urls.values()}))

    @property
    def suspicion(self) -> str:
        """Why its bytes would be wrong."""
        return "The file at this URL is not the one whose SHA-256 the manifest states, or a proxy changes it"

    @property
    def remedy(self) -> str:
        """What to do then."""
        return "compare with what its publisher states, and correct url or sha256 in the manifest"

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read a file. Raises Transient, UrlFailed, NetworkFailed."""
        return self._open(blob, lambda url: self.http.open(url, offset=offset))

    def open_part(self, blob: Descriptor, offset: int, end: int) -> Stream:
        """Begin to read a part of a file. Raises NoRanges, Transient, UrlFailed, NetworkFailed."""
        return self._open(blob, lambda url: self.http.open_part(url, None, offset, end))

    def _open(self, blob: Descriptor, request: Callable[[str], Stream]) -> Stream:
        url = self.urls[blob.digest]
        try:
            return request(url)
        except Refused as refusal:
            raise UrlFailed(url, refusal) from refusal


def resolve(
    name: str,
    files: Mapping[str, Wanted],
    store: Store,
    events: Events,
    *,
    dataset: bool = False,
    http: Http | None = None,
    retries: Retries | None = None,
) -> LockedFiles:
    """Pin files: each server says how long its file is, and nothing is downloaded. Puts the manifest into the store.

    Raises UrlFailed, NetworkFailed.
    """
    shared, patient = http or Http(), retries or Retries()

    def locked(path: str, wanted: Wanted) -> LockedFile:
        try:
            size = patient.run(lambda: shared.length(wanted.url))
        except Refused as refusal:
            raise UrlFailed(wanted.url, refusal) from refusal
        return LockedFile(path, wanted.sha256, size, wanted.url)

    events.emit(StepStarted(STEP))
    with ThreadPoolExecutor(STREAMS) as pool:
        found = list(pool.map(lambda item: locked(*item), files.items()))
    total = format_size(sum(file.size for file in found))
    events.emit(StepEnded(STEP, f"{name}: {len(found)} files by URL, {total}"))
    pinned = lock_files(name, SOURCE, found, dataset=dataset)
    put_manifest(pinned, store)
    return pinned


def downloads(files: LockedFiles, *, http: Http | None = None) -> list[Download]:
    """The files of a model or a dataset that was locked from URLs."""
    source = UrlFiles({file.digest: file.url for file in files.files}, http or Http())
    return [
        Download(Descriptor(RAW, file.digest, file.size), f"{files.name}: {file.path}", source) for file in files.files
    ]


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
