"""Reasoning parsers of vLLM and SGLang, which split thinking from answer: their names depend on the version."""

from __future__ import annotations

from bundler.manifest.version import Version

ENABLED_BY_PARSER = Version("0.9.0")
"""From here `--reasoning-parser` alone is enough; before, `--enable-reasoning` must stand beside it.

vLLM 0.8.5.post1, engine/arg_utils.py; in 0.9.2 the flag is deprecated, "will be removed in v0.10.0".
"""

_UNKNOWN_AFTER = Version("0.10.0")
"""Later versions have many more parsers, a few new ones each; vLLM itself says which."""

_OLD = ("deepseek_r1", "granite")
_SAME_FORMAT = {"qwen3": "deepseek_r1"}
"""Both split at `</think>`: what Qwen3's model card says to use with vLLM 0.8.5."""


def parsers(version: Version) -> tuple[str, ...] | None:
    """The parsers of a version; None where we don't list them (vllm/reasoning at 0.8.5.post1, 0.9.2; PR#17369)."""
    if version < ENABLED_BY_PARSER:
        return _OLD
    return (*_OLD, "qwen3") if version < _UNKNOWN_AFTER else None


def parser_for(wanted: str, version: Version) -> str | None:
    """The name of this parser, or of one that reads the same format, in this version; None when it has neither."""
    known = parsers(version)
    if known is None or wanted in known:
        return wanted
    other = _SAME_FORMAT.get(wanted)
    return other if other in known else None


_SGLANG_UNKNOWN_AFTER = Version("0.4.7")
_SGLANG = ("deepseek-r1", "qwen3")
"""SGLang 0.4.6.post5, srt/reasoning_parser.py, DetectorMap; written with a hyphen, where vLLM has an underscore."""


def sglang_parsers(version: Version) -> tuple[str, ...] | None:
    """SGLang's parsers; None for versions where we don't list them."""
    return _SGLANG if version < _SGLANG_UNKNOWN_AFTER else None


def sglang_parser(wanted: str, version: Version) -> str | None:
    """SGLang's name of this parser, also where it is written as vLLM writes it; None where it has none."""
    known = sglang_parsers(version)
    name = {"deepseek_r1": "deepseek-r1"}.get(wanted, wanted)
    return name if known is None or name in known else None
