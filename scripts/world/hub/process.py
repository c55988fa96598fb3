"""The hub as a process of its own, which outlives the command that started it."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from scripts.world import ports
from scripts.world.daemon import Daemon
from scripts.world.place import CHECKOUT


class HubProcess:
    """Serves `directory`; its requests can't be seen from here (use Hub for that)."""

    def __init__(self, directory: Path, port: int, state: Path, *, tied: bool = False) -> None:
        self.directory = directory
        self.port = port
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        command = (sys.executable, "-m", "scripts.world.hub", str(directory), str(port))
        self.daemon = Daemon("hub", command, state, environment, tied=tied)

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT says to reach it."""
        return f"http://{ports.LOOPBACK}:{self.port}"

    def start(self) -> bool:
        """Start and wait for an answer; False when it ran already."""
        if not self.daemon.running():
            ports.claim(self.port, "hub")
            self.directory.mkdir(parents=True, exist_ok=True)
        return self.daemon.start(self._answers)

    def stop(self) -> bool:
        return self.daemon.stop()

    def running(self) -> bool:
        return self.daemon.running() and self._answers()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.endpoint}/api/whoami-v2", timeout=5).close()
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False
        return True
