"""A record as the text that LLaMA-Factory's template makes of it, in the pieces that are tokenized one by one.

(LLaMA-Factory 0.9.3, data/template.py; 0.9.4 and 0.9.5 write empty thoughts otherwise.) The templates are in
bundler/planning/tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bundler.planning.datasets.convert import ASSISTANT, FUNCTION, OBSERVATION, USER, Aligned, Message
from bundler.planning.datasets.description import Stage
from bundler.planning.datasets.tool_calls import called, described
from bundler.planning.tables import templates

Slots = tuple[str | tuple[str, ...], ...]
"""Text with `{{content}}` in it, or one token: `bos`, `eos` or `token`."""
_CONTENT: Slots = ("{{content}}",)


@dataclass(slots=True)
class Pieces:
    """Texts to tokenize, each by itself, and tokens that stand between them."""

    texts: list[str] = field(default_factory=list)
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """How a template writes. `fused`: the system prompt stands inside the first question; `reasoning`: answers
    without thoughts get empty ones. `known` is False for one of which only the text is counted.
    """

    user: Slots = _CONTENT
    assistant: Slots = ("{{content}}", ("eos",))
    system: Slots = _CONTENT
    observation: Slots = _CONTENT
    function: Slots = _CONTENT
    prefix: Slots = ()
    kind: Literal["plain", "reasoning", "fused"] = "plain"
    default_system: str = ""
    tool_format: str = "default"
    thought_words: tuple[str, str] = ("<think>", "</think>")
    call_words: tuple[str, str] | None = None
    empty_thought: str = "<think>\n\n</think>\n\n"
    stop_words: tuple[str, ...] = ()
    efficient_eos: bool = False
    known: bool = True
    thinking: bool | None = True
    bos: int = 1

    def pieces(self, aligned: Aligned, stage: Stage) -> tuple[Pieces, ...]:
        """The sequences that become of a record: one, or in a comparison two, each with one of the answers.

        In stage kto it is the record with its own answer; the one that it is paired with belongs to another record.
        """
        answers = aligned.response[:2] if stage in ("dpo", "rm") else aligned.response[:1]
        if stage == "kto" and not answers[0][1]:
            answers = aligned.response[1:2]
        make = self._written if self.known else _text_alone
        return tuple(make([*aligned.prompt, answer], aligned, stage) for answer in answers)

    def _written(self, messages: list[Message], aligned: Aligned, stage: Stage) -> Pieces:
        every = stage == "sft"  # each answer is trained on, not the last alone
        if self.kind == "reasoning":
            messages = self._without_thoughts(messages, every=every)
        made = Pieces(tokens=1 if self.efficient_eos else 0)
        system = aligned.system or self.default_system
        fused = ""
        self._write(made, self.prefix, "")
        if system or aligned.tools:
            system += described(aligned.tools, self.tool_format) if aligned.tools else ""
            if self.kind == "fused":
                fused = str(self.system[0]).replace("{{content}}", system, 1)
            else:
                self._write(made, self.system, system)
        for number, (role, content) in enumerate(messages):
            if role == FUNCTION:
                self._write(made, self.function, called(content, self.tool_format, self.call_words))
            elif role == OBSERVATION:
                self._write(made, self.observation, content)
            elif role == ASSISTANT:
                self._write(made, self.assistant, content)
            elif role == USER:
                turn = "" if self.kind == "fused" else str(number // 2)
                self._write(made, self.user, content if number else fused + content, turn)
        if self.kind == "reasoning":
            answers = [content for _, content in (messages[1::2] if every else messages[-1:])]
            begin, end = (word.strip() for word in self.thought_words)
            made.texts += [self.empty_thought for one in answers if begin not in one and end not in one]
        return made

    def _without_thoughts(self, messages: list[Message], *, every: bool) -> list[Message]:
        """0.9.3: comparisons lose the thoughts of earlier answers; without thinking all answers lose theirs."""
        last = len(messages) - 1
        begin, end = map(re.escape, self.thought_words)
        thought = re.compile(f"{begin}(.*?){end}", re.DOTALL)

        def bare(number: int, content: Any) -> Any:
            lost = self.thinking is False or (not every and number < last)
            return thought.sub("", content).lstrip("\n") if number % 2 and lost else content

        return [(role, bare(number, content)) for number, (role, content) in enumerate(messages)]

    def _write(self, made: Pieces, slots: Slots, content: str, turn: str = "") -> None:
        """`turn` stands for the first `{{idx}}`, also one that is in the content."""
        for slot in slots:
            if not isinstance(slot, str):
                made.tokens += self.bos if slot == ("bos",) else 1
            elif text := slot.replace("{{content}}", content, 1):
                made.texts.append(text.replace("{{idx}}", turn, 1) if turn else text)


def _text_alone(messages: list[Message], aligned: Aligned, stage: Stage) -> Pieces:  # noqa: ARG001 - as its like
    texts = [aligned.system, aligned.tools, *(content for _, content in messages)]
    return Pieces([text for text in texts if text])


UNKNOWN = Template(known=False)
"""Stands for any template that is not in the tables."""


def template(name: str, version: str, extra: Mapping[str, Any] | None = None) -> Template:
    """A template of a version, UNKNOWN where the tables lack it. `extra` are the training's further arguments."""
    given = templates(version).get(name)
    if given is None:
        return UNKNOWN
    extra = extra or {}
    slots = {key: _slots(given[key]) for key in ("user", "assistant", "system", "prefix") if key in given}
    user, assistant = slots.get("user", _CONTENT), slots.get("assistant")
    efficient = bool(given.get("efficient_eos"))
    assistant = assistant or (_CONTENT if efficient else (*_CONTENT, ("eos",)))
    form = given.get("tool_format", "default")
    function = _slots(given["function"]) if "function" in given else assistant
    if extra.get("tool_format"):
        form, function = str(extra["tool_format"]), _CONTENT if efficient else (*_CONTENT, ("eos",))
    begin, end = given["thought_words"]
    return Template(
        user=user,
        assistant=assistant,
        system=slots.get("system", _CONTENT),
        observation=_slots(given["observation"]) if "observation" in given else user,
        function=function,
        prefix=slots.get("prefix", ()),
        kind=given.get("kind", "plain"),
        default_system=str(extra.get("default_system") or given.get("default_system", "")),
        tool_format=form,
        thought_words=(begin, end),
        call_words=None if version.startswith("0.9.3") else (begin, end),
        empty_thought=f"{begin}\n\n{end}\n\n" if version.startswith("0.9.3") else f"{begin}{end}",
        stop_words=tuple(given.get("stop_words", ())),
        efficient_eos=efficient,
        thinking=extra.get("enable_thinking", True),
    )


def without_bos(of: Template) -> Template:
    """The template for a tokenizer that has no first token of its own."""
    return replace(of, bos=0)


def _slots(given: Sequence[Any]) -> Slots:
    return tuple(slot if isinstance(slot, str) else tuple(slot) for slot in given)
