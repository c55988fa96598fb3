"""`python -m scripts.world.hub DIRECTORY PORT`: serve until ended."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.world.hub.server import Hub


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or not arguments[1].isdigit():
        print("usage: python -m scripts.world.hub DIRECTORY PORT", file=sys.stderr)
        return 2
    Hub(Path(arguments[0]), int(arguments[1])).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
