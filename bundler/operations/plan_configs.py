"""Where the config.json of each model is, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundler.core.strict_json import LIMIT, MalformedJson, parse_object
from bundler.manifest.artifacts import LocalModel
from bundler.manifest.schema import Manifest
from bundler.planning.model_config import ModelConfig
from bundler.planning.shape import ShapeUnknown

INDEX = "model.safetensors.index.json"


def config_path(manifest: Manifest, name: str, configs: Mapping[str, Path]) -> Path | None:
    """Where a model's config.json is: as `configs` has it, else a local model's own."""
    model = manifest.models.get(name)
    if name not in configs and isinstance(model, LocalModel):
        return model.path.resolved / "config.json"
    return configs.get(name)


def read_config(manifest: Manifest, name: str, configs: Mapping[str, Path]) -> ModelConfig:
    """What a model's config.json says. Raises ShapeUnknown where it is not at hand, or is none."""
    path = config_path(manifest, name, configs)
    if path is None:
        raise ShapeUnknown(
            f"the config.json of model {name} is not at hand",
            because="the model is no directory of this machine, and no lock pins it yet",
            hint=f"bundle lock MANIFEST   # fetches it; or bundle plan MANIFEST --config {name}=config.json",
        )
    try:
        return ModelConfig.parse(read_json(path))
    except ShapeUnknown as unknown:
        hint = unknown.hint or f"bundle plan MANIFEST --config {name}=config.json   # as the model's hub has it"
        raise ShapeUnknown(f"model {name}: {unknown.what}", because=unknown.because, hint=hint) from unknown


def read_json(path: Path) -> dict[str, Any]:
    """A config.json as data. Raises ShapeUnknown, also for a pipe, which might never end."""
    unreadable = f"{path} can't be read as a config.json"
    try:
        if path.exists() and not path.is_file():
            raise ShapeUnknown(unreadable, because="it is not a file")
        with path.open("rb") as file:
            return parse_object(file.read(LIMIT + 1), str(path))
    except OSError as error:
        raise ShapeUnknown(unreadable, because=error.strerror) from error
    except MalformedJson as error:
        raise ShapeUnknown(unreadable, because=error.because) from error
