"""`python -m scripts.world up|prepare|status|down`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from scripts.world import steps
from scripts.world.errors import WorldError
from scripts.world.parts import DEMO_NODE, World
from scripts.world.steps import Step


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.world", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start registry, hub, SSH host and engine")
    up.add_argument("--node", nargs="?", const=DEMO_NODE, metavar="NAME", help="start an air-gapped node too")
    verbs.add_parser("prepare", help="make model, data and images")
    verbs.add_parser("status", help="what runs, and how to reach it")
    down = verbs.add_parser("down", help="stop everything and remove the namespaces")
    down.add_argument("--purge", action="store_true", help="remove images, data and keys as well")
    chosen = parser.parse_args(arguments)
    world = World()
    try:
        if chosen.verb == "up":
            _tell(steps.up(world, chosen.node))
            print(f"next: . {world.place.root / 'env'}")
        elif chosen.verb == "prepare":
            _tell(steps.prepare(world))
        elif chosen.verb == "down":
            _tell(steps.down(world, purge=chosen.purge))
        else:
            return _status(world)
    except WorldError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _tell(done: Iterable[Step]) -> None:
    for step in done:
        note = f"{step.seconds:5.1f} s" if step.fresh else "already"
        print(f"{step.name:<14}{note:>8}  {step.what}", flush=True)


def _status(world: World) -> int:
    """Exit status 0 when all parts run, 3 when some do not."""
    parts = list(steps.status(world))
    for name, running, where in parts:
        print(f"{name:<14}{'up' if running else 'down':>8}  {where}")
    return 0 if parts and all(running for _, running, _ in parts) else 3


if __name__ == "__main__":
    sys.exit(main())
