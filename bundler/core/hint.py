"""Commands in hints, so that they run when they are pasted: our program as it was called, every word quoted."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

NAME = "bundle"
ENGINE_VERBS = frozenset({"up", "down", "status", "logs", "check", "facts", "evaluate", "rehearse", "rollback", "unit"})
"""The verbs that take --engine."""
_engine: list[str] = []


def remember_engine(kind: str) -> None:
    """The command line said `--engine KIND`: commands in this run's hints say so too."""
    _engine[:] = ("--engine", kind)


def bundle(verb: str, *words: object, store: Path | None = None) -> str:
    """`bundle VERB WORDS --store STORE` for this user's shell, without --store in the store's own agent.

    On a node the program is the agent, which is in no PATH and takes the store that it lies in.
    """
    called = Path(sys.argv[0])
    program = NAME
    if called.name == NAME and not _same(shutil.which(NAME), called):
        program = str(called.absolute())
    at_home = called.name == NAME and store is not None and called.resolve().parent == store.resolve()
    where = () if store is None or at_home else ("--store", str(store))
    return shlex.join((program, verb, *map(str, words), *where, *(_engine if verb in ENGINE_VERBS else ())))


def _same(found: str | None, called: Path) -> bool:
    return found is not None and Path(found).resolve() == called.resolve()
