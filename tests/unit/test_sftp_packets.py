"""SFTP's packets: what is written is read as it was, and nothing that comes breaks more than the conversation."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from bundler.transport.sftp_packets import (
    LONGEST,
    Attributes,
    Kind,
    Malformed,
    Reader,
    names,
    packet,
    split,
    string,
    u32,
    u64,
)


@given(
    kind=st.sampled_from(Kind), number=st.integers(0, 2**32 - 1), position=st.integers(0, 2**64 - 1), text=st.binary()
)
def test_a_packet_is_read_as_it_was_written_however_it_is_cut_on_its_way(
    kind: Kind, number: int, position: int, text: bytes
) -> None:
    whole = packet(kind, u32(number), u64(position), string(text))
    received = bytearray()
    for at in range(len(whole)):
        assert split(received) is None
        received += whole[at : at + 1]
    found = split(received)
    assert found is not None
    assert not received
    body = Reader(found.body)
    assert (found.kind, body.u32(), body.u64(), body.string()) == (kind, number, position, text)
    assert body.empty


@given(data=st.binary(max_size=200))
def test_bytes_of_any_kind_are_a_packet_or_malformed(data: bytes) -> None:
    received = bytearray(data)
    try:
        found = split(received)
        if found is not None:
            names(Reader(found.body))
    except Malformed:
        return


@given(length=st.integers(LONGEST + 1, 2**32 - 1))
def test_a_length_that_no_server_means_is_not_waited_for(length: int) -> None:
    try:
        split(bytearray(struct.pack(">IB", length, 104)))
    except Malformed:
        return
    raise AssertionError("it waits for a packet that would fill the memory")


@given(flags=st.integers(0, 15), size=st.integers(0, 2**64 - 1), mode=st.integers(0, 2**32 - 1))
def test_attributes_that_we_have_no_use_for_are_passed_over(flags: int, size: int, mode: int) -> None:
    body = struct.pack(">I", flags)
    body += struct.pack(">Q", size) if flags & 1 else b""
    body += bytes(8) if flags & 2 else b""
    body += struct.pack(">I", mode) if flags & 4 else b""
    body += struct.pack(">II", 1, 2) if flags & 8 else b""
    reader = Reader(memoryview(body + b"rest"))
    changed = 2 if flags & 8 else None
    assert reader.attributes() == Attributes(size if flags & 1 else None, mode if flags & 4 else None, changed)
    assert not reader.empty
