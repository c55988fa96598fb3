"""Where the world keeps its state: big things in the checkout, sockets on a short path."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """`root` holds data and logs; `runtime` holds sockets, whose paths the kernel caps at 107 bytes."""

    root: Path
    runtime: Path
    tag: str

    @classmethod
    def at(cls, root: Path) -> Place:
        """The place whose state lies at `root`; the same root always has the same runtime directory."""
        root = Path(os.path.abspath(root))
        tag = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
        base = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))
        return cls(root, base / f"bundle-world-{tag}", tag)

    @classmethod
    def default(cls, environ: Mapping[str, str] = os.environ) -> Place:
        """`.world` in the checkout, or where BUNDLE_WORLD says."""
        return cls.at(Path(environ.get("BUNDLE_WORLD") or CHECKOUT / ".world"))

    def directory(self, *parts: str) -> Path:
        """A directory under the root, made if missing."""
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def daemons(self) -> Path:
        """Pid files and logs."""
        return self.directory("run")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One change of the world at a time, between processes."""
        with (self.directory() / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def remembered(self, key: str) -> int | None:
        """A number kept from an earlier run, such as a port that should stay the same."""
        value = self._state().get(key)
        return value if isinstance(value, int) else None

    def remember(self, key: str, value: int) -> None:
        """Keep a number for later runs."""
        state = {**self._state(), key: value}
        target = self.directory() / "state.json"
        temporary = target.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(state, indent=1, sort_keys=True) + "\n")
        temporary.replace(target)

    def _state(self) -> dict[str, object]:
        try:
            state = json.loads((self.root / "state.json").read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}
