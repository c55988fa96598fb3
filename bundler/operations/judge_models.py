"""Judges a manifest's models by their lists of files, before their weights are fetched: can they be trained, served?

A file that was left out is missed behind the gap: by the training as it starts, or by the server once the training is
over (LF#10169: a merged model without its tokenizer).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from bundler.core.errors import CheckRefused
from bundler.core.events import Events, Warned
from bundler.manifest.lock import LockedFiles
from bundler.manifest.names import TRAINED
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import ModelService

CHECK = "model"
"""The name by which `--accept` lets pass a model that lacks files."""

_TOKENIZERS = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("tekken.json",),
)
"""Any of these makes a tokenizer (transformers 4.51.3, VOCAB_FILES_NAMES of the model types; vLLM's mistral mode)."""
_VOCABULARIES = (".model", ".tiktoken")
"""And any of these, whatever it is called: SentencePiece's (tokenizer.model, spiece.model), and tiktoken's, which
models with a tokenizer of their own bring (qwen.tiktoken of the first Qwen, hy.tiktoken).
"""

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")


class ModelLacksFiles(CheckRefused):
    """A model that is trained or served lacks files without which neither can start."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__(
            f"a model of {path} lacks files that its training or service needs",
            because="\n".join(problems),
            hint=f"bundle lock {shlex.quote(str(path))}   # once `include`, `exclude` or the directory is mended; "
            f"as it is: --accept {CHECK}",
        )


def require_whole(
    manifest: Manifest, path: Path, models: Sequence[LockedFiles], events: Events, accepted: Sequence[str]
) -> None:
    """Raises ModelLacksFiles where a model that is used lacks something, unless `model` is accepted.

    One without any weights is told of and not refused: a config.json alone is enough to plan with.
    """
    used = {service.model for _, service in manifest.services_of(ModelService)} - {TRAINED}
    used |= {manifest.train.model} if manifest.train else set()
    problems: list[str] = []
    for model in models:
        if model.name in used and not any(file.path.endswith(_WEIGHTS) for file in model.files):
            events.emit(Warned(f"model {model.name} has no weights: it can be planned with, not trained or served"))
        elif model.name in used:
            problems += (f"model {model.name}: {one}" for one in lacking(model))
    if problems and CHECK not in accepted:
        raise ModelLacksFiles(path, problems)


def lacking(model: LockedFiles) -> Iterator[str]:
    """What a model lacks. GGUF files hold all of it themselves."""
    paths = {file.path for file in model.files}
    if any(path.endswith(".gguf") for path in paths):
        return
    if "config.json" not in paths:
        yield "it has no config.json, which says what kind of model it is"
    own = any(path.endswith(_VOCABULARIES) for path in paths if "/" not in path)
    if not own and not any(paths.issuperset(files) for files in _TOKENIZERS):
        yield "it has no tokenizer (tokenizer.json, tokenizer.model, or vocab.json with merges.txt)"
