"""Header values that decide where a file is continued and when a server is asked again."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

from bundler.sources.http import range_start, retry_after


@pytest.mark.parametrize(
    ("value", "first"),
    [
        ("bytes 100-199/200", 100),
        ("bytes 100-199/*", 100),
        ("Bytes 0-1/2", 0),
        ("bytes */200", None),
        ("bytes -5/200", None),
        ("items 1-2/3", None),
        ("", None),
        ("bytes ²-3/4", None),
    ],
)
def test_a_range_that_was_not_asked_for_is_noticed(value: str, first: int | None) -> None:
    assert range_start(value) == first


def test_a_wait_is_read_in_seconds_or_as_a_date() -> None:
    assert retry_after("17") == 17.0
    assert retry_after(" 0 ") == 0.0
    assert 50 < (retry_after(formatdate(time() + 60, usegmt=True)) or 0) <= 60
    assert retry_after(formatdate(time() - 60, usegmt=True)) == 0.0
    assert retry_after("soon") is None
    assert retry_after("") is None
