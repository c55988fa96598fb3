"""Layers compressed on several cores: the same bytes on one, well-formed for every reader."""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.sources.squeeze import BLOCK, gzip_blocks

SAMPLE = b"".join(b"%d of a layer " % (number * number) for number in range(300_000))


@pytest.mark.parametrize("cores", [2, 3, 16])
def test_the_same_layer_gets_the_same_digest_on_any_number_of_cores(cores: int) -> None:
    assert b"".join(gzip_blocks([SAMPLE], cores)) == b"".join(gzip_blocks([SAMPLE], 1))


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, len(SAMPLE)), max_size=8))
def test_how_the_engine_cuts_its_stream_does_not_change_a_layers_digest(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(SAMPLE)]
    chunks = [SAMPLE[start:end] for start, end in pairwise(ends)]
    assert b"".join(gzip_blocks(chunks)) == b"".join(gzip_blocks([SAMPLE]))


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, len(SAMPLE)])
def test_a_layer_is_one_gzip_member_that_any_reader_unpacks_whole(length: int) -> None:
    packed = b"".join(gzip_blocks([SAMPLE[:length]]))
    expand = zlib.decompressobj(wbits=31)
    assert expand.decompress(packed) == SAMPLE[:length] == gzip.decompress(packed)
    assert expand.eof
    assert not expand.unused_data
