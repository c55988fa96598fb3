"""LLaMA-Factory itself, on the CPU: the judge that rules on arguments and data are held to.

Its own environment has the versions of the training image's lock and no others, less what neither its parser nor its
loader imports. PyTorch is the CPU wheel that the world has anyway, for the Python that the wheel is for.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from scripts.world import pip
from scripts.world.errors import WorldError
from scripts.world.place import CHECKOUT

VERSION = "0.9.3"
LOCK = CHECKOUT / "dockerfiles" / "cuda12.6-torch2.6" / "requirements.txt"

_IMPORTED = (
    "llamafactory", "transformers", "tokenizers", "peft", "trl", "accelerate", "datasets",  # what it is made of
    "numpy", "pandas", "pyarrow", "safetensors", "regex", "omegaconf", "pyyaml", "psutil",
    "huggingface-hub", "requests", "urllib3", "certifi", "idna", "charset-normalizer", "fsspec", "filelock", "tqdm",
    "packaging", "typing-extensions", "dill", "multiprocess", "xxhash", "python-dateutil", "pytz", "tzdata", "six",
    "sympy", "mpmath", "jinja2", "markupsafe",  # PyTorch
    "hjson", "py-cpuinfo", "msgpack", "einops", "pydantic", "pydantic-core", "annotated-types", "ninja",  # DeepSpeed
    "nvidia-ml-py", "setuptools",
)  # fmt: skip
_BUILT = ("deepspeed",)
"""No wheel in the index. With DS_BUILD_OPS=0, and setuptools already there, it is copied rather than compiled."""

_UNUSED = ("torch/test", "torch/include")  # 145 MB


def pinned() -> Mapping[str, str]:
    """All packages of the image's lock, with their versions."""
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))


def install(directory: Path, wheels: Path) -> bool:
    """Make the environment; False when it is there. Its interpreter is `directory / "bin" / "python"`."""
    lock, sources = _lines_of(_IMPORTED), _lines_of(_BUILT)
    made_of, stamp = _digest(lock, sources, pip.TORCH), directory / "made-of"
    if stamp.is_file() and stamp.read_text() == made_of:
        return False
    shutil.rmtree(directory, ignore_errors=True)
    _run(_base_python(), "-m", "venv", "--without-pip", str(directory))
    pip.download_torch(wheels)
    (torch,) = wheels.glob("torch-*+cpu-*.whl")
    site = next(directory.glob("lib/python3.*/site-packages"))
    (directory / "lock.txt").write_text(lock)
    (directory / "sources.txt").write_text(sources)
    _pip(
        directory,
        (str(torch),),  # takes a processor, while the others take the network
        ("--require-hashes", "--only-binary=:all:", "--requirement", str(directory / "lock.txt")),
    )
    _pip(
        directory,
        ("--require-hashes", "--use-pep517", "--no-build-isolation", "--requirement", str(directory / "sources.txt")),
    )
    for name in _UNUSED:
        shutil.rmtree(site / name)
    stamp.write_text(made_of)
    return True


def _lines_of(names: tuple[str, ...]) -> str:
    """The lock's lines of these packages, hashes and all."""
    entries = {entry.partition("==")[0]: entry for entry in re.split(r"\n(?=[a-z])", LOCK.read_text().rstrip())}
    return "".join(f"{entries[name]}\n" for name in names)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _base_python() -> str:
    """An interpreter of the version that the wheel of PyTorch is for."""
    wanted = pip.BASE_PYTHON
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == wanted:
        return sys.executable
    found = shutil.which(f"python{wanted}")
    if found is None:
        raise WorldError(f"python{wanted} is not installed", f"apt-get install python{wanted} python{wanted}-venv")
    return found


def _pip(directory: Path, *installs: tuple[str, ...]) -> None:
    """pip of this environment, working on the other one, at once. Bytecode is made of what is imported alone."""
    command: tuple[str, ...] = (sys.executable, "-m", "pip", "--python", str(directory / "bin" / "python"))
    command += ("install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile")
    environment = {**os.environ, "DS_BUILD_OPS": "0"}
    start = partial(subprocess.Popen, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    running = [start((*command, *one)) for one in installs]
    said = [process.communicate()[1] for process in running]
    for process, errors in zip(running, said, strict=True):
        if process.returncode:
            lines = [line for line in errors.splitlines() if line.startswith("ERROR")] or errors.strip().splitlines()
            raise WorldError(
                f"pip could not install LLaMA-Factory {VERSION}: {lines[-1] if lines else 'no message'}",
                "set PIP_INDEX_URL to an index that this machine reaches",
            )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorldError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-300:]}")
