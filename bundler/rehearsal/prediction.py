"""What is predicted of a bundle's datasets, from the lock and the files alone, to be held against the real loader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast

from bundler.core.strict_json import MalformedJson, parse_object
from bundler.manifest.lock import Workload
from bundler.node.needs import setting
from bundler.planning.datasets.description import Columns, Description, Formatting, Stage, Tags
from bundler.planning.datasets.judge import judge
from bundler.planning.datasets.verdict import DatasetVerdict
from bundler.workloads.paths import DATA

INFO = "dataset_info.json"


def predictions(workload: Workload, datasets: Path, version: str) -> Mapping[str, DatasetVerdict]:
    """A verdict for each dataset of a job of LLaMA-Factory, by its `dataset_info.json`.

    `datasets` is the directory in which they lie by name; `version` is LLaMA-Factory's, as the image has it.
    """
    if INFO not in workload.files:
        return {}
    listed = parse_object(workload.files[INFO].encode(), INFO)
    stage, numbers = cast(Stage, setting(workload, "stage") or "sft"), _numbers(version)
    return {
        name: judge(_path(name, entry, datasets), described(entry), stage=stage, version=numbers)
        for name, entry in listed.items()
        if isinstance(entry, dict)
    }


def described(entry: Mapping[str, Any]) -> Description:
    """An entry of dataset_info.json. A member left out of `columns` means none (0.9.3, data/parser.py)."""
    columns, tags = entry.get("columns"), entry.get("tags")
    if not isinstance(columns, dict) or not isinstance(tags, dict):
        raise MalformedJson(INFO, "an entry has no columns or no tags")
    named = {name: columns.get(name) for name in Columns.__slots__}
    tagged = {name: tags[name] for name in Tags.__slots__ if name in tags}
    return Description(
        cast(Formatting, entry.get("formatting", "alpaca")),
        bool(entry.get("ranking")),
        Columns(**named),
        Tags(**tagged),
    )


def _path(name: str, entry: Mapping[str, Any], datasets: Path) -> Path:
    """Where a dataset lies on this machine: `file_name` is its place in the container."""
    inside = PurePosixPath(str(entry.get("file_name", "")))
    try:
        return datasets / inside.relative_to(DATA)
    except ValueError:
        return datasets / name


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit()) or (0, 9, 3)
