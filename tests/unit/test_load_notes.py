"""Which images are read again after the machine has stopped: those that nobody knows to be on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundler.core.descriptor import Descriptor
from bundler.engine.durable_images import LoadNotes
from bundler.manifest.lock import LockedImage


def image(text: bytes) -> LockedImage:
    return LockedImage("serve", "made by hand", Descriptor.of(text, "x"), (Descriptor.of(b"config", "x"),))


@pytest.fixture
def notes(tmp_path: Path) -> LoadNotes:
    return LoadNotes(tmp_path / "images")


def next_boot(tmp_path: Path) -> None:
    path = tmp_path / "images" / "serve.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))


def test_a_load_that_was_not_synced_before_the_machine_stopped_is_doubted(notes: LoadNotes, tmp_path: Path) -> None:
    notes.begun(image(b"one"))
    assert not notes.doubtful(image(b"one")), "what is not on the disk is still in memory"
    next_boot(tmp_path)
    assert notes.doubtful(image(b"one"))
    notes.settle((image(b"one"),))
    assert not notes.doubtful(image(b"one"))


def test_an_image_that_was_never_loaded_here_is_trusted(notes: LoadNotes, tmp_path: Path) -> None:
    assert not notes.doubtful(image(b"one"))
    notes.settle((image(b"one"),))
    assert not (tmp_path / "images").exists()


def test_the_note_of_another_version_of_an_image_says_nothing_of_this_one(notes: LoadNotes, tmp_path: Path) -> None:
    notes.begun(image(b"one"))
    next_boot(tmp_path)
    assert not notes.doubtful(image(b"two"))


def test_a_note_that_can_not_be_read_is_a_reason_to_read_the_image(notes: LoadNotes, tmp_path: Path) -> None:
    notes.begun(image(b"one"))
    (tmp_path / "images" / "serve.json").write_text("{")
    assert notes.doubtful(image(b"one"))
