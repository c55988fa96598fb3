"""A flat YAML document, written so that YAML 1.1 and 1.2 read the same: LLaMA-Factory uses PyYAML and OmegaConf.

The agent carries no YAML library, and one level of keys needs none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]')


def document(members: Mapping[str, Any]) -> str:
    """`key: value` lines, in this order."""
    return "".join(f"{_text(key)}: {value(member)}\n" for key, member in members.items())


def value(member: Any) -> str:
    """A value on one line. Lists and mappings are written in flow style."""
    if member is None:
        return "null"
    if isinstance(member, bool):
        return "true" if member else "false"
    if isinstance(member, int):
        return str(member)
    if isinstance(member, float):
        return _number(member)
    if isinstance(member, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {value(inner)}" for key, inner in member.items()) + "}"
    if isinstance(member, (list, tuple)):
        return "[" + ", ".join(value(inner) for inner in member) + "]"
    return _text(str(member))


def _number(number: float) -> str:
    """Small numbers as `1.0e-4`: without the point, YAML 1.1 reads text (LF#4149)."""
    plain = repr(number)
    if number == 0 or ("e" not in plain and abs(number) >= 0.01):
        return plain
    sign, digits, exponent = Decimal(plain).normalize().as_tuple()
    figures = "".join(map(str, digits))
    power = int(exponent) + len(figures) - 1
    return f"{'-' if sign else ''}{figures[0]}.{figures[1:] or '0'}e{power:+d}"


def is_plain(text: str) -> bool:
    """Whether a text needs no quotes to be read as text."""
    return bool(_PLAIN.fullmatch(text)) and text.lower() not in _NOT_TEXT


def _text(text: str) -> str:
    if is_plain(text):
        return text
    return '"' + _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + '"'
