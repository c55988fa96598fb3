"""The systemd unit: a node that lost power serves again without anyone logging in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.operations.unit import Boot, render

GOLDEN = Path(__file__).parents[1] / "golden" / "units"
UNITS = {
    "plain": Boot("demo", Path("/data/bundles"), ("/data/bundles/bundle",)),
    "rootless": Boot(
        "demo",
        Path("/home/ada/my bundles"),
        ("/home/ada/my bundles/bundle",),
        {"DOCKER_HOST": "unix:///run/user/1000/docker.sock"},
        "ada",
    ),
    "podman": Boot(
        "demo",
        Path("/data/bundles"),
        ("/data/bundles/bundle",),
        {"CONTAINER_HOST": "unix:///run/podman/gpu.sock"},
        engine="podman",
        engine_unit="podman.socket",
    ),
}


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_changes_only_on_purpose(name: str) -> None:
    golden = GOLDEN / f"{name}.service"
    text = render(UNITS[name])
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_characters_that_mean_something_to_systemd_reach_the_program_as_they_are() -> None:
    text = render(Boot("demo", Path('/data/50% $HOME "x" \\y'), ("/bin/bundle",)))
    assert r'--store "/data/50%% $$HOME \"x\" \\y"' in text
    assert r'RequiresMountsFor="/data/50%% $HOME \"x\" \\y"' in text


def test_the_version_is_not_in_the_unit_so_that_boot_does_not_undo_an_update() -> None:
    assert " up demo --last " in render(UNITS["plain"])


def test_what_up_was_let_pass_passes_at_boot_too_or_the_node_would_not_serve_again() -> None:
    text = render(replace(UNITS["plain"], accepted=("driver", "memory")))
    assert " up demo --last --accept=driver --accept=memory --progress plain " in text
