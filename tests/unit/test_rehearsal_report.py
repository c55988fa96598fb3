"""What probes say is the words of strangers; what they miss is told apart from what they can do without."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.node.findings import Finding, Severity
from bundler.rehearsal import probes
from bundler.rehearsal.absences import absences
from bundler.rehearsal.report import Counted, Failed, Import, NotTried, Package, Report, Sighting, parse
from bundler.rehearsal.trial import scripts

NEIGHBOURS = {"probe", "trainer", "server"}


def line(say: object, part: object = "data", **values: object) -> str:
    return json.dumps({"say": say, "part": part, **values})


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "not json",
        "[]",
        "7",
        "[" * 100_000,
        line("package", name="torch"),
        line("package", name="torch", version=2),
        line("package", name="torch", version="2", more=1),
        line({"a": 1}, name="torch", version="2"),
        line("package", part=None, name="torch", version="2"),
        line("dataset", name="a", split="dataset", records="fifty"),
        line("no such kind"),
        '{"say": "package", "part": "versions", "name": "torch", "version": NaN}',
        '{"say": "answer", "part": "answer", "text": "yes", "seconds": NaN}',
        '{"say": "answer", "part": "answer", "text": "yes", "seconds": 1e999}',
        '{"say": "package", "part": "versions", "version": "2", "name": ' + "[" * 600 + "]" * 600 + "}",
    ],
)
def test_a_line_that_is_none_of_ours_is_counted_and_changes_nothing(raw: str) -> None:
    good = line("package", name="peft", version="0.15.2")
    assert parse([raw, good]) == Report(said=(("data", Package("peft", "0.15.2")),), noise=1)


def test_what_is_said_is_read_by_part_with_how_each_part_ended() -> None:
    lines = [
        line("python", "", version="3.11.2", interpreter="/opt/venv/bin/python3"),
        line("dataset", name="pumps", split="dataset", records=3, kept=2, error=""),
        line("done"),
        line("failed", "model", error="OSError: no file", causes=["ValueError: inner"]),
        line("not-tried", "architecture", reason="the arguments did not parse"),
        line("finished", ""),
    ]
    found = parse(lines)
    assert list(found.all(Counted)) == [Counted("pumps", "dataset", 3, 2)]
    assert found.parts == ("data",)
    assert found.failures == {
        "model": Failed("OSError: no file", ("ValueError: inner",)),
        "architecture": NotTried("the arguments did not parse"),
    }
    assert (found.python, found.finished, found.noise) == ("3.11.2", True, 0)


def test_nothing_that_a_terminal_would_act_on_and_no_novel_reaches_the_user() -> None:
    found = parse([line("failed", error="\x1b[2Jgone" + "x" * 100_000, causes=["\x07" * 3])])
    failed = found.failures["data"]
    assert isinstance(failed, Failed)
    assert "\x1b" not in failed.error
    assert "\x07" not in failed.causes[0]
    assert len(failed.error) < 5000


def test_no_name_or_part_breaks_a_line_or_a_terminal() -> None:
    """A name on a line of its own could say in the table what no check has found."""
    bad = "a\x1b[2J\nPASS  train/data  all is well"
    found = parse([line("dataset", name=bad, split="dataset"), line("done", bad), line("failed", bad, error="E: 1")])
    assert next(found.all(Counted)).name == "a [2J PASS  train/data  all is well"
    assert found.parts == ("a [2J PASS  train/data  all is well",)
    assert set(found.failures) == set(found.parts)


def test_a_report_without_end_is_cut() -> None:
    found = parse(line("package", name=str(number), version="1") for number in range(1_000_000))
    assert len(found.said) == 20_000


def seen(kind: str, what: str, part: str = "model") -> Sighting:
    return Sighting(kind, what, "transformers/utils/hub.py:400", part)


def judged(sightings: list[Sighting], **failures: Failed | NotTried) -> dict[str, Finding]:
    report = Report(sightings=tuple(sightings), failures=failures, finished=True)
    return {finding.check: finding for finding in absences(report, "train")}


def test_a_file_that_libraries_only_look_for_is_told_and_blocks_nothing() -> None:
    found = judged([seen("stat", "/bundle/model/adapter_config.json"), seen("open", "/bundle/model/added_tokens.json")])
    assert found["train/files"].severity is Severity.PASS
    assert "/bundle/model/adapter_config.json, /bundle/model/added_tokens.json" in found["train/files"].what
    assert found["train/hosts"].severity is Severity.PASS


def test_a_file_that_a_failed_part_looked_for_blocks_and_the_one_that_the_failure_names_stands_alone() -> None:
    looked = [seen("stat", "/bundle/model/tokenizer.json"), seen("stat", "/bundle/model/merges.txt")]
    unnamed = judged(looked, model=Failed("ValueError: can't make a tokenizer"))["train/files"]
    assert unnamed.severity is Severity.BLOCK
    assert "/bundle/model/tokenizer.json, /bundle/model/merges.txt" in unnamed.what
    named = judged(looked, model=Failed("OSError: Failed", ("ValueError: no /bundle/model/merges.txt",)))["train/files"]
    assert named.what == "not in the bundle: /bundle/model/merges.txt"


def test_what_another_part_did_without_is_not_blamed_for_a_failure() -> None:
    found = judged([seen("stat", "/bundle/model/added_tokens.json")], data=Failed("RuntimeError: no samples"))
    assert found["train/files"].severity is Severity.PASS


def test_a_file_whose_loss_is_silent_warns_though_all_went_on() -> None:
    """Without tokenizer_config.json a tokenizer loads, and has lost its chat template and its special tokens."""
    found = judged([seen("stat", "/bundle/model/tokenizer_config.json")])
    assert found["train/files"].severity is Severity.WARN
    adapter = judged([seen("stat", "/bundle/adapter/tokenizer_config.json")])
    assert adapter["train/files"].severity is Severity.PASS


def test_a_host_that_was_looked_for_is_named_and_blocks_what_failed_of_it() -> None:
    went_on = judged([seen("host", "huggingface.co:443")])["train/hosts"]
    assert (went_on.severity, "huggingface.co:443" in went_on.what) == (Severity.WARN, True)
    died = judged([seen("host", "huggingface.co:443")], model=Failed("ConnectionError: ..."))["train/hosts"]
    assert died.severity is Severity.BLOCK
    assert "transformers/utils/hub.py:400" in died.what


def test_a_probe_that_hung_on_a_host_until_it_was_ended_says_which() -> None:
    report = Report(parts=("imports",), sightings=(seen("host", "hub.example:443"), seen("host", "a:1", "imports")))
    found = {finding.check: finding for finding in absences(report, "train")}["train/hosts"]
    assert found.severity is Severity.BLOCK
    assert found.what.startswith("it wants to reach hub.example:443")


def test_an_address_that_a_library_refused_to_ask_as_it_is_offline_is_named() -> None:
    """Hub libraries look no host up then, so no event tells of it; their words do."""
    error = "OSError: We couldn't connect to 'https://huggingface.co' to load the files"
    assert "https://huggingface.co " in judged([], model=Failed(error))["train/hosts"].what
    documentation = "ValueError: see https://docs.example/page."
    assert judged([], model=Failed(documentation))["train/hosts"].severity is Severity.PASS


WATCHED = """
import os, pathlib, shutil, socket, subprocess, sys, tempfile
below = sys.argv[1]
for ask in (
    lambda: open(below + "/model/tokenizer.json"),
    lambda: os.path.isfile(below + "/model/added_tokens.json"),
    lambda: pathlib.Path(below, "model/merges.txt").exists(),
    lambda: open(below + "/model/config.json").close(),
    lambda: open(below + "/model/new", "w").close(),
    lambda: socket.getaddrinfo("hub.invalid", 443),
    lambda: socket.getaddrinfo("localhost", 80),
    lambda: socket.socket(type=socket.SOCK_DGRAM).connect(("192.0.2.1", 80)),
):
    try:
        ask()
    except OSError:
        pass
shutil.rmtree(tempfile.mkdtemp())
if len(sys.argv) == 2:
    code = "import os, sys; os.path.isfile(sys.argv[1] + '/model/of-a-child')"
    subprocess.run([sys.executable, "-c", code, below], check=True)
"""


def test_a_watched_process_and_its_children_tell_what_they_missed_and_nothing_else(tmp_path: Path) -> None:
    watcher, report, bundle = tmp_path / "probes", tmp_path / "report", tmp_path / "bundle"
    for directory in (watcher, report, bundle / "model", tmp_path / "image"):
        directory.mkdir(parents=True)
    (watcher / "sitecustomize.py").write_text(scripts()["sitecustomize.py"])
    (tmp_path / "image" / "sitecustomize.py").write_text("print('the image has one of its own')\n")
    (bundle / "model" / "config.json").write_text("{}")
    environment = {
        "PYTHONPATH": f"{watcher}:{tmp_path / 'image'}",
        "BUNDLE_REPORT": str(report),
        "BUNDLE_BELOW": f"{bundle}/",
        "BUNDLE_PART": "model",
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(bundle)], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the image has one of its own\n")
    lines = [one for path in sorted(report.iterdir()) for one in path.read_text().splitlines()]
    found = {(one.kind, one.what.removeprefix(str(bundle)), one.part) for one in parse([], lines).sightings}
    assert found == {
        ("open", "/model/tokenizer.json", "model"),
        ("stat", "/model/added_tokens.json", "model"),
        ("stat", "/model/merges.txt", "model"),
        ("stat", "/model/of-a-child", "model"),
        ("host", "hub.invalid:443", "model"),
    }


TORCH = """
class cuda:
    is_initialized = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 2)
    max_memory_allocated = staticmethod(lambda device: (21, 24)[device] * 10**9)
"""


@pytest.mark.parametrize(("part", "peak"), [("step", 24 * 10**9), ("model", 0)])
def test_a_step_tells_at_its_end_what_torch_held_of_the_fullest_gpu(part: str, peak: int, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(scripts()["sitecustomize.py"])
    (tmp_path / "torch.py").write_text(TORCH)
    environment = {"PYTHONPATH": str(tmp_path), "BUNDLE_REPORT": str(tmp_path), "BUNDLE_PART": part}
    done = subprocess.run(
        [sys.executable, "-c", "import torch"], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [one for path in tmp_path.glob("watch-*.jsonl") for one in path.read_text().splitlines()]
    told = parse([], lines)
    assert (told.peak_bytes, told.sightings) == (peak, ())


def test_a_peak_that_is_no_number_is_none() -> None:
    told = {"kind": "memory", "by": "", "part": "step"}
    lines = [json.dumps(told | {"what": what}) for what in ("much", "-1", "9" * 99)]
    assert parse([], lines).peak_bytes == 0


def test_the_probe_runs_in_the_python_of_the_workloads_program_and_goes_on_after_a_failure(tmp_path: Path) -> None:
    """An image may have several: what is imported by another than the program's own proves nothing."""
    for name, text in scripts().items():
        (tmp_path / name).write_text(text)
    other = tmp_path / "python-of-the-program"
    other.symlink_to(sys.executable)
    program = tmp_path / "tool"
    program.write_text(f"#!{other}\n")
    program.chmod(0o755)
    plan = {
        "kind": "a kind without a probe", "program": str(program), "arguments": [], "without_gpus": True,
        "packages": ["pytest", "not-installed-anywhere"], "imports": ["json", "not_there_at_all"],
    }  # fmt: skip
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    environment = {"BUNDLE_PLAN": str(tmp_path / "plan.json"), "BUNDLE_REPORT": str(tmp_path)}
    subprocess.run(
        [sys.executable, tmp_path / "probe.py"], env={**os.environ, **environment}, check=True, capture_output=True
    )
    lines = (tmp_path / "probe.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["interpreter"] == str(other)
    found = parse(lines)
    assert found.finished
    assert found.noise == 0
    assert found.parts == ("versions", "imports")
    assert [(one.name, bool(one.version)) for one in found.all(Package)] == [
        ("pytest", True), ("not-installed-anywhere", False),
    ]  # fmt: skip
    json_, missing = found.all(Import)
    assert (json_.error, missing.error) == ("", "ModuleNotFoundError: No module named 'not_there_at_all'")


def test_the_probes_stand_on_the_standard_library_alone_until_they_ask_the_image() -> None:
    """Over there nothing of this package is installed: such an import would end each rehearsal at once."""
    for path in Path(probes.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            roots = {name.partition(".")[0] for name in names}
            assert roots <= sys.stdlib_module_names | NEIGHBOURS, path
        assert "bundler" not in {
            node.module.partition(".")[0] for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module
        }  # fmt: skip
