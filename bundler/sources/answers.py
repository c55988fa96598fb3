"""Asking several hubs for the same model: who answers, and whether they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed, NetworkFailed
from bundler.core.events import Events, Warned
from bundler.manifest.lock import Origin, UnsafePath, checked_path
from bundler.sources.http import Http
from bundler.sources.hub import HubFiles, Offered
from bundler.sources.hubs import hub_of
from bundler.sources.retry import Retries

IMPATIENT = 2
"""Attempts at a hub that is not the only one: where it is blocked, each attempt costs a timeout."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hub lists; `pinned` is the origin at its commit."""

    pinned: Origin
    files: HubFiles
    listed: Mapping[str, Offered]


class HubsDisagree(IntegrityFailed):
    """Two hubs state different SHA-256 for the same file of what should be the same model."""

    def __init__(self, path: str, one: Answer, other: Answer) -> None:
        super().__init__(
            f"{path} is not the same at {one.files.name} and at {other.files.name}",
            because=f"they state {one.listed[path].sha256} and {other.listed[path].sha256}",
            hint="name a revision of each that belongs to the other, or take one of them out of 'from:'",
        )


class NoHubAnswers(NetworkFailed):
    """None of the hubs that the manifest names gives the model."""

    def __init__(self, failures: Mapping[Origin, NetworkFailed]) -> None:
        super().__init__(
            f"no hub gives {' or '.join(origin.source for origin in failures)}",
            because="; ".join(map(_reason, failures.values())),
            hint=next((failure.hint for failure in failures.values() if failure.hint), None),
        )


def ask(origins: Sequence[Origin], http: Http, retries: Retries, events: Events) -> dict[Origin, Answer]:
    """What the hubs list, in the order of the origins; those that fail are told and left out.

    All are asked at once, as one that is blocked takes long to say nothing. Raises HubFailed or NetworkFailed where
    none answers, and IntegrityFailed for a path that is not safe.
    """
    if len(origins) > 1:
        attempts = min(retries.policy.attempts, IMPATIENT)
        retries = replace(retries, policy=replace(retries.policy, attempts=attempts))
    with ThreadPoolExecutor(len(origins)) as pool:
        said = list(pool.map(lambda origin: _asked(origin, http, retries), origins))
    answers = {origin: one for origin, one in zip(origins, said, strict=True) if isinstance(one, Answer)}
    failures = {origin: one for origin, one in zip(origins, said, strict=True) if isinstance(one, NetworkFailed)}
    if not answers:
        raise next(iter(failures.values())) if len(failures) == 1 else NoHubAnswers(failures)
    used = ", ".join(origin.source for origin in answers)
    for origin, failure in failures.items():
        events.emit(Warned(f"{origin.source} is passed over: {_reason(failure)}. Used: {used}"))
    return answers


def agreed(path: str, first: Answer, others: Sequence[Answer], *, small: int) -> Digest | None:
    """The SHA-256 that is stated for a file of the first; None where it states none. Raises HubsDisagree.

    Of a file of more than `small` bytes, which can't be downloaded only to be hashed, another's word is taken.
    """
    stating = [answer for answer in (first, *others) if path in answer.listed and answer.listed[path].sha256]
    for other in stating[1:]:
        if other.listed[path].sha256 != stating[0].listed[path].sha256:
            raise HubsDisagree(path, stating[0], other)
    own = first.listed[path]
    return own.sha256 or (stating[0].listed[path].sha256 if stating and own.size > small else None)


def _asked(origin: Origin, http: Http, retries: Retries) -> Answer | NetworkFailed:
    hub, repo = hub_of(origin, http)
    try:
        listing = retries.run(lambda: hub.listing(repo, origin.revision))
    except NetworkFailed as failure:
        return failure
    for path in listing.files:
        _require_safe(path, repo)
    files = HubFiles(hub, repo, listing.commit, {}, http)
    return Answer(Origin(origin.source, listing.commit), files, listing.files)


def _reason(failure: NetworkFailed) -> str:
    return f"{failure.what} ({failure.because})" if failure.because else failure.what


def _require_safe(path: str, repo: str) -> None:
    try:
        checked_path(path)
    except UnsafePath as error:
        raise IntegrityFailed(
            f"{repo} has a file whose path is not safe: {path[:200]!r}",
            because="it could be written outside of the model's directory",
        ) from error
