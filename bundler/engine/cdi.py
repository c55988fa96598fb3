"""The Container Device Interface: by which names NVIDIA's GPUs are known, where their specifications lie."""

from __future__ import annotations

from pathlib import Path

GPU = "nvidia.com/gpu"
"""The kind that NVIDIA's CDI specifications give GPUs (nvidia-ctk cdi generate)."""
DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
"""Where specifications are looked for (CDI specification, "Configuration"; Podman 4.3 to 5 have no others)."""


def specified(directories: tuple[Path, ...] = DIRECTORIES) -> bool:
    """Whether a specification on this machine names NVIDIA's GPUs. YAML or JSON, it has the kind as a word."""
    files = (path for directory in directories for path in directory.glob("*") if path.suffix in (".yaml", ".json"))
    return any(GPU.encode() in _head(path) for path in files)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""
