"""How the suite is shared out: what a new test file breaks is told by that file, not by other tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


def conftest(request: pytest.FixtureRequest) -> Any:
    """The suite's own plugin."""
    return next(found for found in request.config.pluginmanager.get_plugins() if hasattr(found, "ASKS_FOR_THE_WORLD"))


def asks(request: pytest.FixtureRequest, path: Path, text: str) -> Any:
    """A test that gets the world, in a module with this text."""
    path.write_text(text)
    world = SimpleNamespace(func=SimpleNamespace(__module__=conftest(request).__name__))
    return SimpleNamespace(path=path, _fixtureinfo=SimpleNamespace(name2fixturedefs={"world": (world,)}))


def test_a_test_that_would_take_the_world_from_the_others_fails_by_itself(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Otherwise it takes ports and engine from the tests in the right process, and those fail, hours later."""
    hidden = asks(request, tmp_path / "test_new.py", "def test(anything) -> None: ...")
    with pytest.raises(pytest.fail.Exception, match=r"test_new.py asks for the world, and ASKS_FOR_THE_WORLD"):
        conftest(request).pytest_runtest_setup(hidden)


@pytest.mark.parametrize(
    "text", ["def test(podman_node: Node)", "def test(node: Node)", "from test_jobs import loaded\n"]
)
def test_what_asks_visibly_is_let_in(request: pytest.FixtureRequest, tmp_path: Path, text: str) -> None:
    conftest(request).pytest_runtest_setup(asks(request, tmp_path / "test_new.py", text))


def test_no_two_test_files_have_one_name(request: pytest.FixtureRequest) -> None:
    """pytest imports them by their bare names, and ends before the first test where two are alike."""
    names = Counter(path.name for path in (request.config.rootpath / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
