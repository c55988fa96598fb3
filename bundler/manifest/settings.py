"""What a person has set once for all runs: flags > BUNDLE_* > project file > user file > defaults.

No secrets are kept here: logins are those of the tools that own them. A key's value is taken whole from the first
place that has it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundler.core.errors import UsageInvalid
from bundler.core.reference import MalformedReference
from bundler.manifest.mirrors import Mirrors, parse_mirror

PROJECT_FILE = ".bundle.yaml"
STREAMS = 4
MOST_STREAMS = 32
ENGINES = ("auto", "docker", "podman")


@dataclass(frozen=True, slots=True)
class Settings:
    """`store` is None where the built-in place holds; `origins` says for each key where its value came from."""

    mirrors: Mirrors = field(default_factory=Mirrors)
    store: Path | None = None
    streams: int = STREAMS
    engine: str = "auto"
    origins: Mapping[str, str] = field(default_factory=dict)

    def origin(self, key: str) -> str:
        """Where a key's value came from: a flag, a variable, `FILE:LINE:COLUMN`, or `default`."""
        return self.origins.get(key, "default")


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says of settings; empty where it says nothing."""

    mirrors: Sequence[str] = ()
    streams: int | None = None


def project_file() -> Path:
    """The project's settings: in the working directory."""
    return Path(PROJECT_FILE)


def user_file() -> Path:
    """The user's settings (XDG Base Directory specification)."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "bundle" / "config.yaml"


def load_settings(flags: Flags | None = None) -> Settings:
    """All settings. YAML is read only where a file is there.

    Raises SettingsRejected for a file that says something that can't be, UsageInvalid for a variable or a flag.
    """
    found: dict[str, tuple[Any, str]] = {}
    for path in (user_file(), project_file()):
        if path.exists():
            from bundler.manifest.settings_file import read_settings

            found |= read_settings(path)
    found |= _from_environment()
    found |= _from_flags(flags or Flags())
    values = {key: value for key, (value, _) in found.items()}
    return Settings(**values, origins={key: origin for key, (_, origin) in found.items()})


def checked_streams(value: object) -> int:
    """A number of streams. Raises ValueError, which says what it should be."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_STREAMS:
        raise ValueError(f"a whole number from 1 to {MOST_STREAMS}")
    return value


def checked_engine(value: object) -> str:
    """A kind of engine. Raises ValueError, which says what it should be."""
    if not isinstance(value, str) or value not in ENGINES:
        raise ValueError(f"one of {', '.join(ENGINES)}")
    return value


def _from_environment() -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    if store := os.environ.get("BUNDLE_STORE"):
        found["store"] = Path(store), "BUNDLE_STORE"
    if streams := os.environ.get("BUNDLE_STREAMS"):
        found["streams"] = _streams(streams, "BUNDLE_STREAMS"), "BUNDLE_STREAMS"
    if engine := os.environ.get("BUNDLE_ENGINE"):
        try:
            found["engine"] = checked_engine(engine), "BUNDLE_ENGINE"
        except ValueError as error:
            raise UsageInvalid(f"BUNDLE_ENGINE should be {error}, saw: {engine!r:.40}") from error
    if mirrors := os.environ.get("BUNDLE_MIRRORS"):
        found["mirrors"] = _mirrors(mirrors.split(), "BUNDLE_MIRRORS"), "BUNDLE_MIRRORS"
    return found


def _from_flags(flags: Flags) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    if flags.streams is not None:
        found["streams"] = _streams(str(flags.streams), "--streams"), "--streams"
    if flags.mirrors:
        found["mirrors"] = _mirrors(flags.mirrors, "--mirror"), "--mirror"
    return found


def _streams(text: str, origin: str) -> int:
    try:
        return checked_streams(int(text) if text.isascii() and text.isdigit() else text)
    except ValueError as error:
        mends = f"--streams {STREAMS}" if origin.startswith("-") else f"export {origin}={STREAMS}"
        raise UsageInvalid(
            f"{origin} should be {error}, saw: {text!r:.40}", hint=f"{mends}   # or leave it out: that is the default"
        ) from error


def _mirrors(texts: Sequence[str], origin: str) -> Mirrors:
    by_prefix: dict[str, tuple[str, ...]] = {}
    try:
        for text in texts:
            prefix, mirrors = parse_mirror(text)
            by_prefix[prefix] = (*by_prefix.get(prefix, ()), *mirrors)
    except MalformedReference as error:
        example = "docker.io=mirror.example"
        raise UsageInvalid(
            f"{origin} can't be read",
            because=f"it should be {error.what}",
            hint=f"{origin} {example}" if origin.startswith("-") else f"export {origin}={example}",
        ) from error
    return Mirrors(by_prefix)
