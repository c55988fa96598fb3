"""Checkpoints after a power cut: a training goes on from the newest that is whole, and loses as little as can be."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bundler.operations.checkpoints import problem, set_broken_aside


def write_checkpoint(results: Path, step: int) -> Path:
    """As the trainer leaves one: adapter, optimizer, scheduler, random state, and trainer_state.json."""
    path = results / f"checkpoint-{step}"
    path.mkdir(parents=True)
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}
    ).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(256)
    (path / "adapter_model.safetensors").write_bytes(weights)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        with zipfile.ZipFile(path / name, "w") as archive:
            archive.writestr("archive/data.pkl", bytes(100))
    (path / "adapter_config.json").write_text("{}")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return path


def cut(path: Path, to: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * to)])


def kept(results: Path) -> list[str]:
    return sorted(path.name for path in results.iterdir())


def test_a_whole_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    for step in (50, 100):
        write_checkpoint(tmp_path, step)
    assert set_broken_aside(tmp_path) == ()
    assert kept(tmp_path) == ["checkpoint-100", "checkpoint-50"]


DAMAGES: dict[str, Callable[[Path], None]] = {
    "adapter_model.safetensors has ": lambda path: cut(path / "adapter_model.safetensors", 0.9),
    "adapter_model.safetensors is cut off": lambda path: cut(path / "adapter_model.safetensors", 0.1),
    "adapter_model.safetensors is cut off: 0 bytes": lambda path: cut(path / "adapter_model.safetensors", 0),
    "optimizer.pt is cut off": lambda path: cut(path / "optimizer.pt"),
    "optimizer.pt is cut off: 0 bytes": lambda path: cut(path / "optimizer.pt", 0),
    "optimizer.pt is not there": lambda path: (path / "optimizer.pt").unlink(),
    "rng_state.pth is cut off": lambda path: cut(path / "rng_state.pth"),
    "trainer_state.json is not whole JSON": lambda path: cut(path / "trainer_state.json"),
    "trainer_state.json, which is written last, is not there": lambda path: (path / "trainer_state.json").unlink(),
    "adapter_config.json is not whole JSON": lambda path: cut(path / "adapter_config.json"),
}


@pytest.mark.parametrize("said", DAMAGES)
def test_a_checkpoint_whose_file_was_cut_off_is_set_aside_and_the_one_before_is_used(said: str, tmp_path: Path) -> None:
    for step in (50, 100):
        write_checkpoint(tmp_path, step)
    DAMAGES[said](tmp_path / "checkpoint-100")
    (aside,) = set_broken_aside(tmp_path)
    assert (aside.name, aside.now) == ("checkpoint-100", "incomplete-checkpoint-100")
    assert aside.problem.startswith(said)
    assert kept(tmp_path) == ["checkpoint-50", "incomplete-checkpoint-100"]


def test_a_safetensors_header_of_garbage_is_seen(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 50)
    (path / "adapter_model.safetensors").write_bytes((20).to_bytes(8, "little") + b"\xff" * 300)
    assert problem(path) == "adapter_model.safetensors has a header that can't be read"


def test_the_newest_is_the_one_of_the_highest_number_not_the_last_of_the_alphabet(tmp_path: Path) -> None:
    for step in (900, 1000):
        write_checkpoint(tmp_path, step)
    cut(tmp_path / "checkpoint-1000" / "optimizer.pt")
    cut(tmp_path / "checkpoint-900" / "training_args.bin")
    write_checkpoint(tmp_path, 800)
    assert [aside.name for aside in set_broken_aside(tmp_path)] == ["checkpoint-1000", "checkpoint-900"]
    assert "checkpoint-800" in kept(tmp_path)


def test_a_training_that_saves_only_the_model_still_goes_on(tmp_path: Path) -> None:
    for step in (50, 100):
        (write_checkpoint(tmp_path, step) / "optimizer.pt").unlink()
    assert set_broken_aside(tmp_path) == ()


def test_what_was_set_aside_before_is_not_written_over(tmp_path: Path) -> None:
    for _ in range(2):
        cut(write_checkpoint(tmp_path, 50) / "optimizer.pt")
        set_broken_aside(tmp_path)
    assert kept(tmp_path) == ["incomplete-checkpoint-50", "incomplete-checkpoint-50.2"]
