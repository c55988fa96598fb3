"""Documents that cross the gap are read strictly: a lock says exactly what it says, or is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.strict_json import MalformedJson
from bundler.manifest.lock import (
    Hardware,
    Lock,
    LockedAgent,
    LockedFile,
    LockedFiles,
    LockedImage,
    Mount,
    Question,
    UnsafePath,
    Workload,
)


def blob(text: str) -> Descriptor:
    return Descriptor.of(text.encode(), "application/octet-stream")


def example() -> Lock:
    return Lock(
        format=1,
        name="demo",
        version="1.0.0",
        agent=LockedAgent("0.1.0", blob("agent")),
        hardware=Hardware(gpus=4, model="L20", memory=48 << 30, capability="8.9", driver="525"),
        images=(LockedImage("serve", "127.0.0.1:5000/x:1", blob("manifest"), (blob("config"), blob("layer"))),),
        models=(LockedFiles("base", "hub", blob("model"), (LockedFile("a/b.bin", Digest.of(b"x"), 1),), "c0ffee"),),
        workloads=(
            Workload("serve", "vllm", "serve", ("vllm", "serve"), (Mount("models/base", "/bundle/model"),), port=8000),
        ),
        question=Question("serve", "m", "Well?"),
    )


def test_a_lock_is_read_as_it_was_written() -> None:
    raw = example().encode()
    assert Lock.parse(raw, "the lock") == example()
    assert Lock.parse(raw, "the lock").encode() == raw


def test_a_lock_of_another_format_is_refused_by_its_number() -> None:
    document = json.loads(example().encode()) | {"format": 2}
    with pytest.raises(MalformedJson) as failure:
        Lock.parse(json.dumps(document).encode(), "the lock")
    assert "format is 2" in (failure.value.because or "")


@pytest.mark.parametrize(
    "change",
    [{"surprise": 1}, {"name": 7}, {"images": {}}, {"hardware": {"gpus": "4"}}, {"agent": {"version": "1"}}],
)
def test_a_member_that_is_unknown_missing_or_of_another_type_is_refused(change: dict[str, object]) -> None:
    document = json.loads(example().encode()) | change
    with pytest.raises(MalformedJson):
        Lock.parse(json.dumps(document).encode(), "the lock")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../b", "a//b", "", "a\\b", "a/./b", "x\n", "a/"])
def test_a_lock_can_not_name_a_file_outside_its_directory(path: str) -> None:
    with pytest.raises(UnsafePath):
        LockedFile(path, Digest.of(b""), 0)
    with pytest.raises(UnsafePath):
        Mount(path, "/bundle/model")


@pytest.mark.parametrize("name", ["..", "a/b", "", "A", "-x", "a b"])
def test_a_lock_can_not_name_a_workload_that_is_a_path(name: str) -> None:
    with pytest.raises(UnsafePath):
        replace(example().workloads[0], name=name)
