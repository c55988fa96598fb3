"""Values: parsed once at the door, then trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.core import errors
from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest, MalformedDigest
from bundler.core.durable import WriteFailed, write_file
from bundler.core.errors import BundlerError, NoSpace
from bundler.core.owner import Owner
from bundler.core.reference import BundleName, MalformedReference, Reference
from bundler.core.size import format_duration, format_size, parse_size
from bundler.core.strict_json import MalformedJson, canonical, parse_object

HEX = "ab" * 32


@pytest.mark.parametrize(
    "text", ["", "sha256:", f"sha512:{HEX}", f"sha256:{HEX[:-1]}", f"sha256:{HEX.upper()}", f" sha256:{HEX}"]
)
def test_what_is_not_a_digest_never_names_a_file(text: str) -> None:
    with pytest.raises(MalformedDigest):
        Digest.parse(text)


@given(st.binary(max_size=200))
def test_a_digest_survives_being_written_and_read(data: bytes) -> None:
    assert Digest.parse(str(Digest.of(data))) == Digest.of(data)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("pytorch/pytorch:2.6.0", "docker.io/pytorch/pytorch:2.6.0"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
        ("localhost/x", "localhost/x:latest"),
        (f"ghcr.io/a/b@sha256:{HEX}", f"ghcr.io/a/b@sha256:{HEX}"),
        (f"ghcr.io/a/b:t@sha256:{HEX}", f"ghcr.io/a/b:t@sha256:{HEX}"),
    ],
)
def test_an_image_reference_means_what_docker_takes_it_for(text: str, whole: str) -> None:
    assert str(Reference.parse(text)) == whole


@pytest.mark.parametrize("text", ["", "UPPER/case", "a b", "x:", "x@sha256:12", "/x", "a//b", "x:tag/y"])
def test_a_malformed_reference_is_refused_with_its_grammar(text: str) -> None:
    with pytest.raises((MalformedReference, MalformedDigest)):
        Reference.parse(text)


def test_plain_http_is_for_the_loopback_alone() -> None:
    assert Reference.parse("127.0.0.1:5000/x").loopback
    assert Reference.parse("localhost:5000/x").loopback
    assert not Reference.parse("127.0.0.1.example.com/x").loopback
    assert not Reference.parse("registry.bank.cn/x").loopback


@pytest.mark.parametrize("text", ["demo", "demo:", "Demo:1", "demo:1/2", "../x:1", "a:b:c"])
def test_a_bundle_name_can_not_leave_its_directory(text: str) -> None:
    with pytest.raises(MalformedReference):
        BundleName.parse(text)


@pytest.mark.parametrize(("text", "size"), [("48GiB", 48 << 30), ("1.5GB", 1_500_000_000), ("10", 10), ("4K", 4096)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_sizes_and_durations_are_written_for_people() -> None:
    assert [format_size(n) for n in (0, 999, 1500, 999_600, 2_340_000_000, 140e9)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "1.0 MB",
        "2.3 GB",
        "140 GB",
    ]
    assert [format_duration(s) for s in (0.42, 59, 190, 7500)] == ["0.4 s", "59 s", "3 min 10 s", "2 h 5 min"]


@pytest.mark.parametrize("raw", [b'{"a":1,"a":2}', b"[]", b"{", b'{"a":NaN}', b"\xff", b'{"a":' + b"[" * 100_000])
def test_json_that_two_programs_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedJson):
        parse_object(raw, "a document")


def test_json_larger_than_its_limit_is_not_parsed() -> None:
    with pytest.raises(MalformedJson, match="can't be read"):
        parse_object(b'{"a":1}', "a document", limit=3)


def test_canonical_json_is_the_same_bytes_whatever_the_order() -> None:
    assert canonical({"b": 1, "a": "é"}) == canonical({"a": "é", "b": 1}) == '{"a":"é","b":1}'.encode()


@pytest.mark.parametrize("size", [-1, True, 1.5, "1", None])
def test_a_descriptor_with_a_strange_size_is_refused(size: object) -> None:
    with pytest.raises(MalformedJson):
        Descriptor.parse({"mediaType": "x", "digest": f"sha256:{HEX}", "size": size}, "a manifest")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "lock.json"
    write_file(target, b"old")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        write_file(target, b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_full_disk_is_told_with_its_place_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace) as failure:
        write_file(tmp_path / "x", b"data")
    assert str(tmp_path / "x") in failure.value.what
    assert "df -h" in (failure.value.hint or "")


def test_a_place_that_may_not_be_written_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteFailed, match="can't be used"):
        write_file(tmp_path / "file" / "below", b"")


def test_a_dead_process_is_known_to_be_dead_and_a_living_one_is_not() -> None:
    me = Owner.me()
    assert not me.dead
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert Owner(me.host, me.machine, me.boot, child.pid, "1").dead


def test_a_process_of_another_machine_is_never_taken_for_dead() -> None:
    me = Owner.me()
    assert not Owner("elsewhere", me.machine, "other-boot", 1, "1").dead
    assert not Owner(me.host, "other-machine", me.boot, 1, "1").dead


def test_a_pid_that_came_back_after_a_reboot_is_another_process() -> None:
    me = Owner.me()
    assert Owner(me.host, me.machine, "an earlier boot", me.pid, me.start).dead


def test_a_process_of_another_container_is_not_judged_by_a_pid_that_means_another_process_here() -> None:
    """Two containers may share a host's name, its machine id and its boot."""
    gone = replace(Owner.me(), start="1")
    assert gone.dead
    assert not replace(gone, namespace="pid:[1]").dead
    assert replace(gone, namespace="pid:[1]", boot="an earlier boot").dead


def test_an_owner_that_an_earlier_version_wrote_is_read() -> None:
    written = replace(Owner.me(), start="1").to_json()
    del written["namespace"]
    assert Owner.parse(written).dead


def test_exit_codes_are_what_scripts_were_written_against() -> None:
    codes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, BundlerError)
    }
    assert codes == {
        "BundlerError": 1, "UsageInvalid": 2, "DoneInPart": 3, "ManifestInvalid": 10, "LockedByAnother": 11,
        "IntegrityFailed": 12, "CheckRefused": 13, "NetworkFailed": 14, "NoSpace": 15, "Interrupted": 130,
    }  # fmt: skip
