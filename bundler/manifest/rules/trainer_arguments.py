"""`train.extra`: arguments that the pinned LLaMA-Factory has, with values of the right kind.

It refuses an unknown name when the job starts (LF 0.9.3, hparams/parser.py, _parse_args), which is behind the gap. Of
values it checks neither kinds nor words: a quoted 'false' counts as true, and a wrong word is found after the model has
been loaded, or never.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from bundler.manifest.findings import Problem, shown
from bundler.manifest.rules.arguments import ARGUMENTS, is_told
from bundler.manifest.rules.extra_arguments import is_quoted
from bundler.manifest.schema import Manifest
from bundler.manifest.tables import trainer_arguments


def known(manifest: Manifest) -> Iterator[Problem]:
    """Each name under `train.extra` is an argument of the version. A version that we have no table of is not judged."""
    train = manifest.train
    table = trainer_arguments(str(train.llamafactory)) if train else {}
    for name in train.extra if train and table else ():
        if name not in table and not is_told(name, ARGUMENTS):
            near = next(iter(difflib.get_close_matches(name, table, n=1)), "")
            expected = f"an argument of LLaMA-Factory {train.llamafactory}" if train else ""
            because = "it would refuse to start"
            yield Problem(("train", "extra", name), shown(name), expected, because, near, at_key=True)


def kinds(manifest: Manifest) -> Iterator[Problem]:
    """Each value there is of a kind, and one of the words, that the version's source states."""
    train = manifest.train
    table = trainer_arguments(str(train.llamafactory)) if train else {}
    for name, value in train.extra.items() if train and table else ():
        argument = None if is_told(name, ARGUMENTS) else table.get(name)
        if isinstance(value, str) and ("${" in value or is_quoted(name, value)):
            continue  # told already, whatever the version
        if argument and not argument.takes(value):
            because = "LLaMA-Factory checks neither kinds nor words: it would fail late, or do something else"
            near = difflib.get_close_matches(value, argument.choices, n=1) if isinstance(value, str) else []
            yield Problem(("train", "extra", name), _shown(value), str(argument), because, next(iter(near), ""))


def _shown(value: object) -> str:
    return f"the text {shown(value)}" if isinstance(value, str) else shown(value)


RULES = (known, kinds)
