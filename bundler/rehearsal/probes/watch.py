"""Watches a Python process of an image: files that it wants and that are not there, hosts that it wants to reach.

Written out as `sitecustomize.py` in a directory on PYTHONPATH, so that every Python process of a container is watched,
also those that it starts. Writes JSON lines into a file of its own, `REPORT/watch-PID.jsonl`: what a process says on
its output is the program's. Only what is not there is told, once each; opening and asking cost microseconds more.

Events are those of PEP 578 (`open`, `socket.getaddrinfo`, `socket.connect`). They come before the attempt, so whether
the file is there is asked here. `os.stat` is asked in a wrapper, because libraries look before they open and
`os.stat` has no event.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from importlib.machinery import PathFinder
from typing import Any

REPORT = os.environ.get("BUNDLE_REPORT", "")
BELOW = os.environ.get("BUNDLE_BELOW", "/bundle/")
"""Where the bundle's mounts lie. Files elsewhere are the image's own affair, but where a failure names them."""
PRIVATE = ("/bundle/report", "/bundle/plan", "/bundle/probes", "/bundle/output")
MOST = 500
"""Lines of one process: a loop over names that are not there must not fill a disk."""
OWN = os.path.dirname(os.path.abspath(__file__))
_DEPTH = 40

_seen: set[tuple[str, str]] = set()
_busy = threading.local()
_stat = os.stat


def tell(kind: str, what: str) -> None:
    """One line, once for each thing."""
    if (kind, what) in _seen or len(_seen) >= MOST:
        return
    _seen.add((kind, what))
    line = {"kind": kind, "what": what[:500], "by": caller(), "part": os.environ.get("BUNDLE_PART", "")}
    path = os.path.join(REPORT, f"watch-{os.getpid()}.jsonl")
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError:  # an unwritable report: the probe says so itself
        return
    try:
        os.write(file, (json.dumps(line) + "\n").encode())
    finally:
        os.close(file)


def caller() -> str:
    """The nearest function that is neither ours nor of the standard library: `package/module.py:LINE`."""
    frame = sys._getframe(1)
    for _ in range(_DEPTH):
        name = frame.f_code.co_filename
        place, _, module = name.rpartition("/site-packages/")
        if (place or name.startswith("/bundle/")) and not name.startswith(OWN):
            return f"{module}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""


def ours(path: str) -> bool:
    """Whether a path lies in the bundle's mounts, and not in what the rehearsal itself brought."""
    return path.startswith(BELOW) and not path.startswith(PRIVATE)


def absent(path: str) -> bool:
    """Whether there is nothing under this path."""
    try:
        _stat(path)
    except OSError:
        return True
    return False


def opened(path: Any, mode: Any, flags: Any) -> None:
    """A file is about to be opened. Those that are to be made are no news."""
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str) or not path.startswith("/"):
        return
    making = (isinstance(flags, int) and flags & os.O_CREAT) or (isinstance(mode, str) and mode[:1] in "wax")
    if ours(path) and not making and absent(path):
        tell("open", path)


def connected(channel: Any, address: Any) -> None:
    """A socket is about to be connected. UDP sends nothing by that: it is how programs ask for their own address."""
    datagram = 2  # socket.SOCK_DGRAM, without importing socket into every process
    if isinstance(address, tuple) and address and getattr(channel, "type", 0) & 0xF != datagram:
        resolved(address[0], address[1] if len(address) > 1 else "")


def resolved(host: Any, port: Any) -> None:
    """A host is about to be looked up or reached. This machine itself is none."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if not isinstance(host, str) or not host or itself(host):
        return
    tell("host", f"{host}:{port}" if port not in (None, "") else host)


def itself(host: str) -> bool:
    """Whether a name or an address is this machine's."""
    return host in ("localhost", "::1", "::", "0.0.0.0", os.uname().nodename) or host.startswith("127.")


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook. Whatever goes wrong in it must not reach the program that is watched."""
    if event not in ("open", "socket.connect", "socket.getaddrinfo") or getattr(_busy, "now", False):
        return
    _busy.now = True
    try:
        if event == "open":
            opened(*arguments)
        elif event == "socket.connect":
            connected(*arguments)
        else:
            resolved(*arguments[:2])
    except (TypeError, ValueError, AttributeError, IndexError):
        pass
    finally:
        _busy.now = False


def stat(path: Any, *arguments: Any, **named: Any) -> Any:
    """`os.stat`, telling of what is not there."""
    try:
        return _stat(path, *arguments, **named)
    except FileNotFoundError:
        if isinstance(path, (str, os.PathLike)) and not getattr(_busy, "now", False):
            name = os.fspath(path)
            if isinstance(name, str) and ours(name):
                tell("stat", name)
        raise


def held() -> None:
    """At the end of a training: the most that torch held of a GPU, in bytes, where it held any."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        if cuda and cuda.is_initialized():
            tell("memory", str(max(map(cuda.max_memory_allocated, range(cuda.device_count())))))
    except (RuntimeError, ValueError, AttributeError):  # a GPU that failed: the training says so itself
        pass


def install() -> None:
    """Watch this process from now on."""
    if os.environ.get("BUNDLE_PART") == "step":
        atexit.register(held)
    sys.addaudithook(hook)
    for able in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
        if _stat in able:  # shutil and others ask by the function itself what it can do
            able.add(stat)
    os.stat = stat


def next_of_its_name() -> None:
    """Run the `sitecustomize` that this one hides, as Python would have."""
    elsewhere = [place for place in sys.path if os.path.abspath(place or ".") != OWN]
    found = PathFinder.find_spec("sitecustomize", elsewhere)
    if found and found.loader and found.origin:
        from importlib.util import module_from_spec

        found.loader.exec_module(module_from_spec(found))


if __name__ == "sitecustomize":
    if REPORT:
        install()
    next_of_its_name()
