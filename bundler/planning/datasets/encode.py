"""What a stage's processor does with an aligned record: keep it, drop it, or die (0.9.3, data/processor/)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from bundler.planning.datasets.convert import FUNCTION, Aligned, Message
from bundler.planning.datasets.description import Stage
from bundler.planning.datasets.verdict import Raises

BATCH = 1000
"""Records that are processed together (`preprocessing_batch_size`), and written together (datasets' writer)."""

_GREEDY = re.compile(r"<think>(.*)</think>", re.DOTALL)
_TAGGED = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_SHORT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
PLACEHOLDERS = (("images", "<image>"), ("videos", "<video>"), ("audios", "<audio>"))
"""0.9.3, extras/constants.py."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A stage of a version; `media` says that the template is one of a model that sees or hears."""

    stage: Stage
    version: tuple[int, ...] = (0, 9, 3)
    media: bool = False

    def judge(self, aligned: Aligned) -> str | None:
        """Why a record is dropped; None when it is kept. Raises Raises."""
        prompt, response = aligned.prompt, aligned.response
        if self.stage == "pt":
            _pretrain(prompt, aligned.why)
            return None
        if len(prompt) % 2 != 1:
            return aligned.why or f"the prompt has {len(prompt)} messages, and the number must be odd"
        if self.stage == "sft" and len(response) != 1:
            return aligned.why or f"{len(response)} answers, and it must be one"
        if self.stage in ("rm", "dpo", "kto") and len(response) < 2:
            if self.stage == "kto":
                return "its kto_tag is not true or false"
            return aligned.why or "the better or the worse answer is missing"
        self._encodes(aligned)
        return None

    def _encodes(self, aligned: Aligned) -> None:
        answers = aligned.response if self.stage == "sft" else self._answers(aligned.response)
        for messages in (aligned.prompt, answers):
            for message in messages:
                if type(message[1]) is not str or message[0] == FUNCTION:
                    self._message(message)
        if aligned.system and not isinstance(aligned.system, str):
            raise Raises("the system prompt is not a string", "TypeError")
        if aligned.tools:
            tools(aligned.tools)
        self._media(aligned)

    def _answers(self, response: list[Message]) -> list[Message]:
        if self.stage == "kto":  # the empty one stands for "no such answer"
            return response[:1] if response[0][1] else response[1:2]
        if self.stage == "ppo":
            return response if len(response) == 1 else []
        return response[:2]

    def _message(self, message: Message) -> None:
        role, content = message
        if type(content) is not str:
            said = "null" if content is None else f"no string but {str(content)[:30]}"
            raise Raises(f"a message's content is {said}", "RuntimeError")
        if role == FUNCTION:
            self._function(content)

    def _function(self, content: str) -> None:
        """A tool's call: JSON with name and arguments (0.9.3, data/formatter.py, FunctionFormatter)."""
        tagged = _TAGGED.search(content) if self.version >= (0, 9, 4) else None
        if tagged:  # what is around the tags is kept as text
            content = tagged[1]
        thought = (_GREEDY if self.version < (0, 9, 4) else _SHORT).search(content)
        if thought:
            content = content.replace(thought[0], "")
        try:
            calls = json.loads(content)
        except ValueError as error:
            raise Raises(f"a tool call is not JSON: {content[:40]!r}", "RuntimeError") from error
        for call in calls if isinstance(calls, list) else [calls]:
            if not isinstance(call, dict):
                raise Raises(f"a tool call is not an object: {str(call)[:40]!r}", "TypeError")
            for key in ("name", "arguments"):
                if key not in call:
                    raise Raises(f"a tool call has no {key!r}", "KeyError")

    def _media(self, aligned: Aligned) -> None:
        if not self.media and not (aligned.images or aligned.videos or aligned.audios):
            return
        messages = [*aligned.prompt, *aligned.response]
        for name, mark in PLACEHOLDERS:
            files = getattr(aligned, name) or []
            if files and not self.media:
                raise Raises(f"it has {name}, and only text is carried into the training", "ValueError")
            if not self.media:
                continue
            marks = sum(str(content).count(mark) for _, content in messages)
            if marks != len(files):
                raise Raises(f"{len(files)} {name}, and {marks} times {mark} in the messages", "ValueError")


def _pretrain(prompt: list[Message], why: str) -> None:
    if not prompt:
        raise Raises(f"pre-training reads the first message, and there is none ({why})", "IndexError")
    if type(prompt[0][1]) is not str:
        raise Raises("the text is not a string", "TypeError")


def tools(described: Any) -> None:
    """The tools: JSON, in a string (0.9.3, data/formatter.py, ToolFormatter). Raises Raises."""
    if not isinstance(described, str):
        raise Raises("the tools are not a JSON string: write the list as a string", "TypeError")
    try:
        listed = json.loads(described)
    except ValueError as error:
        raise Raises(f"the tools are not JSON: {described[:40]!r}", "RuntimeError") from error
    if not isinstance(listed, list | dict | str):
        raise Raises("the tools are not a list", "TypeError")
    if listed and not (isinstance(listed, list) and all(isinstance(one, dict) for one in listed)):
        raise Raises("a tool is not an object", "AttributeError")


def kl_raises(responses: list[list[Message]], kept: list[bool]) -> int | None:
    """The first record of a batch that dies of the one before it in stage kto; None when none does.

    Each is paired with the answer of the record before, the first with the last one's, dropped ones included
    (0.9.3, processor/feedback.py): without an answer, or with one that is empty, there is nothing to pair with.
    """
    for number, keep in enumerate(kept):
        before = responses[number - 1]
        if keep and (not before or (not before[0][1] and len(before) < 2)):
            return number
    return None
