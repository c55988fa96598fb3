"""The `bundle` command as a user runs it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What a run said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The `-o json` document."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Bundle:
    """`bundle`, with an environment of its own; `prefix` enters a node, `program` may be an agent."""

    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    program: tuple[str, ...] = (sys.executable, "-m", "bundler")

    def __call__(self, *arguments: str | Path, check: bool = True, timeout: float = 900, **more: str) -> Outcome:
        """Run it; with `check` a failure fails the test with what was said."""
        done = subprocess.run(
            [*self.prefix, *self.program, *map(str, arguments)],
            env={**os.environ, **self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        outcome = Outcome(done.returncode, done.stdout, done.stderr)
        assert not check or outcome.code == 0, f"exit code {outcome.code}\n{outcome.out}\n{outcome.err}"
        return outcome


def refusal(outcome: Outcome) -> str:
    """A failure's message, once it is sure that it is one that a person can act on: no traceback, one error, a log."""
    assert outcome.code != 0, outcome.out
    assert "Traceback" not in outcome.err
    assert outcome.err.count("error:") == 1, outcome.err
    return outcome.err[outcome.err.index("error:") :]
