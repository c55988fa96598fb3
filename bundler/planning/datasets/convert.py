"""A record in LLaMA-Factory's own form: prompt, response, and what goes with them (0.9.3, data/converter.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bundler.planning.datasets.description import Description
from bundler.planning.datasets.verdict import Raises

USER, ASSISTANT, OBSERVATION, FUNCTION, SYSTEM = "user", "assistant", "observation", "function", "system"

Message = tuple[str, Any]
"""A role of LLaMA-Factory's, and the content."""
Record = dict[str, Any]


@dataclass(slots=True)
class Aligned:
    """What a converter gives. `why` says why it comes without messages, when it does."""

    prompt: list[Message]
    response: list[Message]
    system: Any = ""
    tools: Any = ""
    images: Any = None
    videos: Any = None
    audios: Any = None
    why: str = ""


Converter = Callable[[Record], Aligned]


def converter(description: Description, version: tuple[int, ...], touch: Callable[[str], None]) -> Converter:
    """The converter of a formatting. `touch` is told each column that a record lacks and the converter reads.

    A missing key is null where another record has it, as Arrow's table has all columns: who calls this finds out.
    Raises Raises where the version has none.
    """
    if description.formatting == "alpaca":
        return _Alpaca(description, touch)
    if description.formatting == "sharegpt":
        return _Sharegpt(description, touch)
    if version < (0, 9, 4):
        raise Raises("formatting: openai exists from LLaMA-Factory 0.9.4 on: write it as sharegpt, with tags")
    return _Openai(description, touch, version)


class _Converter:
    def __init__(self, description: Description, touch: Callable[[str], None]) -> None:
        self.c = description.columns
        self.t = description.tags
        self.ranking = description.ranking
        self.touch = touch
        self.extra = [
            (name, column)
            for name, column in (
                ("system", self.c.system),
                ("tools", self.c.tools),
                ("images", self.c.images),
                ("videos", self.c.videos),
                ("audios", self.c.audios),
            )
            if column
        ]

    def get(self, record: Record, column: str | None) -> Any:
        """A cell. Raises Raises for a column that has no name."""
        if column is None:
            raise Raises("a column that this stage needs has no name in `columns`", "KeyError")
        value = record.get(column)
        if value is None and column not in record:
            self.touch(column)
        return value

    def extras(self, record: Record, aligned: Aligned, *, system: bool = True) -> Aligned:
        """System, tools and media by their columns; without `system` that column is not looked at."""
        for name, column in self.extra:
            if name == "system" and not system:
                continue
            value = self.get(record, column)
            if name in ("images", "videos", "audios"):
                value = _media(value)
            setattr(aligned, name, value)
        return aligned


def _media(value: Any) -> Any:
    """Paths as a list (_find_medias). Raises Raises for a list of paths with something else in it."""
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        value = [value]
    if isinstance(value[0], str) and not all(isinstance(one, str) for one in value):
        raise Raises("a media path is null", "TypeError")
    return value


class _Alpaca(_Converter):
    def __call__(self, record: Record) -> Aligned:
        c = self.c
        prompt: list[Message] = []
        if c.history and isinstance(pairs := self.get(record, c.history), list):
            for pair in pairs:
                old_prompt, old_response = _pair(pair)
                prompt += ((USER, old_prompt), (ASSISTANT, old_response))
        query = []
        for column in (c.prompt, c.query):
            if column and (text := self.get(record, column)):
                if type(text) is not str:
                    raise Raises(f"the prompt is not a string: {str(text)[:40]}", "TypeError")
                query.append(text)
        prompt.append((USER, "\n".join(query)))
        if len(prompt) > 1 and not all(content is None or type(content) is str for _, content in prompt):
            raise Raises("the history holds something other than strings", "ArrowInvalid")
        return self.extras(record, self._answered(record, prompt)) if self.extra else self._answered(record, prompt)

    def _answered(self, record: Record, prompt: list[Message]) -> Aligned:
        c = self.c
        if c.kto_tag and isinstance(tag := self.get(record, c.kto_tag), bool):
            answer = (ASSISTANT, self.get(record, c.response))
            other = (ASSISTANT, "")
            return Aligned(prompt, [answer, other] if tag else [other, answer])
        if self.ranking:
            chosen = self.get(record, c.chosen)
            if isinstance(chosen, str) and isinstance(rejected := self.get(record, c.rejected), str):
                return Aligned(prompt, [(ASSISTANT, chosen), (ASSISTANT, rejected)])
        if c.response:
            response = self.get(record, c.response)
            if isinstance(response, str):
                return Aligned(prompt, [(ASSISTANT, response)])
            said = "null" if response is None else f"no string but {str(response)[:30]}"
            return Aligned(prompt, [], why=f"the answer ({c.response}) is {said}")
        return Aligned(prompt, [], why="no column is named for the answer")


def _pair(pair: Any) -> tuple[Any, Any]:
    if isinstance(pair, dict | list | str) and len(pair) == 2:
        first, second = iter(pair)
        return first, second
    raise Raises(f"an item of the history is not a pair: {str(pair)[:40]}", "ValueError")


class _Messages(_Converter):
    """What sharegpt and openai have in common."""

    def __init__(self, description: Description, touch: Callable[[str], None]) -> None:
        super().__init__(description, touch)
        t = self.t
        self.roles = {
            t.user_tag: USER,
            t.assistant_tag: ASSISTANT,
            t.observation_tag: OBSERVATION,
            t.function_tag: FUNCTION,
            t.system_tag: SYSTEM,
        }
        self.odd = (t.user_tag, t.observation_tag)
        self.even = (t.assistant_tag, t.function_tag)

    def field(self, message: Any, key: str) -> Any:
        """A field of a message. Raises Raises for what is no object."""
        if type(message) is not dict:
            said = "null" if message is None else f"{str(message)[:30]!r}"
            raise Raises(f"a message is {said}, not an object", "TypeError")
        value = message.get(key)
        if value is None and key not in message:
            self.touch(f"{self.c.messages}[].{key}")
        return value

    def turns(self, record: Record) -> list[Any]:
        """The messages. Raises Raises where they are no list."""
        messages = self.get(record, self.c.messages)
        if isinstance(messages, list):
            return messages
        if messages in ("", {}):
            return []
        said = "null" if messages is None else f"{str(messages)[:30]!r}"
        raise Raises(f"the messages ({self.c.messages}) are {said}, not a list", "TypeError")

    def finish(self, record: Record, aligned: list[Message], why: str) -> Aligned:
        """Prompt and response, by what the dataset is for."""
        if not why and (len(aligned) % 2 == 0) == self.ranking:
            wanted = "odd" if self.ranking else "even"
            why = f"{len(aligned)} messages after the system one, and the number must be {wanted}"
        if why:
            return Aligned([], [], why=why)
        if self.c.kto_tag and isinstance(tag := self.get(record, self.c.kto_tag), bool):
            answer, other = aligned[-1:], [(ASSISTANT, "")]
            return Aligned(aligned[:-1], answer + other if tag else other + answer)
        if self.ranking:
            chosen = self.get(record, self.c.chosen)
            if isinstance(chosen, dict) and isinstance(rejected := self.get(record, self.c.rejected), dict):
                columns = (str(self.c.chosen), str(self.c.rejected))
                return Aligned(
                    aligned, [self._ranked(one, name) for one, name in zip((chosen, rejected), columns, strict=True)]
                )
            return Aligned(aligned[:-1], aligned[-1:], why="the better or the worse answer is not an object")
        return Aligned(aligned[:-1], aligned[-1:], why="" if aligned else "there are no messages")

    def _ranked(self, answer: Record, column: str) -> Message:
        role = answer.get(self.t.role_tag)
        for key in (self.t.role_tag, self.t.content_tag):
            if key not in answer:
                self.touch(f"{column}.{key}")
        known = self.roles.get(role) if isinstance(role, str) else None
        if known is None:
            raise Raises(f"the role of {column} is {role!r}, which no tag names", "KeyError")
        return known, answer.get(self.t.content_tag)


class _Sharegpt(_Messages):
    def __call__(self, record: Record) -> Aligned:
        t = self.t
        messages = self.turns(record)
        system: Any = ""
        begins = bool(messages) and self.field(messages[0], t.role_tag) == t.system_tag
        if begins:
            system = self.field(messages[0], t.content_tag)
            messages = messages[1:]
        aligned: list[Message] = []
        why = ""
        accept = (self.odd, self.even)
        role_tag, content_tag, roles = t.role_tag, t.content_tag, self.roles
        for turn, message in enumerate(messages):
            try:
                role = message[role_tag]
            except (KeyError, TypeError):
                role = self.field(message, role_tag)
            if role not in accept[turn % 2]:
                whose = "the assistant's" if turn % 2 else "the user's"
                why = f"message {turn + 1 + begins} is of {role!r}, and it should be {whose}"
                break
            try:
                content = message[content_tag]
            except KeyError:
                content = self.field(message, content_tag)
            aligned.append((roles[role], content))
        return _with_system(self, record, self.finish(record, aligned, why), system, begins)


def _with_system(into: _Messages, record: Record, aligned: Aligned, system: Any, begins: bool) -> Aligned:
    if begins:
        aligned = into.extras(record, aligned, system=False) if into.extra else aligned
        aligned.system = system
        return aligned
    return into.extras(record, aligned) if into.extra else aligned


class _Openai(_Messages):
    """LLaMA-Factory 0.9.4 and 0.9.5 (data/converter.py, OpenAIDatasetConverter)."""

    def __init__(self, description: Description, touch: Callable[[str], None], version: tuple[int, ...]) -> None:
        super().__init__(description, touch)
        self.strict = version < (0, 9, 5)  # null tool_calls have no len()

    def __call__(self, record: Record) -> Aligned:
        t = self.t
        messages = self.turns(record)
        system: Any = ""
        begins = bool(messages) and self.field(messages[0], t.role_tag) == t.system_tag
        if begins:
            system = self.field(messages[0], t.content_tag)
            messages = messages[1:]
        aligned: list[Message] = []
        results: list[Any] = []
        for message in messages:
            role, content = self.field(message, t.role_tag), self.field(message, t.content_tag)
            if role in self.even and (calls := self._calls(message)):
                role, content = t.function_tag, json.dumps([_function(call) for call in calls], ensure_ascii=False)
            if role == t.observation_tag:
                results.append(content)
                continue
            if results:
                if not all(isinstance(one, str) for one in results):
                    raise Raises("a tool's result is not a string", "TypeError")
                aligned.append((OBSERVATION, "\n</tool_response>\n<tool_response>\n".join(results)))
                results = []
            if not isinstance(role, str) or role not in self.roles:
                raise Raises(f"a message is of {role!r}, which no tag names", "KeyError")
            aligned.append((self.roles[role], content))
        why = ""
        accept = ((USER, OBSERVATION), (ASSISTANT, FUNCTION))
        for turn, (known, _) in enumerate(aligned):
            if known not in accept[turn % 2]:
                why = f"turn {turn + 1} is the {known}'s, and it should be {'the user' if turn % 2 == 0 else 'gpt'}'s"
                break
        done = _with_system(self, record, self.finish(record, aligned, why), system, begins)
        if isinstance(done.tools, dict | list):
            done.tools = json.dumps(done.tools, ensure_ascii=False)
        if done.system and not isinstance(done.system, str):
            raise Raises("the system prompt is not a string", "TypeError")
        return done

    def _calls(self, message: Record) -> list[Any]:
        if "tool_calls" not in message:
            if self.strict:
                self.touch(f"!{self.c.messages}[].tool_calls")
            return []
        calls = message["tool_calls"]
        if calls is None and self.strict:
            raise Raises("a message of the assistant has null tool_calls, and 0.9.4 asks for their number", "TypeError")
        return calls or []


def _function(call: Any) -> Any:
    if not isinstance(call, dict) or "function" not in call:
        raise Raises("a tool call has no function", "KeyError")
    return call["function"]
