"""The far end's program in the shells of this machine: no ssh in between, the same words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from far_end_sessions import DATA, HEX, prepared, put, start

from bundler.core.digest import Digest
from bundler.core.owner import Owner
from bundler.transport import far_end
from bundler.transport.far_end import HELLO, launcher, program
from bundler.transport.session import Session
from bundler.transport.wire import Launch, WireBroken
from tests.far_host import eventually

SHELLS = tuple(shell for shell in ("sh", "dash", "bash", "zsh", "ksh", "fish", "csh", "tcsh") if shutil.which(shell))
NASTY = ("plain", "two words", "ümläut 数据", "it's", 'a"quote', "$HOME `id` $(id)", "semi;colon & |", "-dash")
NASTY += ("*?[", "\\b!x")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def session(store: Path) -> Iterator[Session]:
    session = prepared(store)
    yield session
    session.close()


def swapped(session: Session) -> str:
    """The answer to an index put in the place of itself."""
    session.request("index")
    before, length = session.answer().split()[1:]
    raw = session.read(int(length))
    session.request("swap", before, len(raw))
    session.send(raw)
    return session.answer()


@pytest.mark.parametrize(("flags", "said"), [("flags : fpu aes", False), ("flags : fpu avx", True), ("", False)])
def test_a_host_without_aes_instructions_says_so(
    flags: str, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grep = tmp_path / "bin/grep"
    grep.parent.mkdir()
    grep.write_text(f"#!/bin/sh\necho '{flags}'\n")
    grep.chmod(0o755)
    monkeypatch.setenv("PATH", f"{grep.parent}:{os.environ['PATH']}")
    session = start(tmp_path / "store")
    session.request("prepare")
    answers = [session.answer()]
    while not answers[-1].startswith("ready "):
        answers.append(session.answer())
    session.close()
    assert ("noaes" in answers) is said


@pytest.mark.parametrize("shell", SHELLS)
def test_any_login_shell_starts_it(shell: str, tmp_path: Path) -> None:
    session = start(tmp_path / "it's a $(store)", shell)
    session.request("prepare")
    answers = [session.answer()]
    while not answers[-1].startswith("ready "):
        answers.append(session.answer())
    session.close()
    assert answers[-1] == f"ready {tmp_path}/it's a $(store)"
    assert (tmp_path / "it's a $(store)" / "oci-layout").is_file()


@pytest.mark.parametrize("name", NASTY)
def test_a_directory_may_have_any_name(name: str, tmp_path: Path) -> None:
    with_name = prepared(tmp_path / name)
    assert put(with_name, DATA) == f"ok {HEX}"
    with_name.close()
    assert (tmp_path / name / "blobs" / "sha256" / HEX).read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_relative_directory_lies_in_the_home_whatever_its_first_letter() -> None:
    assert b"store=./-x\n" in program("-x")
    assert b"store='./a b'\n" in program("a b")


def test_the_command_line_is_short_and_holds_nothing_of_the_user() -> None:
    assert launcher(b"x" * 4321) == "exec sh -c 'eval \"$(dd bs=1 count=4321 2>/dev/null)\"'"


def test_it_names_itself_as_the_rest_of_the_program_names_owners(session: Session) -> None:
    me = Owner.me()
    machine, boot, pid, start_ = session.key.split("-")
    assert (machine, boot) == (me.machine[:8], me.boot[:8])
    assert Owner(me.host, me.machine, me.boot, int(pid), start_).dead is False


def test_a_blob_has_its_name_only_when_it_is_whole(session: Session, store: Path) -> None:
    session.request("put", HEX, 0, len(DATA))
    session.send(DATA)
    session.request("list")
    assert [line for line in iter(session.answer, "end") if HEX in line] == []
    session.request("seal")
    assert session.answer() == f"ok {HEX}"
    blob = store / "blobs" / "sha256" / HEX
    assert blob.read_bytes() == DATA
    assert blob.stat().st_mode & 0o777 == 0o444
    assert list((store / "partial").iterdir()) == []


def test_wrong_bytes_get_no_name_and_are_forgotten(session: Session, store: Path) -> None:
    wrong = DATA[:-1] + b"!"
    assert put(session, wrong) == f"bad {HEX} {Digest.of(wrong).hex}"
    assert list((store / "blobs" / "sha256").iterdir()) == []
    assert list((store / "partial").iterdir()) == []
    assert put(session, DATA) == f"ok {HEX}"


def test_a_lot_is_judged_blob_by_blob(session: Session) -> None:
    good, empty, wrong = Digest.of(b"good").hex, Digest.of(b"").hex, Digest.of(b"other").hex
    for hex_, data in ((good, b"good"), (wrong, b"wrong"), (empty, b"")):
        session.request("put", hex_, 0, len(data))
        session.send(data)
    session.request("seal")
    answers = {session.answer() for _ in range(3)}
    assert answers == {f"ok {good}", f"ok {empty}", f"bad {wrong} {Digest.of(b'wrong').hex}"}


def test_the_next_request_is_not_eaten_with_the_bytes_before_it(session: Session) -> None:
    lots = [bytes([number]) * (number * 37 + 1) for number in range(30)]
    burst = bytearray()
    for data in lots:
        burst += f"put {Digest.of(data).hex} 0 {len(data)}\n".encode() + data + b"seal\n"
    session.send(bytes(burst))
    assert [session.answer() for _ in lots] == [f"ok {Digest.of(data).hex}" for data in lots]


def test_a_hash_that_follows_behind_comes_to_the_same(session: Session, store: Path) -> None:
    for data, answer in ((DATA[:-1] + b"!", f"bad {HEX} "), (DATA, f"ok {HEX}")):
        session.request("follow", HEX, 0, len(data))
        session.send(data)
        session.request("seal")
        assert session.answer().startswith(answer)
    assert (store / "blobs" / "sha256" / HEX).read_bytes() == DATA


def test_a_hash_that_follows_behind_includes_what_was_there(store: Path) -> None:
    cut_off(store, 30_000)
    session = prepared(store)
    session.request("open", HEX)
    assert session.answer() == f"at {HEX} 30000"
    session.request("follow", HEX, 30_000, len(DATA) - 30_000)
    session.send(DATA[30_000:])
    session.request("seal")
    assert session.answer() == f"ok {HEX}"
    session.close()


def cut_off(store: Path, length: int) -> str:
    """A far end that got so many bytes of the blob and then lost its connection; its name."""
    session = prepared(store)
    session.request("put", HEX, 0, len(DATA))
    session.send(DATA[:length])
    session.close()
    return session.key


def test_what_a_cut_connection_left_is_gone_on_with(store: Path) -> None:
    cut_off(store, 30_000)
    session = prepared(store)
    session.request("open", HEX)
    assert session.answer() == f"at {HEX} 30000"
    assert put(session, DATA, offset=30_000) == f"ok {HEX}"
    session.close()


def test_a_flipped_byte_in_what_was_left_is_found(store: Path) -> None:
    key = cut_off(store, 30_000)
    partial = store / "partial" / f"{HEX}.{key}"
    partial.write_bytes(b"X" + partial.read_bytes()[1:])
    session = prepared(store)
    session.request("open", HEX)
    assert session.answer() == f"at {HEX} 30000"
    assert put(session, DATA, offset=30_000).startswith(f"bad {HEX} ")
    session.request("open", HEX)
    assert session.answer() == f"at {HEX} 0"
    session.close()


def test_more_than_the_blob_has_is_cut_off(store: Path) -> None:
    key = cut_off(store, 30_000)
    (store / "partial" / f"{HEX}.{key}").write_bytes(DATA * 2)
    session = prepared(store)
    session.request("open", HEX)
    assert session.answer() == f"at {HEX} {2 * len(DATA)}"
    assert put(session, DATA, offset=0) == f"ok {HEX}"
    session.close()


def test_a_living_far_end_keeps_its_file_unless_its_own_push_disowns_it(store: Path) -> None:
    block = 256 << 10  # what the far end writes at once
    long = Digest.of(b"long").hex
    living, other = prepared(store), prepared(store)
    living.request("put", long, 0, 9 * block)
    living.send(bytes(2 * block))
    its_own, theirs = (store / "partial" / f"{long}.{session.key}" for session in (living, other))
    eventually(lambda: its_own.exists() and its_own.stat().st_size == 2 * block, "the living far end has written")
    other.request("open", long)
    assert other.answer() == f"at {long} 0"
    other.request("disown", living.key)
    other.request("open", long)
    assert other.answer() == f"at {long} {2 * block}"
    assert theirs.exists()
    assert not its_own.exists()
    living.abandon()
    other.close()


def test_the_list_tells_whole_from_begun_and_sweeps_what_no_one_needs(store: Path) -> None:
    key = cut_off(store, 30_000)
    session = prepared(store)
    session.request("list")
    assert [line for line in iter(session.answer, "end") if line.endswith(f" partial/{HEX}.{key}")]
    assert put(session, DATA) == f"ok {HEX}"
    session.request("list")
    lines = list(iter(session.answer, "end"))
    assert any(line.endswith(f" {HEX}") for line in lines)
    assert not any("partial/" in line for line in lines)
    assert list((store / "partial").iterdir()) == []
    session.close()


def test_what_dead_far_ends_left_beside_blobs_is_swept(session: Session, store: Path) -> None:
    dead = session.key.rpartition("-")[0] + "-1"
    litter = [store / "partial" / f"{name}.{dead}" for name in ("index", "agent", "probe", "new", "ingest-0123")]
    litter.append(store / "blobs" / "sha256" / f"probe.{dead}")
    living = store / "partial" / f"index.{session.key}"
    for path in (*litter, living):
        path.touch()
    session.request("list")
    assert [line for line in iter(session.answer, "end") if "partial/" in line] == []
    assert [path for path in litter if path.exists()] == []
    assert living.exists()


def test_a_file_system_that_refuses_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    session = start(tmp_path / "file" / "store")
    session.request("prepare")
    assert session.answer().startswith("failed - ")
    session.close()


@pytest.mark.parametrize("tool", ["mv", "chmod", "sync", "dd"])
def test_a_tool_that_is_killed_is_told_as_killed_and_not_as_a_refusal_to_write(
    tool: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push tries again what was killed; what a host refuses ends it."""
    killed = tmp_path / "bin" / tool
    killed.parent.mkdir()
    killed.write_text(f'#!/bin/sh\ncase "$*" in *{HEX}*) kill -9 $$ ;; esac\nexec {shutil.which(tool)} "$@"\n')
    killed.chmod(0o755)
    monkeypatch.setenv("PATH", f"{killed.parent}:{os.environ['PATH']}")
    session = prepared(store)
    session.request("put", HEX, 0, len(DATA))
    with suppress(WireBroken):  # it may have ended before all has gone
        session.send(DATA)
        session.request("seal")
    assert session.answer().startswith(f"killed {HEX}")
    session.abandon()


def test_a_lock_of_a_dead_process_is_taken_over(session: Session, store: Path) -> None:
    me = Owner.me()
    for stale in (
        Owner(me.host, me.machine, "another boot", 1, "1"),
        Owner(me.host, me.machine, me.boot, 2**22 + 1, "77"),
        Owner(me.host, me.machine, me.boot, 1, "0"),
    ):
        (store / "index.lock").write_text(json.dumps(stale.to_json()))
        assert swapped(session) == "swapped"
    assert not (store / "index.lock").exists()


def test_whoever_died_while_breaking_a_lock_holds_no_push_up(session: Session, store: Path) -> None:
    dead = Owner(Owner.me().host, Owner.me().machine, "another boot", 1, "1")
    for name in ("index.lock", "index.lock.stale", "index.lock.stale.stale"):
        (store / name).write_text(json.dumps(dead.to_json()))
    assert swapped(session) == "swapped"
    assert not list(store.glob("index.lock*"))


def test_a_lock_that_another_is_breaking_is_left_to_it(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other may have broken it and taken it by the time that this one would."""
    monkeypatch.setattr(far_end, "LOCK_SECONDS", 1)
    dead = Owner(Owner.me().host, Owner.me().machine, "another boot", 1, "1")
    session = prepared(store)
    (store / "index.lock").write_text(json.dumps(dead.to_json()))
    (store / "index.lock.stale").write_text(json.dumps(Owner.me().to_json()))
    assert swapped(session) == f"held index.lock {json.dumps(dead.to_json())}"
    session.close()


def test_a_lock_of_another_machine_or_a_living_process_is_respected(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far_end, "LOCK_SECONDS", 0)
    elsewhere = replace(Owner.me(), pid=2**22 + 1)
    for holder in (Owner.me(), replace(elsewhere, host="elsewhere"), replace(elsewhere, namespace="pid:[1]")):
        session = prepared(store)
        text = json.dumps(holder.to_json())
        (store / "index.lock").write_text(text)
        session.request("swap", "absent", 2)
        session.send(b"{}")
        assert session.answer() == f"held index.lock {text}"
        session.close()
        assert (store / "index.lock").read_text() == text


def test_an_index_that_changed_meanwhile_is_not_overwritten(session: Session, store: Path) -> None:
    session.request("index")
    before, length = session.answer().split()[1:]
    session.read(int(length))
    (store / "index.json").write_text('{"manifests": []}')
    session.request("swap", before, 2)
    session.send(b"{}")
    assert session.answer() == "changed"
    assert (store / "index.json").read_text() == '{"manifests": []}'


def test_the_agent_is_replaced_when_it_differs(session: Session, store: Path) -> None:
    assert put(session, DATA) == f"ok {HEX}"
    (store / "bundle").write_bytes(b"old")
    session.request("agent", HEX)
    assert session.answer() == "agent"
    assert (store / "bundle").read_bytes() == DATA
    assert (store / "bundle").stat().st_mode & 0o777 == 0o755
    written = (store / "bundle").stat().st_ino
    session.request("agent", HEX)
    assert session.answer() == "agent"
    assert (store / "bundle").stat().st_ino == written


def test_a_profile_that_prints_does_not_disturb(tmp_path: Path) -> None:
    text = program(str(tmp_path / "store"))
    session = Session(Launch(("sh", "-c", f"echo Welcome; echo; echo to the host; {launcher(text)}")), text, stall=20)
    assert session.key
    session.close()


def test_a_login_that_runs_nothing_is_told_with_its_own_words() -> None:
    with pytest.raises(WireBroken) as error:
        Session(Launch(("sh", "-c", "echo This account is currently not available.; exit 1")), b"", stall=20)
    assert error.value.greeted is False
    assert error.value.status == 1
    assert "currently not available" in error.value.said


def test_a_far_end_that_stands_still_is_given_up() -> None:
    with pytest.raises(WireBroken, match=r"nothing moved for 0\.\d s"):
        Session(Launch(("sh", "-c", f"echo {HELLO}; exec sleep 60")), b"x" * (4 << 20), stall=0.3)


def test_the_script_has_no_syntax_that_only_one_shell_knows() -> None:
    for shell in SHELLS:
        if shell in ("sh", "dash", "bash"):
            text = program("/x")
            assert subprocess.run([shell, "-n"], input=text, capture_output=True, check=False).stderr == b""
