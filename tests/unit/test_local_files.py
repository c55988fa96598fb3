"""A user's own files: all of them, followed where a cache links to them, and never others than were locked."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bundler.core.digest import Digest
from bundler.core.errors import BundlerError, IntegrityFailed
from bundler.core.events import BytesMoved, Event, Silence, StepStarted, Warned
from bundler.sources import files
from bundler.sources.crew import WrongSource
from bundler.sources.fetch import fetch
from bundler.store.layout import Store


@dataclass
class Recorder:
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    (directory / "sub").mkdir(parents=True)
    (directory / "config.json").write_bytes(b"{}")
    (directory / "sub" / "weights.safetensors").write_bytes(b"w" * 3_000_000)
    (directory / "empty.txt").touch()
    return directory


def test_a_directory_is_carried_with_all_its_files(model: Path, store: Store) -> None:
    locked = files.resolve("base", model, store)
    result = fetch(files.downloads(locked), store, Silence())
    assert [file.path for file in locked.files] == ["config.json", "empty.txt", "sub/weights.safetensors"]
    assert store.path(locked.files[2].digest).read_bytes() == b"w" * 3_000_000
    assert store.path(Digest.of(b"")).read_bytes() == b""
    assert result.bytes == 3_000_002
    assert store.missing([locked.manifest]) == ()


def test_a_single_file_is_a_dataset_under_its_name(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "pumps.json"
    path.write_text("[]")
    locked = files.resolve("pumps", path, store, dataset=True)
    fetch(files.downloads(locked), store, Silence())
    assert [file.path for file in locked.files] == ["pumps.json"]
    assert store.has(files.downloads(locked)[0].blob)


def test_a_hugging_face_cache_is_followed_through_its_links(tmp_path: Path, store: Store) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "1234").write_bytes(b"weights")
    (snapshot / "model.safetensors").symlink_to("../../blobs/1234")
    locked = files.resolve("base", snapshot, store)
    assert locked.files[0].digest == Digest.of(b"weights")


def test_hidden_files_stay_behind_and_are_named(model: Path, store: Store) -> None:
    (model / ".git").mkdir()
    (model / ".git" / "HEAD").write_text("x")
    (model / "sub" / ".DS_Store").write_text("x")
    heard = Recorder()
    locked = files.resolve("base", model, store, heard)
    assert len(locked.files) == 3
    (warning,) = [event.text for event in heard.events if isinstance(event, Warned)]
    assert ".git, sub/.DS_Store" in warning


def test_progress_adds_up_to_the_total(model: Path, store: Store) -> None:
    heard = Recorder()
    files.resolve("base", model, store, heard)
    (total,) = [event.total for event in heard.events if isinstance(event, StepStarted)]
    assert total == sum(event.count for event in heard.events if isinstance(event, BytesMoved)) == 3_000_002


def dangling(directory: Path) -> None:
    (directory / "lost").symlink_to("nowhere")


def linked_directory(directory: Path) -> None:
    (directory / "loop").symlink_to(directory)


def pipe(directory: Path) -> None:
    os.mkfifo(directory / "pipe")


def control_character(directory: Path) -> None:
    (directory / "a\nb").touch()


def not_utf8(directory: Path) -> None:
    Path(os.fsdecode(os.fsencode(directory) + b"/\xff")).touch()


@pytest.mark.parametrize("spoil", [dangling, linked_directory, pipe, control_character, not_utf8])
def test_what_can_not_be_carried_is_refused_and_not_dropped_silently(model: Path, store: Store, spoil) -> None:  # type: ignore[no-untyped-def]
    spoil(model)
    with pytest.raises(files.UnusableFile) as error:
        files.resolve("base", model, store)
    assert error.value.because


def test_a_path_that_is_not_there_is_named(tmp_path: Path, store: Store) -> None:
    with pytest.raises(files.UnusableFile, match=r"nowhere can't be read") as error:
        files.resolve("base", tmp_path / "nowhere", store)
    assert error.value.because == "no such file or directory"


def test_an_empty_directory_is_no_model(tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(files.UnusableFile, match="has no files"):
        files.resolve("base", tmp_path / "empty", store)


def test_a_socket_given_as_a_path_is_refused(tmp_path: Path, store: Store) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(files.UnusableFile):
            files.resolve("base", tmp_path / "s", store)


def test_a_file_edited_after_it_was_locked_is_not_carried(model: Path, store: Store) -> None:
    locked = files.resolve("base", model, store)
    (model / "sub" / "weights.safetensors").write_bytes(b"v" * 3_000_000)
    with pytest.raises(WrongSource, match=r"base: sub/weights\.safetensors") as error:
        fetch(files.downloads(locked), store, Silence())
    assert "changed after it was locked" in str(error.value.because)
    assert "bundle lock" in str(error.value.hint)


@pytest.mark.parametrize("content", [b"w" * 2_999_999, b"w" * 3_000_001, b""])
def test_a_file_that_grew_or_shrank_is_told_at_once(model: Path, store: Store, content: bytes) -> None:
    locked = files.resolve("base", model, store)
    (model / "sub" / "weights.safetensors").write_bytes(content)
    with pytest.raises(files.FileChanged, match="changed after it was locked"):
        fetch(files.downloads(locked), store, Silence())


def test_a_file_cut_while_it_is_read_is_told(model: Path, store: Store) -> None:
    locked = files.resolve("base", model, store)
    (download,) = [one for one in files.downloads(locked) if one.blob.size == 3_000_000]
    chunks: Iterator[bytes] = iter(download.source.open(download.blob, 0))
    next(chunks)
    os.truncate(model / "sub" / "weights.safetensors", 2_000_000)
    with pytest.raises(IntegrityFailed, match="changed after it was locked"):
        list(chunks)


def test_a_file_deleted_after_it_was_locked_is_named(model: Path, store: Store) -> None:
    locked = files.resolve("base", model, store)
    (model / "sub" / "weights.safetensors").unlink()
    with pytest.raises(BundlerError, match=r"weights\.safetensors can't be read"):
        fetch(files.downloads(locked), store, Silence())


def test_the_same_content_twice_is_carried_once(model: Path, store: Store) -> None:
    (model / "again.safetensors").write_bytes(b"w" * 3_000_000)
    locked = files.resolve("base", model, store)
    result = fetch(files.downloads(locked), store, Silence())
    assert len(locked.files) == 4
    assert result.bytes == 3_000_002
