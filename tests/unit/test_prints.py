"""Records that were there before, found again in little memory; and keys that are there twice, found without a hook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.planning.datasets import prints
from bundler.planning.datasets.content import may_have_forgotten
from bundler.planning.datasets.description import Description
from bundler.planning.datasets.json_file import Chunk
from bundler.planning.datasets.judge import judge
from bundler.planning.datasets.prints import Prints
from bundler.planning.datasets.shape import Shape
from bundler.planning.datasets.verdict import Raises

HASHES = st.lists(st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1) | st.integers(-3, 3))


@given(HASHES, HASHES)
def test_a_hash_is_new_exactly_once_and_no_other_is_taken_for_it(added: list[int], asked: list[int]) -> None:
    """0 and 1 share a place, as 0 marks a free one: of 2^64 hashes the one exception."""
    found, known = Prints(), set()
    for one in added:
        assert found.add(one) is ((one or 1) not in known)
        known.add(one or 1)
    assert len(found) == len(known)
    for one in (*added, *asked):
        assert (one in found) is ((one or 1) in known)


def test_many_records_take_32_bytes_each_at_most() -> None:
    found = Prints()
    for number in range(50_000):
        found.add(number * 0x9E3779B97F4A7C15)
    assert len(found) == 50_000
    assert found._slots.itemsize * len(found._slots) <= 50_000 * 32


def test_beyond_the_cap_nothing_is_added_and_what_is_known_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prints, "LARGEST", 10)
    found = Prints()
    for number in range(1, 40):
        assert found.add(number)
    assert (len(found), found.whole, 5 in found, 39 in found) == (10, False, True, False)
    assert not found.add(5)


TEXTS = st.text(alphabet=st.sampled_from('"\\:,{}[] aé\n/ud8')) | st.text()
VALUES = st.recursive(
    st.none() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def judged(lines: list[str]) -> None:
    raw = "\n".join(lines)
    chunk, shape = Chunk(raw.encode("utf-8", "surrogatepass"), raw, 1), Shape(dates=True)
    chunk.require_unique(sum(shape.see(found[0]) for found in chunk.objects()))


@given(st.lists(TEXTS, min_size=1, max_size=4), st.booleans())
def test_a_key_that_is_there_twice_is_found_whatever_the_strings_are(texts: list[str], escaped: bool) -> None:
    """Arrow refuses the whole file for it, after the gap. Quotes are counted, so they are what could be miscounted."""
    record = {"instruction": texts[0], "conversations": [{"from": "human", "value": text} for text in texts]}
    good = json.dumps(record, ensure_ascii=escaped)
    judged([good, good])
    twice = good.replace('{"from": "human", ', '{"from": "human", "from": "human", ', 1)
    with pytest.raises(Raises, match="'from' is there twice"):
        judged([good, twice])


@given(VALUES, st.booleans())
def test_strings_are_counted_as_they_are_written(value: Any, escaped: bool) -> None:
    """Were one miscounted, each chunk would be parsed twice, or a lost key be passed over."""
    written = json.dumps({"a": value}, ensure_ascii=escaped)
    shape = Shape(dates=False)
    try:
        strings = shape.see(json.loads(written))
    except Raises:
        return  # two kinds in one list
    quotes = written.replace("\\\\", "").count('"') - written.replace("\\\\", "").count('\\"')
    assert quotes == 2 * strings


@pytest.mark.parametrize(
    ("text", "maybe"),
    [
        ("Dear {{name}}", True),
        ("The Big Dog, Tiny bad dish", False),
        ("TODO", True),
        ("see <placeholder>", True),
        ("lorem ipsum", True),
        ("你好", False),
    ],
)
def test_a_stretch_with_a_placeholder_is_never_passed_over(text: str, maybe: bool, tmp_path: Path) -> None:
    assert may_have_forgotten(text.encode()) is maybe
    path = tmp_path / "d.json"
    path.write_text(json.dumps([{"instruction": text, "input": "", "output": "b"}], ensure_ascii=False))
    assert bool(judge(path, Description()).notes) is maybe
