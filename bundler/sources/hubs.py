"""The hubs by the scheme of a lock's source: `hf://OWNER/NAME`, `modelscope://OWNER/NAME`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bundler.core.strict_json import MalformedJson
from bundler.manifest.lock import Origin
from bundler.sources import huggingface, modelscope
from bundler.sources.http import Http
from bundler.sources.hub import Hub
from bundler.sources.huggingface import HuggingFace
from bundler.sources.modelscope import ModelScope

_HUBS: Mapping[str, Callable[[Http], Hub]] = {
    huggingface.SCHEME: lambda _: HuggingFace.from_environment(),
    modelscope.SCHEME: ModelScope.from_environment,
}


def is_hub(source: str) -> bool:
    """Whether a lock's source is a repository of a hub."""
    scheme, separator, _ = source.partition("://")
    return bool(separator) and scheme in _HUBS


def hub_of(origin: Origin, http: Http) -> tuple[Hub, str]:
    """The hub of an origin, as the environment names it, and the repository there. Raises MalformedJson."""
    scheme, _, repo = origin.source.partition("://")
    if scheme not in _HUBS or not repo:
        raise MalformedJson("the lock", f"{origin.source[:100]!r} is no hub's model")
    return _HUBS[scheme](http), repo
