"""The model as a hub repository, and the data set as a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from scripts.world.tiny import pumps, qwen3, tokenizer
from scripts.world.tiny.qwen3 import Qwen3Shape
from scripts.world.tiny.tensors import Tensor, safetensors

REPOSITORY = "demo/tiny-qwen3"
_VOCABULARY_STEP = 64


def write_model(directory: Path) -> bool:
    """Make the repository unless it is there; False when it was. Never leaves a half-made one."""
    if directory.is_dir():
        return False
    temporary = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _write_files(temporary)
    temporary.replace(directory)
    return True


def write_dataset(path: Path) -> bool:
    """Make the data set unless it is there; False when it was."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_json(path, pumps.records())
    return True


def _write_files(directory: Path) -> None:
    texts = [f"{one['instruction']}\n{one['output']}" for one in pumps.records()]
    cutter = tokenizer.train(texts)
    size = cutter.get_vocab_size(with_added_tokens=True)
    shape = Qwen3Shape(vocabulary=-(-size // _VOCABULARY_STEP) * _VOCABULARY_STEP)
    bos = tokenizer.token_id(cutter, tokenizer.END_OF_TEXT)
    eos = tokenizer.token_id(cutter, tokenizer.TURN_END)

    cutter.save(str(directory / "tokenizer.json"))
    cutter.model.save(str(directory))  # vocab.json and merges.txt
    _write_json(directory / "tokenizer_config.json", tokenizer.config(cutter, shape.positions))
    _write_json(directory / "config.json", qwen3.config(shape, bos=bos, eos=eos))
    _write_json(directory / "generation_config.json", qwen3.generation_config(bos=bos, eos=eos))
    _write_weights(directory, qwen3.shards(shape))
    for path in directory.iterdir():
        path.chmod(0o644)


def _write_weights(directory: Path, shards: list[dict[str, Tensor]]) -> None:
    where = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        (directory / name).write_bytes(safetensors(shard))
        where.update(dict.fromkeys(shard, name))
    total = sum(2 * values.size for shard in shards for values in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    _write_json(directory / "model.safetensors.index.json", index)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
