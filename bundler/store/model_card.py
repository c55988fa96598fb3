"""What a model says of itself: its licence and the model that it was made from, by its README's front matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundler.core.errors import IntegrityFailed
from bundler.manifest.lock import LockedFiles
from bundler.store.layout import Store

FRONT_MATTER = 64 << 10
"""Bytes of front matter at most; what is longer is not a model card's."""
_LICENCES = ("license", "licence", "license.txt", "license.md", "licence.txt", "licence.md")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """`licence` as the card has it (an SPDX id in lower case, or `other` with a name), `licence_file` as a path."""

    licence: str = ""
    base_models: tuple[str, ...] = ()
    licence_file: str = ""


def read_model_card(store: Store, model: LockedFiles) -> ModelCard:
    """The card of a model in the store. A card that is absent or can't be read says nothing, and stops nothing."""
    paths = {file.path.lower(): file for file in model.files}
    licence_file = next((paths[name].path for name in _LICENCES if name in paths), "")
    readme = paths.get("readme.md")
    try:
        stated = front_matter(store.read(readme.digest)) if readme else {}
    except IntegrityFailed:  # missing or damaged: `verify` is there to say so
        stated = {}
    return ModelCard(_licence(stated), _texts(stated.get("base_model")), licence_file)


def front_matter(raw: bytes) -> Mapping[str, Any]:
    """The YAML between the first two lines of `---` of a Markdown file (Hugging Face's model cards).

    Empty where there is none, where it is not a mapping, and behind the gap, where there is no YAML library.
    """
    text = raw[:FRONT_MATTER].decode(errors="replace").removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return {}
    written, end, _ = text[4:].partition("\n---")
    if not end:
        return {}
    try:
        import yaml
    except ImportError:
        return {}
    try:
        stated = yaml.safe_load(written)
    except (ValueError, RecursionError, yaml.YAMLError):
        return {}
    return stated if isinstance(stated, dict) else {}


def _licence(stated: Mapping[str, Any]) -> str:
    licences = _texts(stated.get("license"))
    named = _texts(stated.get("license_name"))
    return ", ".join(named if licences == ("other",) and named else licences)


def _texts(value: object) -> tuple[str, ...]:
    """One text or several; whatever else stands there says nothing."""
    found = value if isinstance(value, list) else [value]
    return tuple(text[:200] for text in found if isinstance(text, str) and text.isprintable())
