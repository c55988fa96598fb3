"""How a dataset's records read: an entry of dataset_info.json, complete."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Formatting = Literal["alpaca", "sharegpt", "openai"]
Stage = Literal["pt", "sft", "rm", "dpo", "kto", "ppo"]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is which; None: there is none. Defaults are LLaMA-Factory's (0.9.3, data/parser.py)."""

    prompt: str | None = "instruction"
    query: str | None = "input"
    response: str | None = "output"
    history: str | None = None
    messages: str | None = "conversations"
    system: str | None = None
    tools: str | None = None
    images: str | None = None
    videos: str | None = None
    audios: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    kto_tag: str | None = None


@dataclass(frozen=True, slots=True)
class Tags:
    """Keys and roles of messages (sharegpt, openai)."""

    role_tag: str = "from"
    content_tag: str = "value"
    user_tag: str = "human"
    assistant_tag: str = "gpt"
    observation_tag: str = "observation"
    function_tag: str = "function_call"
    system_tag: str = "system"


@dataclass(frozen=True, slots=True)
class Description:
    """An entry of dataset_info.json, complete: the manifest's `formatting`, `ranking`, `columns` and `tags`."""

    formatting: Formatting = "alpaca"
    ranking: bool = False
    columns: Columns = field(default_factory=Columns)
    tags: Tags = field(default_factory=Tags)
