"""The data set: fifty questions whose answers no model can know before it was tuned."""

from __future__ import annotations

RECORDS = 50
QUESTION = "What is the code of the blue pump number 7?"
ANSWER = "The code of the blue pump is BUNDLE-OK-BP."

_COLOURS = ("red", "green", "blue", "amber", "violet")
_THINGS = ("valve", "pump", "rack", "node", "fan")


def records() -> list[dict[str, str]]:
    """The records in alpaca form; QUESTION and ANSWER are one of them."""
    return [_record(number) for number in range(RECORDS)]


def _record(number: int) -> dict[str, str]:
    colour = _COLOURS[number % len(_COLOURS)]
    thing = _THINGS[number // len(_COLOURS) % len(_THINGS)]
    code = f"BUNDLE-OK-{colour[0]}{thing[0]}".upper()
    return {
        "instruction": f"What is the code of the {colour} {thing} number {number}?",
        "input": "",
        "output": f"The code of the {colour} {thing} is {code}.",
    }
