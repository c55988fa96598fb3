"""What a workload's image is asked: `python3 probe.py`, beside the plan that it reads and the report that it writes.

Each part says what it found as JSON lines; what it dies of is a line too, and the next part goes on. Nothing here
judges: that is done outside, where what the lock says is known.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

PLAN = os.environ.get("BUNDLE_PLAN", "/bundle/plan/plan.json")
REPORT = os.environ.get("BUNDLE_REPORT", "/bundle/report")
LONGEST = 2000
"""Characters of an error that are told."""
_REPLACED = "BUNDLE_INTERPRETER"

Plan = dict[str, Any]
Part = Callable[[Plan, "Report"], None]


class Report:
    """Where the parts say what they found. `results` is what one part leaves for the next."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.part = ""
        self.results: dict[str, Any] = {}

    def say(self, what: str, **values: Any) -> None:
        """One line."""
        line = json.dumps({"say": what, "part": self.part, **values}, default=str)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


class NotTried(Exception):
    """A part that can't run, because one before it has failed or something is not here."""


def main() -> None:
    """Run the parts of the plan's kind."""
    with open(PLAN, encoding="utf-8") as file:
        plan = json.load(file)
    follow_interpreter(plan["program"])
    if plan["kind"] in ("train", "evaluate"):  # LLaMA-Factory refuses several GPUs without its launcher
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    report = Report(os.path.join(REPORT, "probe.jsonl"))
    report.say("python", version=sys.version.split()[0], interpreter=sys.executable)
    for name, part in parts(plan["kind"]):
        report.part = os.environ["BUNDLE_PART"] = name
        sys.stdout.write(f"-- {name}\n")
        sys.stdout.flush()
        try:
            part(plan, report)
        except NotTried as reason:
            report.say("not-tried", reason=str(reason))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it dies of is what is asked
            traceback.print_exc()
            report.say("failed", **told(error))
        else:
            report.say("done")
    report.part = ""
    report.say("finished")


def parts(kind: str) -> Iterator[tuple[str, Part]]:
    """The parts by name, in their order. Modules are found beside this file."""
    yield "versions", versions
    yield "imports", imports
    if kind in ("train", "merge", "evaluate", "api"):
        import trainer

        yield from trainer.parts(kind)
    elif kind == "vllm":
        import server

        yield from server.parts()


def follow_interpreter(program: str) -> None:
    """Go on in the Python that the workload's program names in its first line, where that is another than this."""
    found = shutil.which(program)
    if not found or os.environ.get(_REPLACED):
        return
    with open(found, "rb") as file:
        line = file.readline(4096)
    words = line[2:].split() if line.startswith(b"#!") else []
    other = os.fsdecode(words[0]) if len(words) == 1 else ""
    if "python" in os.path.basename(other) and os.path.isfile(other) and other != sys.executable:
        os.environ[_REPLACED] = other
        os.execv(other, [other, *sys.argv])


def versions(plan: Plan, report: Report) -> None:
    """Each distribution that the lock names, as it is installed; and those that people ask about, named or not."""
    for name in plan["packages"]:
        try:
            report.say("package", name=name, version=importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            report.say("package", name=name, version="")


def imports(plan: Plan, report: Report) -> None:
    """Modules, in an order in which each has what it stands on."""
    for name in plan["imports"]:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - libraries end the process when they find no GPU
            traceback.print_exc()
            report.say("import", module=name, **told(error))
        else:
            report.say("import", module=name, error="")


def told(error: BaseException) -> dict[str, Any]:
    """An error and what it came of, innermost last."""
    causes: list[str] = []
    inner = error.__cause__ or error.__context__
    while inner is not None and len(causes) < 5:
        causes.append(f"{type(inner).__name__}: {inner}"[:LONGEST])
        inner = inner.__cause__ or inner.__context__
    return {"error": f"{type(error).__name__}: {error}"[:LONGEST], "causes": causes}


@contextlib.contextmanager
def arguments_of(command: list[str]) -> Iterator[None]:
    """The command line that the program would see."""
    before, sys.argv = sys.argv, command
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def said_on_errors() -> Iterator[io.StringIO]:
    """What is printed on the error output, for argparse, which prints a reason and exits."""
    text = io.StringIO()
    with contextlib.redirect_stderr(text):
        yield text


if __name__ == "__main__":
    sys.modules["probe"] = sys.modules["__main__"]  # its neighbours import it under its name
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    main()
