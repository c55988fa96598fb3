"""Python packages for the images: the CPU build of torch, and pip's settings inside a build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scripts.world.errors import WorldError

TORCH = "2.13.0+cpu"
BASE_PYTHON = "3.11"  # Debian 12's, which the base image has
_NETWORK_SETTINGS = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "timeout", "retries")


def download_torch(directory: Path) -> bool:
    """Bring the CPU wheel of torch; False when it is there. Its version says +cpu, so no other can come."""
    if any(directory.glob("torch-*+cpu-*.whl")):
        return False
    directory.mkdir(parents=True, exist_ok=True)
    command = (
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
        *("--python-version", BASE_PYTHON, "--dest", str(directory), f"torch=={TORCH}"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise WorldError(
            f"pip finds no CPU wheel of torch {TORCH} for Python {BASE_PYTHON}: {lines[-1].strip()}",
            "set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels, or PIP_FIND_LINKS to a directory "
            f"that has one, or put the wheel into {directory}",
        )
    return True


def write_settings(path: Path) -> None:
    """A pip.conf for builds: this machine's settings, less those that name its files."""
    done = subprocess.run((sys.executable, "-m", "pip", "config", "list"), capture_output=True, text=True, check=False)
    kept = {}
    for line in done.stdout.splitlines():
        key, _, quoted = line.partition("=")
        name = key.rpartition(".")[2]
        words = [word for word in quoted.strip("'\"").split() if not _names_a_file(word)]
        if name in _NETWORK_SETTINGS and words:
            kept[name] = " ".join(words)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{name} = {value}\n" for name, value in kept.items())
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"[global]\n{text}")


def _names_a_file(word: str) -> bool:
    return word.startswith(("/", "file:", "~", "."))
