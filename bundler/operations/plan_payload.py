"""What a manifest's bundle consists of, part by part: by its lock where there is one, else by what is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bundler.manifest.artifacts import DockerfileImage, LocalDataset, LocalModel
from bundler.manifest.schema import Manifest
from bundler.operations.plan_configs import INDEX, config_path, read_config, read_json
from bundler.operations.plan_pinned import Pinned
from bundler.operations.plan_settings import training_setting
from bundler.planning.checkpoints import checkpoint_bytes, merged_bytes, most_checkpoints, weights_bytes
from bundler.planning.disk import Image, Part, Payload
from bundler.planning.shape import ShapeUnknown
from bundler.planning.steps import Steps
from bundler.workloads.llamafactory import merges

UNPINNED = "no lock states its size yet"
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")


def payload(manifest: Manifest, configs: Mapping[str, Path], pinned: Pinned, steps: Steps | None) -> Payload:
    """All parts. What is pinned has its exact size there; what lies on this machine is looked at."""
    sizes = pinned.sizes()
    return Payload(
        tuple(_images(manifest, sizes, pinned.unpacked())),
        (*_models(manifest, configs, sizes), *_datasets(manifest, sizes), *_agent(pinned)),
        tuple(_results(manifest, configs, steps)) if manifest.train else (),
    )


def fetched(manifest: Manifest, whole: Payload) -> tuple[Part, ...]:
    """The parts that come over the network: not models and datasets of this machine, nor the agent.

    A built image stands for its base and for the packages that are installed on it.
    """
    local = {f"model {name}" for name, model in manifest.models.items() if isinstance(model, LocalModel)}
    local |= {f"dataset {name}" for name, data in manifest.datasets.items() if isinstance(data, LocalDataset)}
    return tuple(part for part in whole.store if part.name not in local and part.name != "agent")


def _images(manifest: Manifest, sizes: Mapping[str, int], unpacked: Mapping[str, int]) -> Iterator[Image]:
    for name, image in manifest.images.items():
        part = f"image {name}"
        size = sizes.get(part)
        why = "" if size is not None else UNPINNED
        yield Image(Part(part, size, why), isinstance(image, DockerfileImage), unpacked.get(name))


def _models(manifest: Manifest, configs: Mapping[str, Path], sizes: Mapping[str, int]) -> Iterator[Part]:
    for name, model in manifest.models.items():
        part = f"model {name}"
        if isinstance(model, LocalModel) and (size := _directory_bytes(model.path.resolved)):
            yield Part(part, size)
        elif part in sizes:
            yield Part(part, sizes[part])
        else:
            yield _counted(part, manifest, name, configs)


def _counted(part: str, manifest: Manifest, name: str, configs: Mapping[str, Path]) -> Part:
    """A model's weights by the safetensors index beside its config, else by the shape. Tokenizers are not counted."""
    path = config_path(manifest, name, configs)
    try:
        if path and (index := path.with_name(INDEX)).is_file():
            total = (read_json(index).get("metadata") or {}).get("total_size")
            if type(total) is int and total > 0:
                return Part(part, total)
        config = read_config(manifest, name, configs)
    except ShapeUnknown as unknown:
        return Part(part, None, unknown.what)
    size = config.file_bytes()
    return Part(part, size, "" if size is not None else config.why or f"its {config.quantization} is not counted")


def _datasets(manifest: Manifest, sizes: Mapping[str, int]) -> Iterator[Part]:
    for name, dataset in manifest.datasets.items():
        part = f"dataset {name}"
        if isinstance(dataset, LocalDataset) and dataset.path.resolved.exists():
            yield Part(part, _bytes_below(dataset.path.resolved))
        elif part in sizes:
            yield Part(part, sizes[part])
        else:
            yield Part(part, None, UNPINNED if not isinstance(dataset, LocalDataset) else "it is not there yet")


def _agent(pinned: Pinned) -> Iterator[Part]:
    if pinned.agent:
        yield Part("agent", pinned.agent.size)


def _results(manifest: Manifest, configs: Mapping[str, Path], steps: Steps | None) -> Iterator[Part]:
    """What the jobs leave on the node."""
    train = manifest.train
    if train is None:
        return
    try:
        config = read_config(manifest, train.model, configs)
        shape, why = config.shape, config.why
    except ShapeUnknown as unknown:
        shape, why = None, unknown.what
    merged = merges(train) and manifest.needs_merge
    if shape is None:
        names = (
            *(("checkpoints",) if train.stage != "rm" else ()),
            "trained weights",
            *(("merged weights",) if merged else ()),
        )
        yield from (Part(name, None, why) for name in names)
        return
    setting = training_setting(train, manifest.target)
    many = most_checkpoints(train.save_total_limit, steps.checkpoints if steps else None)
    if train.stage != "rm":  # it is rendered without any: LLaMA-Factory can't go on from a reward model's
        yield Part("checkpoints", many * checkpoint_bytes(shape, setting))
    yield Part("trained weights", weights_bytes(shape, setting))
    if merged:
        yield Part("merged weights", merged_bytes(shape, setting))


def _directory_bytes(directory: Path) -> int:
    """The bytes of a model's directory; 0 where it has no weights, as one with a config.json alone."""
    weights = any(path.suffix in _WEIGHTS for path in directory.rglob("*") if path.is_file())
    return _bytes_below(directory) if weights else 0


def _bytes_below(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
