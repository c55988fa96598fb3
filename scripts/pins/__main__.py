"""`make pins`: each lock is resolved again from the package index of pip's configuration and compared.

What it proves of each set: every pin has a wheel for its platform and Python, or is built from source on purpose; the
hashes are those that the index states; and the set resolves to itself. Run by hand, as it needs the network.
`--relock` writes what it finds into the locks, and then fails only where a set does not resolve.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from ast import literal_eval
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bundler.cli.table import table
from bundler.core.durable import write_file
from scripts.pins.sets import SETS, PinSet, command
from scripts.world.place import Place

ROOT = Path(__file__).parents[2] / "dockerfiles"


@dataclass(frozen=True)
class Outcome:
    """A set, how many packages it pins, and what is wrong with it (nothing where it holds)."""

    pins: PinSet
    packages: int
    problem: str


def prove(uv: str, pins: PinSet, *, relock: bool) -> Outcome:
    """Resolve a set again, its lock's versions preferred, and compare."""
    locked = pins.locked(ROOT)
    with TemporaryDirectory() as directory:
        again = Path(directory) / locked.name
        again.write_text(unhashed(locked.read_text()))
        done = subprocess.run(command(uv, pins, ROOT, again), env=_environment(), capture_output=True, text=True)
        if done.returncode:
            return Outcome(pins, 0, done.stderr.strip())
        before, after = locked.read_text(), again.read_text()
    if relock:
        write_file(locked, after.encode())
        return Outcome(pins, len(versions(after)), "")
    return Outcome(pins, len(versions(after)), "" if before == after else difference(before, after))


def unhashed(lock: str) -> str:
    """A lock without its hashes: uv takes over those that it finds in its output file, and asks the index for none."""
    lines = (line.removesuffix(" \\") for line in lock.splitlines() if not line.lstrip().startswith("--hash="))
    return "".join(f"{line}\n" for line in lines)


def versions(lock: str) -> dict[str, str]:
    """The packages of a lock, with their versions."""
    lines = (line.split(" ")[0] for line in lock.splitlines() if "==" in line and line[0] not in " #")
    return {name.partition("[")[0]: version for name, _, version in (line.partition("==") for line in lines)}


def difference(before: str, after: str) -> str:
    """What a lock says differently: versions, or hashes of files that the index has added or removed since."""
    old, new = versions(before), versions(after)
    moved = [f"{name} {old.get(name, 'absent')} -> {new.get(name, 'absent')}" for name in sorted(old | new)
             if old.get(name) != new.get(name)]  # fmt: skip
    if moved:
        return ", ".join(moved)
    hashes = [{line.strip(" \\") for line in text.splitlines() if "--hash" in line} for text in (before, after)]
    new_hashes, gone = len(hashes[1] - hashes[0]), len(hashes[0] - hashes[1])
    return f"the same versions; {new_hashes} hashes are new in the index, {gone} gone"


_OF_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""pip's settings (pip config), and the variables in which uv takes the same (uv's reference, environment).

Not its extra indexes: what one machine has besides, the locks must not need.
"""


def index_settings(listed: str) -> dict[str, str]:
    """What `pip config list` says, as uv takes it: uv does not read pip's configuration."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        variable = _OF_PIP.get(name.rpartition(".")[2])
        if variable:
            found[variable] = " ".join(str(literal_eval(value)).split())  # pip prints the value as Python does
    return found


def _environment() -> dict[str, str]:
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    return {**os.environ, **index_settings(listed)}


def _uv() -> str:
    """uv, where it is installed; else in a place of its own, as the project itself has no use for it."""
    found = shutil.which("uv")
    if found:
        return found
    place = Place.default().directory("uv")
    program = place / "bin" / "uv"
    if not program.exists():
        venv.create(place, with_pip=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    return str(program)


def main() -> int:
    """Prove all sets and print a table. Exit code 1 where one does not hold."""
    relock = "--relock" in sys.argv[1:]
    uv = _uv()
    outcomes = [prove(uv, pins, relock=relock) for pins in SETS]
    rows = [
        (f"{one.pins.directory}/{one.pins.name}.txt", str(one.packages), ", ".join(one.pins.sources) or "none",
         one.problem.splitlines()[0] if one.problem else "holds")
        for one in outcomes
    ]  # fmt: skip
    print(table(("LOCK", "PACKAGES", "BUILT FROM SOURCE", "RESULT"), rows))
    for one in outcomes:
        if one.problem:
            print(f"\n{one.pins.directory}: {one.problem}")
    return 1 if any(one.problem for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
