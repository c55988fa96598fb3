"""Writes the table of docs/versions.md from bundler/manifest/version_sets.py: `python -m scripts.version_table`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bundler.manifest.version_sets import BOUNDS, SETS, VersionSet

PAGE = Path(__file__).parents[1] / "docs" / "versions.md"
_BEGIN = "<!-- Written by `python -m scripts.version_table`; a test holds it up to date. -->\n"
_END = "<!-- end -->\n"


def page(before: str) -> str:
    """The page with its table as the data has it; all else stays as it was written."""
    head, _, rest = before.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    return head + _BEGIN + "".join(f"{line}\n" for line in (*_sets(), "", *_bounds())) + _END + tail


def _sets() -> Iterator[str]:
    packages = list(dict.fromkeys(name for one in SETS for name, _ in one.packages))
    heads = ["dockerfile", "CUDA", "PyTorch", *packages, "GPUs", "serve with"]
    yield _row(heads)
    yield _row(["---"] * len(heads)).replace(" ", "")
    for one in SETS:
        yield _row(
            [
                f"`{one.name}`",
                one.cuda,
                one.torch,
                *_versions(one, packages),
                one.gpus,
                f"`{one.serving}`" if one.serving else "itself",
            ]
        )


def _versions(one: VersionSet, packages: list[str]) -> list[str]:
    found = dict(one.packages)
    return [found.get(name, "") for name in packages]


def _bounds() -> Iterator[str]:
    yield _row(["in one image with", "it must be", "says"])
    yield "|---|---|---|"
    for bound in BOUNDS:
        yield _row([f"{bound.package} {bound.versions}", f"{bound.neighbour} {bound.allowed}", bound.source])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
