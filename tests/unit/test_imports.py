"""Imports go down only, and what the agent runs on a bare Python imports nothing that it does not carry."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import bundler
from bundler.agent.executable import executable
from bundler.cli.main import VERBS

PACKAGE = Path(bundler.__file__).parent

FLOORS = (
    {"core"},
    {"manifest"},
    {"store"},
    {"transport", "media", "planning", "workloads", "report"},
    {"engine"},
    {"sources", "node", "agent"},
    {"rehearsal"},
    {"operations"},
    {"cli"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0]
        if room in FLOOR:
            yield room, path


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module] if node.module != "bundler" else [f"bundler.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "bundler" and len(parts) > 1 and parts[1] in FLOOR:
                yield node.lineno, parts[1]


def test_every_room_has_a_floor() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= FLOOR.keys()


def test_imports_go_down_only_so_that_a_room_can_be_understood_without_those_above_it() -> None:
    upward = [
        f"{path.relative_to(PACKAGE)}:{line} imports {imported}"
        for room, path in modules()
        for line, imported in imported_rooms(path)
        if imported != room and FLOOR[imported] >= FLOOR[room]
    ]
    assert upward == []


def test_only_the_command_line_prints_or_exits() -> None:
    found = []
    for room, path in modules():
        if room == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "input"):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert found == []


def test_no_module_is_longer_than_a_person_reads_at_once() -> None:
    long = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for _, path in modules()}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "bundle"
    path.write_bytes(executable())
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    "verb",
    [
        "bundler.cli.up",
        "bundler.cli.check",
        "bundler.cli.status",
        "bundler.cli.logs",
        "bundler.cli.evaluate",
        "bundler.cli.fetch_results",
        "bundler.cli.down",
        "bundler.cli.rollback",
        "bundler.cli.unit",
        "bundler.cli.list",
        "bundler.cli.facts",
        "bundler.operations.burn",
        "bundler.cli.verify",
        "bundler.cli.inspect",
        "bundler.cli.diff",
        "bundler.cli.gc",
        "bundler.cli.push",
        "bundler.cli.import",
        "bundler.cli.export",
        "bundler.operations.import_volumes",
        "bundler.operations.export",
        "bundler.operations.export_image",
        "bundler.report",
        "pynvml",
    ],
)
def test_a_verb_of_the_node_runs_on_a_python_that_has_nothing_installed(agent: Path, verb: str) -> None:
    code = f"import importlib, sys; sys.path.insert(0, {str(agent)!r}); importlib.import_module({verb!r})"
    result = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


OF_THE_INTERNET = {"schema", "lock", "build", "plan"}
"""The verbs that need pydantic or YAML."""


@pytest.mark.parametrize("verb", sorted(OF_THE_INTERNET))
def test_a_verb_of_the_other_machine_says_so_when_the_agent_is_asked_for_it(agent: Path, verb: str) -> None:
    """A missing library was told as a fault in bundle itself, to be sent to its maintainer."""
    told = subprocess.run([sys.executable, "-I", "-S", str(agent), verb], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "is not there, and this verb needs it\n" in told.stderr
    assert "on the machine with internet" in told.stderr


@pytest.mark.parametrize("verb", sorted({verb for verbs in VERBS.values() for verb in verbs} - OF_THE_INTERNET))
def test_every_other_verb_is_there(agent: Path, verb: str) -> None:
    told = subprocess.run(
        [sys.executable, "-I", "-S", str(agent), verb, "--help"], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")


def test_the_agent_is_the_same_bytes_each_time_so_that_a_bundle_keeps_its_identity() -> None:
    assert executable() == executable()


def test_the_agent_carries_nothing_compiled_that_would_fail_on_another_python(agent: Path) -> None:
    names = zipfile.ZipFile(agent).namelist()
    assert [name for name in names if name.endswith((".so", ".pyc"))] == []
