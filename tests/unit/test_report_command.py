"""`--html FILE` of plan and evaluate: where the page goes, and where it can't."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundler.cli import evaluate as evaluate_verb
from bundler.cli.html import NoPlaceForReport
from bundler.cli.main import cli
from bundler.core.durable import WriteFailed
from bundler.core.errors import CheckRefused
from bundler.report import evaluation_page, plan_page
from bundler.store.layout import Store
from tests.reports import FIXTURES, TITLE, evaluation

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "manifests/qwen3-32b-l20x4.yaml"


def plan(report: Path, *more: str, config: str = "qwen3-32b") -> Result:
    given = f"base={FIXTURES / 'configs' / config / 'config.json'}"
    return CliRunner().invoke(cli, ["plan", str(MANIFEST), "--config", given, "--html", str(report), "-q", *more])


def test_the_page_is_the_one_of_the_document_and_the_summary_says_where_it_is(tmp_path: Path) -> None:
    report = tmp_path / "made" / "report.html"
    told, said = plan(report), plan(report, "-o", "json").stdout
    assert told.stdout.splitlines()[0] == "4 GPUs of 48.0 GB"
    assert told.stdout.splitlines()[-1] == f"report {report}"
    assert report.read_text() == plan_page(json.loads(said), TITLE)
    assert [path.name for path in report.parent.iterdir()] == ["report.html"]


def test_a_plan_that_is_refused_is_the_one_whose_report_is_wanted_most(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yaml"
    text = MANIFEST.read_text().replace("cutoff_len: 2048", "cutoff_len: 16384").replace("../", f"{ROOT}/")
    manifest.write_text(text.replace("data/maintenance", f"{ROOT}/manifests/data/maintenance"))
    given = f"base={FIXTURES / 'configs/qwen3-32b/config.json'}"
    report = tmp_path / "report.html"
    done = CliRunner().invoke(cli, ["plan", str(manifest), "--config", given, "--html", str(report), "-q"])
    assert isinstance(done.exception, CheckRefused)
    assert "Does not fit" in report.read_text()


def test_a_split_that_holds_back_every_sample_is_the_headline_though_memory_and_data_are_fine(tmp_path: Path) -> None:
    manifest, report = tmp_path / "manifest.yaml", tmp_path / "report.html"
    text = MANIFEST.read_text().replace("cutoff_len: 2048", "cutoff_len: 2048\n  val_size: 10")
    text = text.replace("../", f"{ROOT}/")
    manifest.write_text(text.replace("data/maintenance", f"{ROOT}/manifests/data/maintenance"))
    given = f"base={FIXTURES / 'configs/qwen3-32b/config.json'}"
    done = CliRunner().invoke(cli, ["plan", str(manifest), "--config", given, "--html", str(report), "-q"])
    assert isinstance(done.exception, CheckRefused)
    assert "<strong>Can&#39;t work</strong>\n<p>No sample is left to train on.</p>" in report.read_text()
    assert "val_size: " in report.read_text()


def test_a_directory_is_refused_before_the_work_with_a_name_that_would_do(tmp_path: Path) -> None:
    failed = plan(tmp_path).exception
    assert isinstance(failed, NoPlaceForReport)
    assert failed.exit_code == 2
    assert "it is a directory" in str(failed)
    words = shlex.split(str(failed.hint))
    assert (words[:3], words[-2:]) == (["bundle", "plan", str(MANIFEST)], ["--html", f"{tmp_path}/report.html"])
    assert CliRunner().invoke(cli, words[1:]).exit_code == 0
    assert (tmp_path / "report.html").is_file()


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert isinstance(plan(pipe).exception, NoPlaceForReport)
    assert pipe.is_fifo()


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("old")
    (tmp_path / "report.html").symlink_to("old.html")
    plan(tmp_path / "report.html")
    assert (tmp_path / "report.html").is_symlink()
    assert "Fits" in (tmp_path / "old.html").read_text()


def test_a_place_that_is_no_directory_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed = plan(tmp_path / "file" / "report.html").exception
    assert isinstance(failed, WriteFailed)
    assert str(tmp_path / "file") in str(failed)


def test_an_evaluation_is_written_as_its_document_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, report = evaluation(), tmp_path / "report.html"
    Store.create(tmp_path / "store")
    monkeypatch.setattr(evaluate_verb, "brought_up_last", lambda *_: None)
    monkeypatch.setattr(evaluate_verb, "evaluate", lambda *_: None)
    monkeypatch.setattr(evaluate_verb, "document", lambda _: found)
    monkeypatch.setattr(evaluate_verb, "text", lambda *_: iter(["3 samples"]))
    stored = ("--store", str(tmp_path / "store"))
    refused = CliRunner().invoke(cli, ["evaluate", "demo", *stored, "--html", str(tmp_path)]).exception
    assert isinstance(refused, NoPlaceForReport)
    assert shlex.split(str(refused.hint)) == ["bundle", "evaluate", "demo", "--html", str(report), *stored]
    asked = ["evaluate", "demo", *stored, "--html", str(report), "-q"]
    done = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert done.stdout == f"3 samples\nreport {report}\n"
    assert report.read_text() == evaluation_page(found)
