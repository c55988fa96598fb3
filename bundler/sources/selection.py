"""Which files of a model are carried: what is said, or a default that is the same each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bundler.core.errors import ManifestInvalid

SAFE_WEIGHTS = ("*.safetensors", "*.gguf")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.bin.index.json", "*.pt.index.json")
"""Loading a pickle runs the code in it (Python's documentation of pickle)."""
OTHER_FRAMEWORKS = ("*.h5", "*.msgpack", "*.ot", "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel", "*.gguf")
"""The same weights once more, for TensorFlow, Flax, Rust, ONNX, llama.cpp; not taken where there are safetensors."""
CODE = ("*.py",)

HIDDEN, EXCLUDED, NOT_INCLUDED = "hidden", "excluded", "not included"
PICKLED = "pickled; loading them runs code"
IS_CODE = "code; include it if the model needs trust_remote_code"
AGAIN = "the weights once more, for other frameworks"


class NothingToTake(ManifestInvalid):
    """Patterns, or the default, leave no weights or no file."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The paths that are taken, sorted, and those that are left out, with the reason."""

    taken: tuple[str, ...]
    left_out: Mapping[str, str]

    @property
    def surprising(self) -> bool:
        """Whether the default, and not a pattern of the manifest, leaves out what someone might expect."""
        return not {PICKLED, IS_CODE, AGAIN}.isdisjoint(self.left_out.values())

    def __str__(self) -> str:
        reasons: dict[str, list[str]] = {}
        for path, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(path)
        return "; ".join(f"{_few(paths)} ({reason})" for reason, paths in reasons.items())


def select(model: str, paths: Iterable[str], include: Sequence[str], exclude: Sequence[str]) -> Selection:
    """Choose among a model's files; `model` names it in errors. Patterns are fnmatch's, and `*` crosses `/`.

    Hidden files are never taken. `include` replaces the default, `exclude` takes away from either.
    Raises NothingToTake.
    """
    left_out: dict[str, str] = {}
    taken: list[str] = []
    offered = sorted(set(paths))
    _require_matches(model, [path for path in offered if not _hidden(path)], include)
    safetensors = any(fnmatchcase(path, SAFE_WEIGHTS[0]) and not _hidden(path) for path in offered)
    for path in offered:
        reason = _reason(path, include, exclude, safetensors=safetensors)
        if reason:
            left_out[path] = reason
        else:
            taken.append(path)
    if not include and PICKLED in left_out.values() and not any(_matches(path, SAFE_WEIGHTS) for path in taken):
        raise NothingToTake(
            f"{model} has pickled weights only: {_few([p for p, why in left_out.items() if why == PICKLED])}",
            because="loading a pickle runs whatever code is in it, so they are not taken unless you say so",
            hint="include: ['*']   # at this model in the manifest, if you trust its makers; or take another model",
        )
    if not taken:
        raise NothingToTake(
            f"nothing of {model} is left to take", because=f"there are: {_few(offered)}", hint="see include and exclude"
        )
    return Selection(tuple(taken), left_out)


def _reason(path: str, include: Sequence[str], exclude: Sequence[str], *, safetensors: bool) -> str | None:
    """Why a file is left out; None when it is taken."""
    if _hidden(path):
        return HIDDEN
    if _matches(path, exclude):
        return EXCLUDED
    if include:
        return None if _matches(path, include) else NOT_INCLUDED
    if _matches(path, PICKLES):
        return PICKLED
    if _matches(path, CODE):
        return IS_CODE
    if safetensors and _matches(path, OTHER_FRAMEWORKS):
        return AGAIN
    return None


def _require_matches(model: str, offered: Sequence[str], include: Sequence[str]) -> None:
    for pattern in include:
        if not any(_matches(path, (pattern,)) for path in offered):
            raise NothingToTake(
                f"the pattern {pattern!r} matches no file of {model}",
                because=f"there are: {_few(offered)}",
                hint="correct include in the manifest",
            )


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _matches(path: str, patterns: Iterable[str]) -> bool:
    """A pattern that ends in `/` means all below it, as in huggingface_hub's filter_repo_objects."""
    return any(fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in patterns)


def _few(paths: Sequence[str], most: int = 8) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more
