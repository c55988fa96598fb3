"""Tools and their calls as the text that a template makes of them (LLaMA-Factory 0.9.3, data/tool_utils.py).

Only lengths are taken of it. What LLaMA-Factory would die of, the encoder has found before (datasets/encode.py).
"""

from __future__ import annotations

import json
import re
from typing import Any

_THOUGHT = re.compile(r"<think>(.*)</think>", re.DOTALL)
_TAGGED = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_QWEN = (
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>%s"
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)
_LLAMA3 = (
    "Cutting Knowledge Date: December 2023\nToday Date: 01 Jan 2025\n\n"  # the day of the run, of the same length
    "You have access to the following functions. To call a function, please respond with JSON for a function call. "
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}. '
    "Do not use variables.\n\n%s"
)
FORMATS = frozenset({"qwen", "llama3", "mistral"})
"""Formats whose words are known here. Of the others the JSON itself is counted."""


def described(tools: str, form: str) -> str:
    """What stands in the system prompt for the tools, a JSON list."""
    listed = json.loads(tools)
    if not listed or form not in FORMATS:
        return tools if listed else ""
    wrapped = [
        tool if not isinstance(tool, dict) or tool.get("type") == "function" else {"type": "function", "function": tool}
        for tool in listed
    ]
    if form == "qwen":
        return _QWEN % "".join("\n" + _json(tool) for tool in wrapped)
    if form == "llama3":
        return _LLAMA3 % "".join(json.dumps(tool, indent=4, ensure_ascii=False) + "\n\n" for tool in wrapped)
    return f"[AVAILABLE_TOOLS] {_json(wrapped)}[/AVAILABLE_TOOLS]"


def called(content: str, form: str, thoughts: tuple[str, str] | None = None) -> str:
    """What stands in the answer for a call, or a list of calls, in JSON; thoughts before it stay.

    `thoughts` are the template's words around them, by which 0.9.4 and 0.9.5 tell them from the call; 0.9.3 has one
    pattern for all (data/formatter.py, FunctionFormatter). Where nothing is left that is a call: the content.
    """
    call = _TAGGED.search(content) if thoughts else None
    if call:  # what is around the tags stays, in 0.9.4 and 0.9.5
        before, rest = content.replace(call[0], ""), call[1]
    else:
        begin, end = map(re.escape, thoughts or ("", ""))
        thought = (re.compile(f"{begin}(.*?){end}", re.DOTALL) if thoughts else _THOUGHT).search(content)
        before, rest = (thought[0], content.replace(thought[0], "")) if thought else ("", content)
    try:
        given = json.loads(rest)
        calls = [(str(one["name"]), one["arguments"]) for one in (given if isinstance(given, list) else [given])]
    except (ValueError, KeyError, TypeError):
        return content
    return before + _calls(calls, form)


def _calls(calls: list[tuple[str, Any]], form: str) -> str:
    if form == "qwen":
        return "\n".join(
            f"<tool_call>\n{_json({'name': name, 'arguments': given})}\n</tool_call>" for name, given in calls
        )
    if form == "llama3":
        made = [{"name": name, "parameters": given} for name, given in calls]
        return _json(made[0] if len(made) == 1 else made)
    if form == "mistral":
        return _json([{"name": name, "arguments": given} for name, given in calls])
    if form == "glm4":
        return "\n".join(f"{name}\n{_json(given)}" for name, given in calls)
    return "\n".join(f"Action: {name}\nAction Input: {_json(given)}" for name, given in calls)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
