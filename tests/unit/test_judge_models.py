"""A model that can't be trained or served for want of a file is refused before its weights are fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
from manifest_cases import REMOVED, manifest

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.events import Event, Silence, Warned
from bundler.manifest.lock import LockedFile, LockedFiles
from bundler.operations.judge_models import ModelLacksFiles, lacking, require_whole

WHERE = Path("bundle.yaml")


def model(*paths: str, name: str = "base") -> LockedFiles:
    locked = tuple(LockedFile(path, Digest.of(path.encode()), 1) for path in sorted(paths))
    return LockedFiles(name, "hub", Descriptor("x", Digest.of(b""), 0), locked)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (("config.json", "model.safetensors"), ["no tokenizer"]),
        (("tokenizer.json", "model.safetensors"), ["no config.json"]),
        (("config.json", "vocab.json", "model.safetensors"), ["no tokenizer"]),  # without merges.txt
        (("config.json", "sub/tokenizer.json", "model.safetensors"), ["no tokenizer"]),
        (("config.json", "sub/tokenizer.model", "model.safetensors"), ["no tokenizer"]),
        (("README.md",), ["no config.json", "no tokenizer"]),
    ],
)
def test_each_file_that_is_missed_is_named(paths: tuple[str, ...], words: list[str]) -> None:
    found = list(lacking(model(*paths)))
    assert [word in one for word, one in zip(words, found, strict=True)] == [True] * len(words)


@pytest.mark.parametrize(
    "paths",
    [
        ("config.json", "tokenizer.json", "model.safetensors"),
        ("config.json", "tokenizer.model", "pytorch_model.bin"),
        ("config.json", "qwen.tiktoken", "model.safetensors"),  # Qwen/Qwen-7B-Chat
        ("config.json", "spiece.model", "model.safetensors"),
        ("config.json", "vocab.json", "merges.txt", "model-00001-of-00002.safetensors"),
        ("model-q4.gguf",),
    ],
)
def test_a_model_that_has_what_it_needs_is_taken(paths: tuple[str, ...]) -> None:
    assert not list(lacking(model(*paths)))


def test_only_models_that_are_used_are_judged_and_a_person_can_let_them_pass(tmp_path: Path) -> None:
    wanted, bare = manifest(tmp_path, {}), model("config.json", "model.safetensors")
    with pytest.raises(ModelLacksFiles, match="lacks files") as caught:
        require_whole(wanted, WHERE, (bare,), Silence(), ())
    assert "--accept model" in (caught.value.hint or "")
    require_whole(wanted, WHERE, (bare,), Silence(), ("model",))
    require_whole(wanted, WHERE, (model("a.bin", name="unused"),), Silence(), ())
    carried = manifest(tmp_path, {"train": REMOVED, "serve": REMOVED, "ask": REMOVED})
    require_whole(carried, WHERE, (bare,), Silence(), ())


def test_a_config_alone_is_enough_to_plan_with_and_said_to_be_no_more(tmp_path: Path) -> None:
    heard: list[Event] = []

    class Heard:
        def emit(self, event: Event) -> None:
            heard.append(event)

    require_whole(manifest(tmp_path, {}), WHERE, (model("config.json"),), Heard(), ())
    (warned,) = heard
    assert isinstance(warned, Warned)
    assert "has no weights" in warned.text
