"""Which checkpoint a training can go on from: the newest that is whole; those after it are set aside.

The trainer takes the one of the highest number and trusts it (transformers 4.51, trainer_utils.py,
get_last_checkpoint). It writes `trainer_state.json` last (trainer.py, _save_checkpoint), but syncs nothing: after a
power cut any file may be there, and short. So each file is looked at as far as its own format tells its length.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_TORCH = (".pt", ".pth", ".bin")
_HEADER_LIMIT = 100_000_000
"""Bytes; safetensors refuses a longer header (safetensors 0.5, tensor.rs, MAX_HEADER_SIZE)."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A checkpoint that can't be gone on from: its name, what it is called now, and what is wrong with it."""

    name: str
    now: str
    problem: str


def set_broken_aside(results: Path) -> tuple[SetAside, ...]:
    """Rename the checkpoints newer than the newest whole one to `incomplete-checkpoint-N`. Never deletes any."""
    aside = []
    newest_first = sorted(_numbered(results), reverse=True)
    optimizers = {name for _, path in newest_first for name in _optimizer_files(path)}
    for _, path in newest_first:
        wrong = problem(path, optimizers)
        if wrong is None:
            break
        now = free_name(path.with_name(f"incomplete-{path.name}"))
        path.rename(now)
        aside.append(SetAside(path.name, now.name, wrong))
    return tuple(aside)


def problem(checkpoint: Path, optimizers: set[str] | frozenset[str] = frozenset()) -> str | None:
    """What is wrong with a checkpoint, in a few words, or None.

    `optimizers` are the files of optimizer state that the checkpoints beside it have: one that lacks them goes on
    with an optimizer that has forgotten everything, and the trainer says nothing (trainer.py,
    _load_optimizer_and_scheduler).
    """
    if not (checkpoint / "trainer_state.json").is_file():
        return "trainer_state.json, which is written last, is not there"
    if lost := sorted(optimizers - set(_optimizer_files(checkpoint))):
        return f"{lost[0]} is not there"
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and (wrong := _wrong(path)):
            return f"{path.relative_to(checkpoint)} {wrong}"
    return None


def free_name(path: Path) -> Path:
    """The path, or with a number behind it where it is taken."""
    names = (path.with_name(f"{path.name}.{number}") if number > 1 else path for number in count(1))
    return next(name for name in names if not name.exists())


def _numbered(results: Path) -> Iterator[tuple[int, Path]]:
    for path in results.glob("checkpoint-*"):
        if (match := _CHECKPOINT.fullmatch(path.name)) and path.is_dir():
            yield int(match[1]), path


def _optimizer_files(checkpoint: Path) -> tuple[str, ...]:
    """`optimizer.pt`, or FSDP's `optimizer.bin`; DeepSpeed's lie in a directory that is named after the step."""
    return tuple(path.name for path in checkpoint.glob("optimizer.*"))


def _wrong(path: Path) -> str | None:
    if path.name.endswith(".safetensors"):
        return safetensors_problem(path)
    if path.name.endswith(_TORCH):
        return _zip_problem(path)
    if path.name.endswith(".json"):
        return _json_problem(path)
    return None


def safetensors_problem(path: Path) -> str | None:
    """Whether the file is as long as its header says: eight bytes of length, JSON, then all tensors without a gap."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_HEADER_LIMIT, size - 8):
            return f"is cut off: {size} bytes"
        try:
            header = json.loads(file.read(length))
            tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
            end = max((int(tensor["data_offsets"][1]) for tensor in tensors), default=0)
        except (ValueError, LookupError, TypeError, AttributeError):
            return "has a header that can't be read"
    should = 8 + length + end
    return None if size == should else f"has {size} bytes, its header says {should}"


def _zip_problem(path: Path) -> str | None:
    """What torch.save writes is a zip since PyTorch 1.6, whose list of members is at its end."""
    try:
        with zipfile.ZipFile(path) as archive:
            return None if archive.namelist() else "is empty"
    except (zipfile.BadZipFile, OSError, ValueError):
        return f"is cut off: {path.stat().st_size} bytes, and no list of contents at its end"


def _json_problem(path: Path) -> str | None:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return "is not whole JSON"
    return None
