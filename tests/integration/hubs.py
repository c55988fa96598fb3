"""A small model that both hubs have (the fixtures `ms` and `hf`), and what it is resolved with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bundler.core.events import Event, Events, Silence, Warned
from bundler.manifest.lock import LockedFiles, Origin
from bundler.sources.models import ModelResolver
from bundler.sources.retry import Retries, RetryPolicy
from bundler.sources.selection import Patterns
from bundler.store.layout import Store

REPO = "acme/tiny"
WEIGHTS = b"weights" * 300_000
QUICK = Retries(RetryPolicy(attempts=3, first=0.001, longest=0.002))
MS = Origin(f"modelscope://{REPO}", "master")
HF = Origin(f"hf://{REPO}", "main")


@dataclass
class Recorder:
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Warned)]


def write_model(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "sub").mkdir()
    (directory / "config.json").write_text('{"model_type": "qwen3"}')
    (directory / "sub" / "tokenizer config.json").write_text("{}")
    (directory / "model.safetensors").write_bytes(WEIGHTS)
    (directory / "README.md").write_text("# Tiny\n")
    return directory


def resolve(
    store: Store,
    *origins: Origin,
    patterns: Patterns | None = None,
    heard: Events | None = None,
    before: Sequence[LockedFiles] = (),
) -> LockedFiles:
    resolver = ModelResolver.over(store, heard or Silence(), before, QUICK)
    return resolver.resolve("base", origins, patterns or Patterns())
