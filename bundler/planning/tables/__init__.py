"""LLaMA-Factory's chat templates by version, as data: scripts/chat_templates.py makes them from its source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

TABLES = Path(__file__).parent


@cache
def templates(version: str) -> Mapping[str, Mapping[str, Any]]:
    """The templates of a version by their names; empty where there is no table of it."""
    table = TABLES / f"templates-{version}.json"
    found: Mapping[str, Mapping[str, Any]] = json.loads(table.read_text())["templates"] if table.is_file() else {}
    return found
