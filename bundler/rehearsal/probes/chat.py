"""One answer of a service, inside its own container without a network: `python3 chat.py`, beside its plan.

Starts the command that would run on the node, waits on the loopback until it is healthy, asks, and ends it.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

REPORT = os.environ.get("BUNDLE_REPORT", "/bundle/report")
PLAN = os.environ.get("BUNDLE_PLAN", "/bundle/plan/plan.json")
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main() -> None:
    """Start, wait, ask, end. Says what became of it in `REPORT/probe.jsonl`."""
    with open(PLAN, encoding="utf-8") as file:
        plan = json.load(file)
    os.environ["BUNDLE_PART"] = "answer"
    began = time.monotonic()
    with subprocess.Popen(plan["command"], stdin=subprocess.DEVNULL) as server:
        try:
            said = asked(plan, server, began)
        except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException) as error:
            said = {"say": "failed", "error": f"{type(error).__name__}: {error}"[:2000], "causes": []}
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
    with open(os.path.join(REPORT, "probe.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps({**said, "part": "answer"}) + "\n")
    sys.exit(said["say"] == "failed")


def asked(plan: dict, server: subprocess.Popen, began: float) -> dict:  # type: ignore[type-arg]
    """The answer, once the server is up. Raises OSError or ValueError."""
    while True:
        if server.poll() is not None:
            raise ValueError(f"the server ended with exit code {server.returncode} before it answered")
        if time.monotonic() - began > plan["patience"]:
            raise ValueError(f"the server did not answer within {plan['patience']} s")
        try:
            _NO_PROXY.open(f"http://127.0.0.1:{plan['port']}{plan['health']}", timeout=5).close()
            break
        except (OSError, http.client.HTTPException):
            time.sleep(0.5)
    up = time.monotonic() - began
    body = {
        "model": plan["model"],
        "messages": [{"role": "user", "content": plan["question"]}],
        "max_tokens": plan["tokens"],
        "temperature": 0,
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{plan['port']}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with _NO_PROXY.open(request, timeout=plan["patience"]) as answer:
            text = json.load(answer)["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        raise ValueError(f"{error.code}: {error.read(500).decode(errors='replace')}") from None
    return {"say": "answer", "text": str(text)[:500], "seconds": round(up, 1)}


if __name__ == "__main__":
    main()
