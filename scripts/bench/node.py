"""What is waited for on the node again and again, with the demo up: `up` with all in place, `check`, `status`.

No tool does the like of `up` and `check`; beside `status` stands the one question to the engine that it asks, and
beside the agent's start Python's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.measure import Contender, Figure, medians
from scripts.world.errors import WorldError
from scripts.world.parts import World

SECONDS = {"up": 2.0, "check": 2.0}
MILLISECONDS = {"status": 150, "agent": 200}


def figures(rounds: int = 5) -> Iterator[Figure]:
    """By the agent, in the node's network. Raises WorldError where the demo is not up."""
    world = World()
    node, agent = world.node(), world.place.root / "demo" / "intranet" / "bundles" / "bundle"
    if not node.running() or not agent.is_file():
        raise WorldError("the demo is not up, and the node's figures are measured on it", "make demo")
    python = _python()
    quiet = {verb: node.argv(python, str(agent), verb, "demo", "-q") for verb in SECONDS}
    long = medians([Contender(verb, command) for verb, command in quiet.items()], rounds, node.environment())
    for verb, goal in SECONDS.items():
        what = {"up": "bundle up, all in place", "check": "bundle check, without --burn"}[verb]
        yield Figure(what, f"{long[verb]:.2f} s", f"<= {goal:.0f} s", long[verb] <= goal)
    short = [
        Contender("status", node.argv(python, str(agent), "status")),
        Contender("docker ps", node.argv("docker", "ps", "-a")),
        Contender("agent", node.argv(python, str(agent), "--version")),
        Contender("python", node.argv(python, "-c", "import http.client")),
    ]
    taken = {name: seconds * 1000 for name, seconds in medians(short, 3 * rounds, node.environment()).items()}
    for name, peer, what in (
        ("status", "docker ps", "bundle status / docker ps -a"),
        ("agent", "python", "the agent's start / python -c 'import http.client'"),
    ):
        value = f"{taken[name]:.0f} ms; {taken[peer]:.0f} ms"
        yield Figure(what, value, f"<= {MILLISECONDS[name]} ms", taken[name] <= MILLISECONDS[name])


def _python() -> str:
    """The system's Python, as a node has it: a version switcher's `python3` may be a shell script (pyenv's takes
    0.09 s)."""
    system = Path("/usr/bin/python3")
    return str(system) if system.is_file() else shutil.which("python3") or "python3"
