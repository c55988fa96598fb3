"""Models from the Hugging Face Hub, or a mirror that HF_ENDPOINT names: pinned to a commit, hashed by us.

huggingface_hub lists the files and holds the login; it is imported only when a hub is asked. Large files have a
SHA-256 that the hub states; for the others it states git's hash, so they are downloaded at once and hashed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.events import BytesMoved, Events, Noted, StepEnded, StepStarted, Warned
from bundler.core.media_types import RAW
from bundler.core.secret import Secret
from bundler.core.size import format_size
from bundler.manifest.lock import LockedFile, LockedFiles, UnsafePath, checked_path
from bundler.sources.http import Http, Refused
from bundler.sources.huggingface_errors import HubFailed, explained, refused
from bundler.sources.modelpack import lock_files, put_manifest
from bundler.sources.retry import Retries
from bundler.sources.selection import select
from bundler.sources.source import Download, Stream
from bundler.store.layout import Store

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

STEP = "resolve"
SMALL = 64 << 20
"""Bytes up to which a file without a SHA-256 is downloaded to be hashed; the hub keeps such files below 10 MiB."""
STREAMS = 4
SCHEME = "hf://"


@dataclass(frozen=True, slots=True)
class Hub:
    """Which hub, and the login for it."""

    endpoint: str
    token: Secret | None

    @classmethod
    def from_environment(cls) -> Hub:
        """HF_ENDPOINT, and the token that `hf auth login` or HF_TOKEN gave."""
        from huggingface_hub import constants, get_token

        endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        token = get_token()
        return cls(endpoint, Secret(token) if token else None)

    @property
    def host(self) -> str:
        """The host, for people."""
        return urlsplit(self.endpoint).netloc.rpartition("@")[2]

    def headers(self) -> dict[str, str]:
        """The login."""
        return {"Authorization": f"Bearer {self.token.reveal()}"} if self.token else {}

    def url(self, repo: str, commit: str, path: str) -> str:
        """A file's address (huggingface_hub, constants.HUGGINGFACE_CO_URL_TEMPLATE)."""
        return f"{self.endpoint}/{quote(repo)}/resolve/{quote(commit, safe='')}/{quote(path)}"


@dataclass(frozen=True, slots=True)
class HubFiles:
    """The files of a model at a commit, as a BlobSource."""

    hub: Hub
    repo: str
    commit: str
    paths: Mapping[Digest, str]
    http: Http

    @property
    def name(self) -> str:
        """The hub, the repository and the commit."""
        return f"{self.hub.host}/{self.repo} at {self.commit[:12]}"

    @property
    def suspicion(self) -> str:
        """Why its bytes would be wrong."""
        return "The hub's storage is damaged, or a proxy or mirror in between changes what it sends"

    @property
    def remedy(self) -> str:
        """What to do then."""
        return "run the same command again; if it stays so, go round the mirror (HF_ENDPOINT) or the proxy"

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read a file. Raises Transient, HubFailed, NetworkFailed."""
        return self._open(blob, lambda url: self.http.open(url, self.hub.headers(), offset=offset))

    def open_part(self, blob: Descriptor, offset: int, end: int) -> Stream:
        """Begin to read a part of a file. Raises NoRanges, Transient, HubFailed, NetworkFailed."""
        return self._open(blob, lambda url: self.http.open_part(url, self.hub.headers(), offset, end))

    def _open(self, blob: Descriptor, request: Callable[[str], Stream]) -> Stream:
        try:
            return request(self.hub.url(self.repo, self.commit, self.paths[blob.digest]))
        except Refused as refusal:
            raise refused(refusal, self.hub.endpoint, self.repo, self.commit) from refusal


def resolve_model(
    name: str,
    repo: str,
    revision: str,
    include: Sequence[str],
    exclude: Sequence[str],
    store: Store,
    events: Events,
    *,
    http: Http | None = None,
    retries: Retries | None = None,
) -> LockedFiles:
    """Pin a model: the revision's commit, and each file's SHA-256. Puts small files and the manifest into the store.

    Raises HubFailed, NothingToTake, IntegrityFailed, NetworkFailed.
    """
    retries = retries or Retries()
    hub = Hub.from_environment()
    commit, listed = retries.run(lambda: _list(hub, repo, revision))
    for path in listed:
        _require_safe(path, repo)
    selection = select(repo, listed, include, exclude)
    if selection.left_out:
        text = f"{repo}: left out: {selection}"
        events.emit(Warned(text) if selection.surprising else Noted(STEP, text))
    files = [listed[path] for path in selection.taken]
    small = [file for file in files if file.lfs is None]
    events.emit(StepStarted(STEP, sum(file.size for file in small)))
    reader = _SmallFiles(HubFiles(hub, repo, commit, {}, http or Http()), store, events, retries)
    locked = [LockedFile(f.path, Digest.parse(f"sha256:{f.lfs.sha256}"), f.lfs.size) for f in files if f.lfs]
    locked += reader.take(small)
    model = lock_files(name, f"{SCHEME}{repo}", locked, revision=commit)
    put_manifest(model, store)
    size = format_size(sum(file.size for file in locked))
    events.emit(StepEnded(STEP, f"{repo} at {commit[:12]}: {len(locked)} files, {size}"))
    return model


def model_downloads(model: LockedFiles, *, http: Http | None = None) -> list[Download]:
    """The files of a locked model, from the hub that the environment names."""
    repo = model.source.removeprefix(SCHEME)
    paths = {file.digest: file.path for file in model.files}
    source = HubFiles(Hub.from_environment(), repo, model.revision, paths, http or Http())
    return [
        Download(Descriptor(RAW, file.digest, file.size), f"{model.name}: {file.path}", source) for file in model.files
    ]


def _list(hub: Hub, repo: str, revision: str) -> tuple[str, dict[str, RepoFile]]:
    """The commit that a revision names, and the files there by their path."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi(endpoint=hub.endpoint, token=hub.token.reveal() if hub.token else False)
    with explained(hub.endpoint, repo, revision):
        commit = api.model_info(repo, revision=revision).sha
        if not commit:
            raise HubFailed(f"{hub.host} does not say which commit {revision!r} of {repo} is")
        tree = api.list_repo_tree(repo, recursive=True, revision=commit)
        return commit, {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _require_safe(path: str, repo: str) -> None:
    try:
        checked_path(path)
    except UnsafePath as error:
        raise IntegrityFailed(
            f"{repo} has a file whose path is not safe: {path[:200]!r}",
            because="it could be written outside of the model's directory",
        ) from error


@dataclass(frozen=True, slots=True)
class _SmallFiles:
    """Downloads files into memory, checks git's hash, and puts them into the store."""

    source: HubFiles
    store: Store
    events: Events
    retries: Retries

    def take(self, files: Iterable[RepoFile]) -> list[LockedFile]:
        with ThreadPoolExecutor(STREAMS) as pool:
            return list(pool.map(self._take, files))

    def _take(self, file: RepoFile) -> LockedFile:
        source = self.source
        if file.size > SMALL:
            raise HubFailed(
                f"{source.repo}: {file.path} can't be pinned",
                because=f"the hub states no SHA-256 for it, and it has {format_size(file.size)}",
                hint="exclude it, if the model does not need it",
            )
        url = source.hub.url(source.repo, source.commit, file.path)
        try:
            body = self.retries.run(lambda: source.http.get(url, source.hub.headers(), limit=file.size)).body
        except Refused as refusal:
            raise refused(refusal, source.hub.endpoint, source.repo, source.commit) from refusal
        if git_blob(body) != file.blob_id:
            raise IntegrityFailed(
                f"the bytes of {file.path} from {source.name} are wrong",
                because=f"they don't have the git hash {file.blob_id} that the hub states. {source.suspicion}",
                hint=source.remedy,
            )
        blob = self.store.put(body, RAW)
        self.events.emit(BytesMoved(STEP, file.path, len(body)))
        return LockedFile(file.path, blob.digest, blob.size)


def git_blob(content: bytes) -> str:
    """The name that git gives these bytes (git-hash-object(1))."""
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
