"""Passwords and tokens: a type that prints as dots, so that none reaches a log, an error or a lock."""

from __future__ import annotations

DOTS = "••••••"


class Secret:
    """A secret string. Every way of printing it gives dots; `reveal` is for the line that sends it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return f"Secret({DOTS})"

    def __str__(self) -> str:
        return DOTS

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written to anything")
