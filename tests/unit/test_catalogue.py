"""The catalogue of failures behind the gap: each is shown, and told in front of it in the words of docs/failures.md.

UPDATE_GOLDEN=1 writes the words anew, `python -m scripts.failures_page` the page.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import catalogue_proofs
import pytest
from manifest_cases import changed, findings, manifest, write
from node_cases import FACTS, NEEDS, facts, finding, needs

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import BundlerError
from bundler.core.events import Silence
from bundler.manifest.loader import load
from bundler.manifest.lock import LockedFile, LockedFiles
from bundler.manifest.schema import Manifest
from bundler.node.findings import Severity
from bundler.operations.judge_data import judge_datasets, require_usable
from bundler.operations.judge_models import require_whole
from bundler.operations.plan import plan
from bundler.operations.require_fit import DoesNotFit
from scripts import failures_page
from scripts.failures_page import CATALOGUE, TOLD, Failure, catalogue

FAILURES = [failure for _, failures in catalogue() for failure in failures]
CONFIGS = Path(__file__).parents[1] / "fixtures" / "configs"
Told = tuple[str, str, str]
"""What happened, because, hint."""


def of_manifest(given: dict[str, Any], directory: Path) -> Told:
    """A finding of `lock`, and of every other verb that reads a manifest."""
    path = prepared(given, directory)
    (one,) = findings(path)
    what = f"{one.path}: found {one.found}, expected {one.expected}"
    return what + (f"; did you mean {one.suggestion!r}?" if one.suggestion else ""), one.because, "bundle schema"


def of_data(given: dict[str, Any], directory: Path) -> Told:
    """What `lock` says of a dataset."""
    source, place = CATALOGUE.parent / given["data"], directory / Path(given["data"]).name
    shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
    dataset = {"path": place.name, **given.get("dataset", {})}
    wanted = load(write(directory, changed({"datasets.pumps": dataset})))
    path = Path("MANIFEST")
    return refused(lambda: require_usable(wanted, path, judge_datasets(wanted, Silence()), ()))


def of_files(given: dict[str, Any], directory: Path) -> Told:
    """What `lock` says of a model that consists of these files."""
    locked = tuple(LockedFile(name, Digest.of(name.encode()), 1) for name in given["files"])
    model = LockedFiles("base", "hub", Descriptor("x", Digest.of(b""), 0), locked)
    return refused(lambda: require_whole(manifest(directory, {}), Path("MANIFEST"), (model,), Silence(), ()))


def of_plan(given: dict[str, Any], directory: Path) -> Told:
    """What `plan` says, and `lock` and `build` with it."""
    wanted = load(prepared(given, directory))
    configs = {"base": CONFIGS / given["plan"] / "config.json"}
    result = plan(wanted, configs, {})
    assert not result.fits
    error = DoesNotFit(Path("MANIFEST"), {"base": Path("config.json")}, result)
    what, because, hint = words(error)
    return what, because.partition("serve does not fit\n")[2], hint


def of_node(given: dict[str, Any], _: Path) -> Told:
    """A finding of `check`, for which `up` refuses to begin."""
    node = given["node"]
    found = facts(node.get("gpu"), node.get("host"), **node.get("whole", {}))
    one = finding(node["check"], found, needs(**node["needs"]) if "needs" in node else NEEDS)
    assert one.severity is Severity.BLOCK
    assert finding(node["check"], FACTS).severity is Severity.PASS
    return one.what, one.why, one.remedy


def of_proof(given: dict[str, Any], directory: Path) -> Told:
    """It can't occur: what there is instead."""
    proof = cast("Callable[[Path], None]", getattr(catalogue_proofs, given["proof"]))
    proof(directory)
    return (proof.__doc__ or "").strip(), "", ""


KINDS = {
    "proof": of_proof,
    "data": of_data,
    "files": of_files,
    "plan": of_plan,
    "node": of_node,
    "manifest": of_manifest,
}


def told(failure: Failure, directory: Path) -> Told:
    """What is said of a failure, by whatever catches it."""
    return KINDS[failure.kind](dict(failure.given), directory)


def prepared(given: dict[str, Any], directory: Path) -> Path:
    path = write(directory, changed(given["manifest"]))
    if "requirements" in given:
        (directory / "cuda12.6-torch2.6" / "requirements.in").write_text("\n".join(given["requirements"]))
    return path


def words(error: BundlerError) -> Told:
    return error.what, error.because or "", error.hint or ""


def refused(action: Callable[[], None]) -> Told:
    with pytest.raises(BundlerError) as caught:
        action()
    return words(caught.value)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_a_failure_behind_the_gap_is_told_in_front_of_it_in_these_words(failure: Failure, tmp_path: Path) -> None:
    said = told(failure, tmp_path)
    if os.environ.get("UPDATE_GOLDEN"):
        words = json.loads(TOLD.read_text()) if TOLD.is_file() else {}
        words[failure.name] = dict(zip(("what", "because", "hint"), said, strict=True))
        order = [one.name for one in FAILURES if one.name in words]
        TOLD.write_text(json.dumps({name: words[name] for name in order}, indent=1, ensure_ascii=False) + "\n")
        return
    assert said == (failure.what, failure.because, failure.hint)


def test_the_example_that_they_are_made_in_is_right(tmp_path: Path) -> None:
    assert isinstance(manifest(tmp_path, {}), Manifest)


def test_the_page_shows_the_catalogue() -> None:
    assert failures_page.PAGE.read_text() == failures_page.page()


def test_every_proof_and_every_file_of_the_catalogue_belongs_to_an_entry() -> None:
    proofs = {name for name, one in vars(catalogue_proofs).items() if getattr(one, "is_proof", False)}
    assert proofs == {failure.given["proof"] for failure in FAILURES if failure.kind == "proof"}
    kept = {path.name for path in CATALOGUE.parent.iterdir() if path.is_dir()}
    assert kept == {Path(failure.given["data"]).parts[0] for failure in FAILURES if failure.kind == "data"}
