"""Models that bring code of their own (transformers' trust_remote_code): what leaving it out means."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bundler.core.errors import NetworkFailed
from bundler.core.events import Events, Warned
from bundler.sources.hub import HubFiles, Offered
from bundler.sources.retry import Retries
from bundler.sources.selection import Selection, few

CONFIG = "config.json"
LIMIT = 4 << 20
"""Bytes; no config.json is longer."""


def warn_of_code(
    source: HubFiles, listed: Mapping[str, Offered], selection: Selection, events: Events, retries: Retries
) -> None:
    """Warn where config.json names code that is left out (`auto_map`; transformers, auto_factory.py).

    It is asked only when code is left out. A hub that does not give it now will fail, or not, when it is fetched.
    """
    config = listed.get(CONFIG)
    if not selection.code or CONFIG not in selection.taken or config is None or config.size > LIMIT:
        return
    try:
        document = json.loads(retries.run(lambda: source.read(config)))
    except (NetworkFailed, ValueError):
        return
    if isinstance(document, dict) and document.get("auto_map"):
        kind = str(document.get("model_type", "of an unknown type"))[:80]
        events.emit(
            Warned(
                f"{source.repo}: config.json names code (auto_map), and {few(selection.code)} is left out. It loads "
                f"only where transformers or vLLM knows the model type {kind} itself. If you trust its makers: "
                f"allow: [{few(selection.code)}]"
            )
        )
