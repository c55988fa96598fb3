"""A secret never comes out by accident."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass

import pytest

from bundler.core.secret import Secret

CANARY = "canary-7f3a"


@dataclass
class Holder:
    token: Secret


@pytest.mark.parametrize(
    "printed",
    [
        str(Secret(CANARY)),
        repr(Secret(CANARY)),
        f"{Secret(CANARY)}",
        f"{Secret(CANARY)!r:>40}",
        str([Secret(CANARY)]),
        repr(Holder(Secret(CANARY))),
        repr(ValueError(Secret(CANARY))),
    ],
)
def test_a_token_printed_by_mistake_shows_dots(printed: str) -> None:
    assert CANARY not in printed
    assert "•" in printed


def test_a_token_can_not_be_pickled_or_put_into_json() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))
    with pytest.raises(TypeError):
        json.dumps({"token": Secret(CANARY)})


def test_only_reveal_gives_it() -> None:
    assert Secret(CANARY).reveal() == CANARY
    assert Secret(CANARY) == Secret(CANARY) != Secret("other")
    assert not Secret("")
