"""The dockerfiles that the project brings: what they render to, also where no machine here can build it.

UPDATE_GOLDEN=1 writes the rendered files anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bundler.manifest.artifacts import DockerfileImage
from bundler.manifest.loader import load
from bundler.sources.dockerfile import BadDockerfile, write_recipe

DOCKERFILES = Path(__file__).parents[2] / "dockerfiles"
MANIFESTS = DOCKERFILES.parent / "manifests"
GOLDEN = DOCKERFILES.parent / "tests" / "golden" / "dockerfiles"
BASE = "pytorch/pytorch@sha256:" + "0" * 64
WHEEL = "flash_attn-2.7.4.post1+cu12torch2.6cxx11abiTRUE-cp311-cp311-linux_x86_64.whl"
CUDA = ("cuda12.6-torch2.6", "cuda12.8-torch2.7")
IMAGES = (*CUDA, "cuda12.4-torch2.6-sglang0.4.6")


def instructions(text: str) -> list[str]:
    """A Dockerfile's instructions, each on one line, without comments (Dockerfile reference, "Format")."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [re.sub(r"\s+", " ", one) for one in "\n".join(lines).replace("\\\n", " ").splitlines()]


def rendered(name: str, tmp_path: Path, **arguments: str) -> list[str]:
    wheel = tmp_path / WHEEL
    wheel.touch()
    files = {"flash-attn": wheel} if arguments else {}
    return instructions(write_recipe(DOCKERFILES / name, BASE, arguments, files).render(BASE))


@pytest.mark.parametrize("name", CUDA)
def test_a_flash_attention_wheel_is_checked_against_its_sha256_before_it_is_installed_and_imported(
    name: str, tmp_path: Path
) -> None:
    with_wheel = rendered(name, tmp_path, flash_attn=WHEEL, flash_attn_sha256="1" * 64)
    assert all(one.split(" ")[0] in ("FROM", "RUN", "ENV", "WORKDIR", "ENTRYPOINT") for one in with_wheel)
    (block,) = [one for one in with_wheel if "flash-attn" in one]
    steps = [step.strip() for step in block.split("&&")]
    assert steps[0].endswith(f'echo "{"1" * 64} /ctx/flash-attn/{WHEEL}" | sha256sum --check --strict')
    assert steps[1] == f'pip install --no-cache-dir --no-deps --no-index "/ctx/flash-attn/{WHEEL}"'
    assert steps[2] == "python3 -c 'import torch, flash_attn_2_cuda'"


@pytest.mark.parametrize("name", CUDA)
def test_a_flash_attention_wheel_without_its_sha256_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadDockerfile) as refused:
        rendered(name, tmp_path, flash_attn=WHEEL)
    assert "flash_attn_sha256" in refused.value.because


@pytest.mark.parametrize("name", CUDA)
def test_without_one_nothing_of_it_is_in_the_image(name: str, tmp_path: Path) -> None:
    assert not [one for one in rendered(name, tmp_path) if "flash" in one]


@pytest.mark.parametrize("name", IMAGES)
def test_what_a_cuda_image_is_built_from_changes_only_on_purpose(name: str) -> None:
    """No machine of ours can build it: whoever changes a template reads here what comes out of it."""
    arguments = {"flash_attn": WHEEL, "flash_attn_sha256": "1" * 64} if name in CUDA else {}
    text = write_recipe(DOCKERFILES / name, BASE, arguments, {}).render(BASE)
    golden = GOLDEN / f"{name}.Dockerfile"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", IMAGES)
def test_everything_that_is_installed_from_the_index_is_held_to_hashes(name: str, tmp_path: Path) -> None:
    for one in rendered(name, tmp_path):
        for install in re.findall(r"pip install[^&]*", one):
            assert "--require-hashes" in install or "--no-index" in install


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_dockerfiles_of_a_shipped_manifest_render_with_the_arguments_that_it_gives(path: Path) -> None:
    for image in load(path).images.values():
        if isinstance(image, DockerfileImage):
            recipe = write_recipe(image.dockerfile.resolved, BASE, image.arguments, {})
            assert instructions(recipe.render(BASE))[0] == f"FROM {BASE}"


def test_a_manifest_serves_with_sglang_and_starts_easy_dataset_beside_it() -> None:
    manifest = load(MANIFESTS / "sglang-easy-dataset.yaml")
    assert set(manifest.images) == {"sglang", "easy-dataset"}
    assert [path[-1] for path, _ in manifest.all_services()] == ["serve", "easy-dataset"]
