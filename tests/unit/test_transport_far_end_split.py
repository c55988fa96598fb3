"""A blob that comes in ranges over several connections, at the far end: a hole is never taken for bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from far_end_sessions import DATA, HEX, prepared, put

from bundler.transport.session import Session


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def send_range(session: Session, first: str, at: int, end: int) -> None:
    session.request("range", HEX, first, at, end - at)
    session.send(DATA[at:end])


def gathered(session: Session, *first: str) -> tuple[str, set[tuple[int, int]]]:
    """The name that the split file goes by, and what is there of it."""
    session.request("gather", HEX, *first)
    spans: set[tuple[int, int]] = set()
    while (answer := session.answer().split())[0] == "had":
        spans.add((int(answer[1]), int(answer[2])))
    assert answer[:2] == ["gathered", HEX]
    return answer[2], spans


def test_ranges_from_several_far_ends_in_any_order_make_one_blob(store: Path) -> None:
    leader, one, other = prepared(store), prepared(store), prepared(store)
    first, _ = gathered(leader)
    leader.request("digest", HEX, first)
    send_range(other, first, 30_000, len(DATA))
    assert other.answer() == f"got {HEX} 30000"
    send_range(one, first, 0, 30_000)
    assert one.answer() == f"got {HEX} 0"
    for line in (30_000, len(DATA) - 30_000, "end"):
        leader.request(line)
    assert list((store / "blobs/sha256").iterdir()) == []
    leader.request("whole", HEX, first, len(DATA))
    assert leader.answer() == f"ok {HEX}"
    assert (store / "blobs/sha256" / HEX).read_bytes() == DATA
    assert list((store / "partial").iterdir()) == []
    for session in (leader, one, other):
        session.close()


def cut_off_with_a_hole(store: Path) -> None:
    """Far ends that have the bytes up to 20000, and from 50000 on, and end."""
    leader, one = prepared(store), prepared(store)
    first, _ = gathered(leader)
    for at, end in ((0, 20_000), (50_000, len(DATA))):
        send_range(one, first, at, end)
        assert one.answer() == f"got {HEX} {at}"
    leader.close()
    one.close()


def test_a_file_with_a_hole_is_never_taken_for_longer_than_what_is_before_the_hole(store: Path) -> None:
    cut_off_with_a_hole(store)
    session = prepared(store)
    session.request("open", HEX)
    assert session.answer() == f"at {HEX} 20000"
    assert put(session, DATA, offset=20_000) == f"ok {HEX}"
    assert list((store / "partial").iterdir()) == []
    session.close()


def test_what_lies_behind_a_hole_is_gone_on_with_too(store: Path) -> None:
    cut_off_with_a_hole(store)
    session = prepared(store)
    assert gathered(session)[1] == {(0, 20_000), (50_000, len(DATA) - 50_000)}
    session.close()


def test_a_split_file_that_a_living_far_end_writes_is_another_push_s(store: Path) -> None:
    leader, helper, other = prepared(store), prepared(store), prepared(store)
    first, _ = gathered(leader)
    send_range(helper, first, 0, 20_000)
    assert helper.answer() == f"got {HEX} 0"
    leader.close()
    assert gathered(other) == (other.key, set())
    other.request("open", HEX)
    assert other.answer() == f"at {HEX} 0"
    again = prepared(store)
    assert gathered(again, first) == (first, {(0, 20_000)})
    for session in (helper, other, again):
        session.close()


def test_a_hash_that_was_cut_short_gives_no_name_and_loses_nothing(store: Path) -> None:
    leader = prepared(store)
    first, _ = gathered(leader)
    send_range(leader, first, 0, len(DATA))
    assert leader.answer() == f"got {HEX} 0"
    leader.request("digest", HEX, first)
    leader.request(20_000)
    leader.close()
    assert list((store / "blobs/sha256").iterdir()) == []
    session = prepared(store)
    assert gathered(session)[1] == {(0, len(DATA))}
    session.close()


def test_a_host_that_noted_thousands_of_ranges_answers_before_it_is_taken_for_dead(store: Path) -> None:
    """134 GB in one file are as many, noted by several connections in turn."""
    prepared(store).close()
    count, writers = 4000, 4
    dead = "elsewhere-00000000-7-7"
    (store / "partial" / f"split-{HEX}.{dead}").write_bytes(bytes(count))
    for writer in range(writers):
        notes = "".join(f"{at} 1\n" for at in reversed(range(writer, count, writers)))
        (store / "partial" / f"ranges-{HEX}-{dead}.{dead[:-1]}{writer}").write_text(notes)
    session = prepared(store)
    session.request("disown", *(dead[:-1] + str(number) for number in range(writers)), dead)
    session.request("open", HEX)
    assert session.answer() == f"at {HEX} {count}"
    session.close()


def test_what_a_push_that_broke_off_holds_of_the_disk_is_not_asked_for_again(store: Path) -> None:
    """The bytes of a range that was under way when the disk was full are in no notes, and will be written over."""
    block, dead = 1 << 16, "elsewhere-00000000-7-7"
    prepared(store).close()
    with (store / "partial" / f"split-{HEX}.{dead}").open("wb") as file:
        for at in (0, 3, 7):
            file.seek(at * block)
            file.write(b"x" * block)
    (store / "partial" / f"ranges-{HEX}-{dead}.{dead}").write_text(f"0 {block}\n")
    session = prepared(store)
    session.request("disown", dead)
    session.request("list")
    (line,) = (line for line in iter(session.answer, "end") if HEX in line)
    assert 3 * block <= int(line.split()[4]) < 8 * block
    session.close()
