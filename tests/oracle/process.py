"""A judge in a process of its own: a question as a JSON line, then its answer as one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent


class Judge:
    """A script of this directory, run by the interpreter of another environment for as long as questions come."""

    def __init__(self, python: str | Path, script: str, *arguments: str) -> None:
        command = (str(python), str(HERE / script), *arguments)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer to one question. The first takes as long as its imports."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()  # closes its stdin, at which it ends
