"""Models from hubs: pinned to commits, each file to its SHA-256, whichever hub its bytes come from.

The first hub that answers gives the list of files. Where another states a SHA-256 for one of them too, both must
be the same. Files that no hub states one for are downloaded at once and hashed; a large one only where the lock
before does not have it at the same commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from bundler.core.descriptor import Descriptor
from bundler.core.events import BytesMoved, Events, Noted, StepEnded, StepStarted, Warned
from bundler.core.media_types import RAW
from bundler.core.size import format_size
from bundler.manifest.lock import LockedFile, LockedFiles, Origin
from bundler.sources.answers import Answer, agreed, ask
from bundler.sources.fallback import Fallback
from bundler.sources.http import Http
from bundler.sources.hub import HubFiles, Offered
from bundler.sources.hubs import hub_of
from bundler.sources.modelpack import lock_files, put_manifest
from bundler.sources.remote_code import warn_of_code
from bundler.sources.retry import Retries
from bundler.sources.selection import NothingToTake, Patterns, few, select
from bundler.sources.source import Download
from bundler.sources.unstated import STREAMS, bring, pinned_before
from bundler.store.layout import Store

STEP = "resolve"
SMALL = 16 << 20
"""Bytes up to which a file without a SHA-256 is read in one piece, by each `lock`; Hugging Face keeps such files below
10 MiB. A larger one is streamed, and read again only where it may have moved.
"""


@dataclass(frozen=True, slots=True)
class ModelResolver:
    """Pins models. `before` are those of the lock before."""

    store: Store
    events: Events
    http: Http
    retries: Retries
    before: Mapping[str, LockedFiles]

    @classmethod
    def over(
        cls, store: Store, events: Events, before: Iterable[LockedFiles] = (), retries: Retries | None = None
    ) -> ModelResolver:
        """With connections of its own."""
        return cls(store, events, Http(), retries or Retries(), {model.name: model for model in before})

    def resolve(self, name: str, origins: Sequence[Origin], patterns: Patterns) -> LockedFiles:
        """Pin a model, and put its small files and its manifest into the store.

        A hub that can't be reached keeps what the lock before says of it, as long as no other contradicts that.
        Raises HubFailed, NoHubAnswers, HubsDisagree, NothingToTake, IntegrityFailed, NetworkFailed.
        """
        answers = ask(origins, self.http, self.retries, self.events)
        preferred = {origin.source for origin in origins[: origins.index(next(iter(answers)))]}
        model = self._kept(name, answers, preferred, patterns) or self._pin(name, answers, patterns)
        model = replace(model, also=self._also(model, origins, answers))
        put_manifest(model, self.store)
        return model

    def _pin(self, name: str, answers: Mapping[Origin, Answer], patterns: Patterns) -> LockedFiles:
        first, *others = answers.values()
        repo = first.files.repo
        selection = select(repo, first.listed, patterns)
        if selection.left_out:
            text = f"{repo}: left out: {selection}"
            self.events.emit(Warned(text) if selection.surprising else Noted(STEP, text))
        stated = {path: agreed(path, first, others, small=SMALL) for path in selection.taken}
        locked = [
            LockedFile(path, digest, first.listed[path].size) for path, digest in stated.items() if digest is not None
        ]
        unhashed = [first.listed[path] for path, digest in stated.items() if digest is None]
        small = [file for file in unhashed if file.size <= SMALL]
        large = []
        for file in unhashed:
            if file.size > SMALL:
                known = pinned_before(file.path, file.size, first.pinned, self.before.get(name))
                locked += [known] if known else []
                large += [] if known else [file]
        self.events.emit(StepStarted(STEP, sum(file.size for file in (*small, *large))))
        if large:
            size = format_size(sum(file.size for file in large))
            paths = few([file.path for file in large])
            self.events.emit(Noted(STEP, f"{repo}: no SHA-256 is stated for {paths}: {size} to fetch and hash"))
        locked += self._hashed(first.files, small)
        locked += bring(first.files, large, self.store, self.events, self.retries, STEP)
        model = lock_files(name, first.pinned.source, locked, revision=first.pinned.revision)
        size = format_size(sum(file.size for file in locked))
        at = first.pinned.revision[:12]
        self.events.emit(StepEnded(STEP, f"{repo} at {at}: {len(locked)} files, {size}"))
        warn_of_code(first.files, first.listed, selection, self.events, self.retries)
        return model

    def _kept(
        self,
        name: str,
        answers: Mapping[Origin, Answer],
        silent: Collection[str],
        patterns: Patterns,
    ) -> LockedFiles | None:
        """What the lock before says, where its own hub is one of these that would come first, and none denies it."""
        model = self.before.get(name)
        if model is None or model.source not in silent:
            return None
        try:
            if select(name, [file.path for file in model.files], patterns).left_out:
                return None
        except NothingToTake:  # the manifest's patterns changed, too
            return None
        for file in model.files:
            for answer in answers.values():
                offered = answer.listed.get(file.path)
                if offered and offered.sha256 and offered.sha256 != file.digest:
                    return None
        self.events.emit(Noted(STEP, f"{name}: as the lock before says"))
        return model

    def _also(
        self, model: LockedFiles, origins: Sequence[Origin], answers: Mapping[Origin, Answer]
    ) -> tuple[Origin, ...]:
        """The other hubs. One that the lock before has stays as it is: it agrees, or can't be asked.

        So a commit there that changes no file of ours moves nothing.
        """
        before = self.before.get(model.name)
        known = {origin.source: origin for origin in before.origins} if before else {}
        found = []
        for origin in origins:
            answer = answers.get(origin)
            pinned = known.get(origin.source)
            if answer and (pinned is None or origin == answer.pinned):  # new, or a commit that the manifest names
                pinned = answer.pinned
            if origin.source != model.source and pinned:
                found.append(pinned)
        return tuple(found)

    def _hashed(self, source: HubFiles, files: Sequence[Offered]) -> list[LockedFile]:
        with ThreadPoolExecutor(STREAMS) as pool:
            return list(pool.map(lambda file: self._hash(source, file), files))

    def _hash(self, source: HubFiles, file: Offered) -> LockedFile:
        blob = self.store.put(self.retries.run(lambda: source.read(file)), RAW)
        self.events.emit(BytesMoved(STEP, file.path, blob.size))
        return LockedFile(file.path, blob.digest, blob.size)


def model_downloads(model: LockedFiles, *, http: Http | None = None) -> list[Download]:
    """The files of a locked model, from the hubs that it names, as the environment says where they are."""
    shared = http or Http()
    paths = {file.digest: file.path for file in model.files}
    sources = []
    for origin in model.origins:
        hub, repo = hub_of(origin, shared)
        sources.append(HubFiles(hub, repo, origin.revision, paths, shared))
    source = sources[0] if len(sources) == 1 else Fallback(sources)
    return [
        Download(Descriptor(RAW, file.digest, file.size), f"{model.name}: {file.path}", source) for file in model.files
    ]
