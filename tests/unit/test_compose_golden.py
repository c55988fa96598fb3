"""Every manifest that we ship as a Compose file: UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
import yaml

from bundler.core.digest import Digest
from bundler.engine.compose import compose
from bundler.manifest.loader import load
from bundler.workloads.container import Placement
from bundler.workloads.graph import workloads
from bundler.workloads.planned import Planned, plan

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "compose"
MANIFESTS = sorted((ROOT / "manifests").glob("*.yaml"))


def planned(path: Path) -> tuple[tuple[Planned, ...], Placement]:
    manifest = load(path)
    name = manifest.name
    directory = PurePosixPath("/data/bundles/releases") / name
    at = Placement(name, Digest.of(name.encode()), f"bundle-{name}", directory, "1000:1000")
    every = workloads(manifest)
    images = {image: f"{name}/{image}:{manifest.version}" for image in manifest.images}
    return plan(every, images, {one.name: Digest.of(one.name.encode()) for one in every}, at), at


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_what_a_shipped_manifest_runs_as_compose_changes_only_on_purpose(path: Path) -> None:
    golden = GOLDEN / f"{path.stem}.yaml"
    text = compose(*planned(path))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_compose_file_says_the_same_as_the_containers_that_up_starts(path: Path) -> None:
    every, at = planned(path)
    document = yaml.safe_load(compose(every, at))
    services = {member["container_name"]: member for member in document["services"].values()}
    specs = {spec.name: spec for one in every for spec in one.specs}
    assert services.keys() == specs.keys()
    for name, spec in specs.items():
        member = services[name]
        command = [*member["entrypoint"], *member["command"]]
        assert [word.replace("$$", "$") for word in command] == list(spec.command)
        assert member.get("environment", {}) == dict(spec.environment)
        assert [(one["source"], one["target"], one["read_only"]) for one in member.get("volumes", [])] == [
            (bind.source, bind.target, bind.read_only) for bind in spec.binds
        ]
        assert member["cap_drop"] == ["ALL"]
        assert member["security_opt"] == ["no-new-privileges"]
        assert member["read_only"] is True
        assert member["shm_size"] == spec.shm
        assert ("deploy" in member) == (spec.gpus > 0) == ("ulimits" in member)
        if not spec.edge:  # only proxies stand on a network that is not internal
            assert "ports" not in member
            assert all(document["networks"][one].get("internal") for one in member.get("networks", {}))


def test_no_golden_compose_file_outlives_its_manifest() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {path.stem for path in MANIFESTS}
