"""Which files of a model are carried: what is said, or a default that is the same each time.

What can run code when it is loaded is taken only when it is named in full: no pattern brings it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bundler.core.errors import ManifestInvalid

SAFE_WEIGHTS = ("*.safetensors", "*.gguf")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
"""Loading a pickle runs the code in it (Python's documentation of pickle)."""
PICKLE_INDEXES = ("*.bin.index.json", "*.pt.index.json")
"""They list shards, and are of no use without them."""
OTHER_FRAMEWORKS = ("*.h5", "*.msgpack", "*.ot", "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel", "*.gguf")
"""The same weights once more, for TensorFlow, Flax, Rust, ONNX, llama.cpp; not taken where there are safetensors."""
CODE = ("*.py",)

HIDDEN, EXCLUDED, NOT_INCLUDED = "hidden", "excluded", "not included"
PICKLED = "pickled; loading them runs code"
IS_CODE = "code; allow it by name if the model needs trust_remote_code"
AGAIN = "the weights once more, for other frameworks"


class NothingToTake(ManifestInvalid):
    """Patterns, or the default, leave no weights or no file."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """What the manifest says: globs of the files to take and to leave out, and paths in full that may run code."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    allow: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The paths that are taken, sorted, and those that are left out, with the reason."""

    taken: tuple[str, ...]
    left_out: Mapping[str, str]

    @property
    def surprising(self) -> bool:
        """Whether the default, and not a pattern of the manifest, leaves out what someone might expect."""
        return not {PICKLED, IS_CODE, AGAIN}.isdisjoint(self.left_out.values())

    @property
    def code(self) -> tuple[str, ...]:
        """The code that is left out."""
        return tuple(path for path, reason in self.left_out.items() if reason == IS_CODE)

    def __str__(self) -> str:
        reasons: dict[str, list[str]] = {}
        for path, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(path)
        return "; ".join(f"{few(paths)} ({reason})" for reason, paths in reasons.items())


def select(model: str, paths: Iterable[str], patterns: Patterns) -> Selection:
    """Choose among a model's files; `model` names it in errors. Globs are fnmatch's, and `*` crosses `/`.

    Hidden files are never taken. `include` replaces the default, `exclude` takes away from either, and a file that
    can run code has to be named in full by `allow` or `include`. Raises NothingToTake.
    """
    offered = sorted(set(paths))
    visible = [path for path in offered if not _hidden(path)]
    _require_matches(model, visible, patterns)
    safetensors = any(fnmatchcase(path, SAFE_WEIGHTS[0]) for path in visible)
    left_out: dict[str, str] = {}
    taken: list[str] = []
    for path in offered:
        reason = _reason(path, patterns, safetensors=safetensors)
        if reason:
            left_out[path] = reason
        else:
            taken.append(path)
    _require_weights(model, taken, left_out)
    if not taken:
        raise NothingToTake(
            f"nothing of {model} is left to take", because=f"there are: {few(offered)}", hint="see include and exclude"
        )
    return Selection(tuple(taken), left_out)


def _reason(path: str, patterns: Patterns, *, safetensors: bool) -> str | None:
    """Why a file is left out; None when it is taken."""
    if _hidden(path):
        return HIDDEN
    if _matches(path, patterns.exclude):
        return EXCLUDED
    named = path in patterns.allow or path in patterns.include
    if patterns.include and not named and not _matches(path, patterns.include):
        return NOT_INCLUDED
    lower = path.lower()
    if _matches(lower, PICKLES):
        return None if named else PICKLED
    if _matches(lower, CODE):
        return None if named else IS_CODE
    if named or patterns.include:
        return None
    if _matches(lower, PICKLE_INDEXES):
        return None if any(_matches(allowed.lower(), PICKLES) for allowed in patterns.allow) else PICKLED
    if safetensors and _matches(lower, OTHER_FRAMEWORKS):
        return AGAIN
    return None


def _require_weights(model: str, taken: Sequence[str], left_out: Mapping[str, str]) -> None:
    """A model is not carried without its weights because all of them are pickled."""
    pickled = [path for path, reason in left_out.items() if reason == PICKLED and not _matches(path, PICKLE_INDEXES)]
    if pickled and not any(_matches(path.lower(), (*SAFE_WEIGHTS, *PICKLES)) for path in taken):
        raise NothingToTake(
            f"{model} has pickled weights only: {few(pickled)}",
            because="loading a pickle runs whatever code is in it, so they are not taken unless you name them",
            hint=f"allow: [{few(pickled, most=100)}]   # at this model in the manifest, if you trust its makers; "
            "or take another model",
        )


def _require_matches(model: str, offered: Sequence[str], patterns: Patterns) -> None:
    for pattern in patterns.include:
        if not any(_matches(path, (pattern,)) for path in offered):
            raise NothingToTake(
                f"the pattern {pattern!r} matches no file of {model}",
                because=f"there are: {few(offered)}",
                hint="correct include in the manifest",
            )
    for path in patterns.allow:
        if path not in offered:
            raise NothingToTake(
                f"{model} has no file {path!r}, which the manifest allows",
                because=f"allow takes paths in full, not patterns. There are: {few(offered)}",
                hint="correct allow in the manifest",
            )


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _matches(path: str, patterns: Iterable[str]) -> bool:
    """A pattern that ends in `/` means all below it, as in huggingface_hub's filter_repo_objects."""
    return any(fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in patterns)


def few(paths: Sequence[str], most: int = 8) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more
