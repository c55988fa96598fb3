"""Asking a service one chat question (the OpenAI chat completions interface, as vLLM and SGLang speak it)."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path

from bundler.core.errors import NetworkFailed
from bundler.core.strict_json import MalformedJson, parse_object
from bundler.manifest.lock import Question, Workload
from bundler.operations.health import reachable
from bundler.operations.services import url


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked and what came back."""

    question: str
    text: str


class NoAnswer(NetworkFailed):
    """The service is up and does not answer a question."""

    def __init__(self, workload: Workload, problem: str) -> None:
        super().__init__(
            f"the service {workload.name} gave no chat answer",
            because=problem,
            hint=f"curl {url(workload)}/v1/models   # shows the model names that it serves",
        )


def ask(question: Question, workload: Workload, *, timeout: float = 600) -> Answer:
    """Ask, greedily (temperature 0), and return the answer. Raises NoAnswer."""
    body = {
        "model": question.model,
        "messages": [{"role": "user", "content": question.text}],
        "max_tokens": question.max_tokens,
        "temperature": 0,
    }
    connection = http.client.HTTPConnection(reachable(workload.bind), workload.port, timeout=timeout)
    try:
        headers = {"Content-Type": "application/json", **_authorization(workload)}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        raw = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(workload, str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if response.status != 200:
        raise NoAnswer(workload, f"HTTP {response.status}: {raw[:500].decode(errors='replace')}")
    try:
        text = parse_object(raw, "the answer")["choices"][0]["message"]["content"]
    except (MalformedJson, LookupError, TypeError) as error:
        raise NoAnswer(workload, f"the reply has no message: {raw[:500].decode(errors='replace')}") from error
    if not isinstance(text, str):
        raise NoAnswer(workload, f"it was still thinking after {question.max_tokens} tokens: raise ask.max_tokens")
    return Answer(question.text, text)


def _authorization(workload: Workload) -> dict[str, str]:
    """The service's key, from the file on this node that it reads it from too."""
    if not workload.api_key:
        return {}
    try:
        return {"Authorization": f"Bearer {Path(workload.api_key).read_text(encoding='utf-8').strip()}"}
    except (OSError, UnicodeDecodeError) as error:
        raise NoAnswer(workload, f"its key can't be read from {workload.api_key}: {error}") from error
