"""Where models and datasets come from, as a manifest says it: hubs, several hubs, URLs; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifest_cases import changed, findings, manifest, write

from bundler.manifest.artifacts import HubModel, UrlDataset, UrlModel
from bundler.manifest.lock import Origin
from bundler.workloads.dataset_info import dataset_info

SHA = "a" * 64


@pytest.mark.parametrize(
    ("model", "origins"),
    [
        ({"huggingface": "Qwen/Qwen3-8B"}, [("hf://Qwen/Qwen3-8B", "main")]),
        ({"modelscope": "Qwen/Qwen3-8B"}, [("modelscope://Qwen/Qwen3-8B", "master")]),
        (
            {"from": [{"modelscope": "Qwen/Qwen3-8B"}, {"huggingface": "Qwen/Qwen3-8B", "revision": "v1"}]},
            [("modelscope://Qwen/Qwen3-8B", "master"), ("hf://Qwen/Qwen3-8B", "v1")],
        ),
    ],
)
def test_a_model_names_one_hub_or_several_in_order(
    tmp_path: Path, model: dict[str, Any], origins: list[tuple[str, str]]
) -> None:
    base = manifest(tmp_path, {"models.base": model}).models["base"]
    assert isinstance(base, HubModel)
    assert base.origins == tuple(Origin(*origin) for origin in origins)


def test_a_model_and_a_dataset_may_be_urls(tmp_path: Path) -> None:
    file = {"url": "https://example.org/a/model.safetensors", "sha256": SHA}
    loaded = manifest(
        tmp_path,
        {
            "models.base": {"files": {"sub/model.safetensors": file}},
            "datasets.pumps": {"url": "https://example.org/pumps%20and%20valves.jsonl?v=1", "sha256": SHA},
        },
    )
    assert isinstance(loaded.models["base"], UrlModel)
    pumps = loaded.datasets["pumps"]
    assert isinstance(pumps, UrlDataset)
    assert pumps.file_name == "pumps and valves.jsonl"
    assert '"file_name": "/bundle/data/pumps/pumps and valves.jsonl"' in dataset_info([("pumps", pumps)])


FILE = {"url": "https://example.org/m.safetensors", "sha256": SHA}


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"models.base": {"from": []}}, "models.base.from", "at least one"),
        ({"models.base": {"from": [{"modelscope": "a/b"}] * 2}}, "models.base.from", "none of them twice"),
        ({"models.base": {"from": [{"path": "x"}]}}, "models.base.from[0]", "'huggingface:' or 'modelscope:'"),
        ({"models.base": {"from": [{"modelscope": "b"}]}}, "models.base.from[0].modelscope", "Qwen/Qwen3-32B"),
        ({"models.base": {"from": "a/b"}}, "models.base.from", "a list"),
        ({"models.base": {"modelscope": "a/b", "huggingface": "a/b"}}, "models.base", "'from:'"),
        ({"models.base": {"files": {}}}, "models.base.files", ""),
        ({"models.base": {"files": {"../x": FILE}}}, "models.base.files.../x", "a file's path"),
        ({"models.base": {"files": {"m": {**FILE, "sha256": "A" * 64}}}}, "models.base.files.m.sha256", "64 hex"),
        ({"models.base": {"files": {"m": {"url": FILE["url"]}}}}, "models.base.files.m.sha256", "SHA-256"),
        ({"datasets.pumps": {"url": "https://example.org/d", "sha256": SHA}}, "datasets.pumps", "say it with 'name:'"),
        ({"datasets.pumps": {"url": "https://example.org/d.json"}}, "datasets.pumps.sha256", "SHA-256"),
        ({"datasets.pumps": {**FILE, "path": "d.json"}}, "datasets.pumps", "either 'path:' or 'url:', not both"),
    ],
)
def test_what_makes_no_sense_is_told_where_it_stands(
    tmp_path: Path, changes: dict[str, Any], path: str, expected: str
) -> None:
    (one, *_) = findings(write(tmp_path, changed(changes)))
    assert one.path == path
    assert expected in one.expected


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pass@example.org/d.json",
        "https://token@example.org/d.json",
        "ftp://example.org/d.json",
        "file:///etc/passwd",
        "https:///d.json",
        "https://example.org:port/d.json",
        "https://example.org/a b.json",
        "https://[::1/d.json",
        "d.json",
    ],
)
def test_a_url_with_a_password_or_of_another_kind_is_refused(tmp_path: Path, url: str) -> None:
    (one,) = findings(write(tmp_path, changed({"datasets.pumps": {"url": url, "sha256": SHA}})))
    assert "pass@" not in one.found
    assert "token@" not in one.found
    assert (one.path, one.expected.partition(",")[0]) == ("datasets.pumps.url", "a URL")


def test_a_model_that_the_framework_does_not_know_is_seen_at_every_hub(tmp_path: Path) -> None:
    changes = {
        "models.base": {"from": [{"modelscope": "acme/x"}, {"modelscope": "Qwen/Qwen3-8B"}]},
        "train.llamafactory": "0.9.2",
        "train.template": "default",
    }
    (one, *_) = findings(write(tmp_path, changed(changes)))
    assert one.path == "train.llamafactory"
    assert "Qwen/Qwen3-8B" in one.because
