"""dataset_info.json: how LLaMA-Factory is told what a dataset's columns mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bundler.core.strict_json import canonical
from bundler.workloads.paths import DATA

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.artifacts import Dataset


def dataset_info(datasets: Iterable[tuple[str, Dataset]]) -> str:
    """The document, with every column and tag spelled out.

    Once `columns` or `tags` is there, a member left out means none, not its default (LF 0.9.3, data/parser.py,
    DatasetAttr.join): without `system_tag`, samples that begin with a system message would be dropped silently.
    """
    return canonical({name: _entry(name, dataset) for name, dataset in datasets}, indent=2).decode()


def _entry(name: str, dataset: Dataset) -> dict[str, Any]:
    directory = f"{DATA}/{name}"
    return {
        # os.path.join(dataset_dir, file_name) gives an absolute file_name back (LF 0.9.3, data/loader.py)
        "file_name": f"{directory}/{dataset.file_name}" if dataset.file_name else directory,
        "formatting": dataset.formatting,
        "ranking": dataset.ranking,
        "columns": dict(dataset.columns),
        "tags": dict(dataset.tags),
    }
