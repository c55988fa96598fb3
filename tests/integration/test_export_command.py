"""`bundle build --export`, `export` and `import` as a person types them: in one step, in a delta, told in advance."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.store.contents import read_lock
from bundler.store.layout import Store
from scripts.world.node import Node
from tests.commandline import Bundle, refusal

MANIFEST = 'name: plain\nversion: "{version}"\nmodels:\n  base: {{path: model}}\n'


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A bundle of a local model: a small file, and one of 12 MB."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(random.Random(1).randbytes(12_000_000))
    path = tmp_path / "plain.yaml"
    path.write_text(MANIFEST.format(version="1"))
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle({"XDG_STATE_HOME": str(tmp_path / "state"), "BUNDLE_STORE": str(tmp_path / "store")})


def test_one_step_builds_a_bundle_and_writes_its_volumes(bundle: Bundle, manifest: Path, tmp_path: Path) -> None:
    built = bundle("build", manifest, "--export", tmp_path / "stick", "-o", "json").json
    (volume,) = built["export"]["volumes"]
    assert Path(volume["path"]).stat().st_size == volume["bytes"]
    bundle("import", tmp_path / "stick", "--store", tmp_path / "far")
    assert str(Store.open(tmp_path / "far").find("plain").root.digest) == built["root"]


def test_a_delta_carries_what_changed_and_names_what_it_stands_on(
    bundle: Bundle, manifest: Path, tmp_path: Path
) -> None:
    bundle("build", manifest, "--export", tmp_path / "first")
    before = tmp_path / "before.lock.json"
    before.write_bytes(manifest.with_suffix(".lock.json").read_bytes())
    manifest.write_text(MANIFEST.format(version="2"))
    (tmp_path / "model" / "config.json").write_text('{"changed": true}')
    root = bundle("build", manifest, "-o", "json").json["root"]
    delta = bundle("export", "plain:2", tmp_path / "second", "--since", before, "-o", "json").json
    weights = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert sum(volume["bytes"] for volume in delta["volumes"]) < weights
    alone = bundle("import", tmp_path / "second", "--store", tmp_path / "far", check=False)
    assert alone.code == 3
    assert "model.safetensors" in refusal(alone)
    bundle("import", tmp_path / "first", tmp_path / "second", "--store", tmp_path / "far")
    assert str(Store.open(tmp_path / "far").find("plain:2").root.digest) == root
    bundle("verify", "--store", tmp_path / "far")


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(
    bundle: Bundle, manifest: Path, tmp_path: Path
) -> None:
    bundle("build", manifest)
    (tmp_path / "stick").mkdir()
    told = bundle("export", "plain", tmp_path / "stick", "--dry-run", "--volume-size", "6MB", "-o", "json").json
    assert len(told["volumes"]) > 3
    assert list((tmp_path / "stick").iterdir()) == []
    bundle("export", "plain", tmp_path / "stick", "--volume-size", "6MB")
    assert {Path(volume["path"]).name for volume in told["volumes"]} == {
        path.name for path in (tmp_path / "stick").glob("*.tar")
    }


def test_the_last_volumes_alone_are_written_where_they_are_asked_for(
    bundle: Bundle, manifest: Path, tmp_path: Path
) -> None:
    bundle("build", manifest)
    bundle("export", "plain", tmp_path / "a", "--volume-size", "6MB", "--volumes", "1-2")
    bundle("export", "plain", tmp_path / "b", "--volume-size", "6MB", "--volumes", "3-")
    assert len(list((tmp_path / "a").glob("*.tar"))) == 2
    bundle("import", tmp_path / "b", tmp_path / "a", "--store", tmp_path / "far")
    bundle("verify", "plain", "--store", tmp_path / "far")


def test_a_bundle_that_is_not_there_is_a_usage_error(bundle: Bundle, manifest: Path, tmp_path: Path) -> None:
    bundle("build", manifest)
    outcome = bundle("export", "absent", tmp_path / "stick", check=False)
    assert outcome.code == 2
    assert "Bundles there: plain:1" in refusal(outcome)


def test_an_image_goes_into_docker_load_as_one_file(
    bundle: Bundle, base_image: str, node: Node, tmp_path: Path
) -> None:
    manifest = tmp_path / "image.yaml"
    manifest.write_text(f'name: carried\nversion: "1"\nimages:\n  tool: {{registry: "{base_image}"}}\n')
    bundle("build", manifest)
    written = bundle("export", "carried", tmp_path / "stick", "--docker", "tool", "-o", "json").json
    engine = node.engine
    engine.docker("load", "-i", written["path"])
    found = engine.docker("image", "inspect", "--format", "{{.Id}}", "carried/tool:1").stdout.strip()
    store = Store.open(tmp_path / "store")
    assert found == str(read_lock(store, store.find("carried")).images[0].blobs[0].digest)
    said = engine.docker("run", "--rm", "--network", "none", "carried/tool:1", "python3", "-c", "print('it runs')")
    assert "it runs" in said.stdout
    engine.docker("image", "rm", "carried/tool:1")


def test_an_image_that_is_not_there_is_a_usage_error(bundle: Bundle, manifest: Path, tmp_path: Path) -> None:
    bundle("build", manifest)
    outcome = bundle("export", "plain", tmp_path / "stick", "--docker", "tool", check=False)
    assert outcome.code == 2
    assert "has no image 'tool'" in refusal(outcome)


def test_gc_between_two_imports_says_what_it_keeps_and_no_volume_has_to_come_again(
    bundle: Bundle, manifest: Path, tmp_path: Path
) -> None:
    bundle("build", manifest)
    bundle("export", "plain", tmp_path / "stick", "--volume-size", "6MB")
    first, *others = sorted((tmp_path / "stick").glob("*.tar"))
    far = tmp_path / "far"
    assert bundle("import", first, "--store", far, check=False).code == 3
    said = bundle("gc", "--store", far).out
    assert f"kept for the import of plain:1, of which volumes came: {first.name}" in said
    bundle("import", *others, "--store", far)
    bundle("verify", "plain", "--store", far)


def test_an_import_that_is_given_up_is_taken_by_gc_and_missed_by_the_next_import(
    bundle: Bundle, manifest: Path, tmp_path: Path
) -> None:
    bundle("build", manifest)
    bundle("export", "plain", tmp_path / "stick", "--volume-size", "6MB")
    first, *others = sorted((tmp_path / "stick").glob("*.tar"))
    far = tmp_path / "far"
    assert bundle("import", first, "--store", far, check=False).code == 3
    shutil.rmtree(far / "volumes")  # as gc says
    bundle("gc", "--store", far)
    again = bundle("import", *others, "--store", far, check=False)
    assert again.code == 3
    assert first.name in refusal(again)
    bundle("import", first, "--store", far)
    bundle("verify", "plain", "--store", far)


def test_a_node_with_nothing_but_python_takes_volumes_with_the_program_that_they_carry(
    bundle: Bundle, manifest: Path, tmp_path: Path
) -> None:
    bundle("build", manifest)
    bundle("export", "plain", tmp_path / "stick", "--volume-size", "6MB")
    volumes = sorted((tmp_path / "stick").glob("*.tar"))
    subprocess.run(["tar", "-xf", volumes[0], "-C", tmp_path, "bundle"], check=True)
    bare = (sys.executable, "-I", "-S", tmp_path / "bundle", "import")
    assert "VOLUME_OR_DIR" in subprocess.run([*bare, "--help"], capture_output=True, text=True, check=True).stdout
    done = subprocess.run([*bare, tmp_path / "stick", "--store", tmp_path / "far"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bundle("verify", "plain", "--store", tmp_path / "far")
