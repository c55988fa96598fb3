"""The base image: Debian 12 with Python, made from the machine's own package mirror."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from scripts.world.engine import Engine
from scripts.world.errors import WorldError, find_program, require_root
from scripts.world.registry import Registry

REPOSITORY, TAG = "base-py311", "bookworm"
_SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,libnuma1,ca-certificates"
_MIRROR_VARIABLE = "BUNDLE_WORLD_MIRROR"
_NOT_NEEDED = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/lintian",
    "debootstrap",
)


def push_base_image(registry: Registry, engine: Engine, scratch: Path) -> bool:
    """Make the base image and push it; False when the registry has it."""
    if registry.digest(REPOSITORY, TAG):
        return False
    require_root("debootstrap")
    reference = f"{registry.address}/{REPOSITORY}:{TAG}"
    root = scratch / "rootfs"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        _bootstrap(root, scratch / "debootstrap.log")
        _import(root, reference, engine)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    engine.docker("push", "--quiet", reference)
    return True


def mirror() -> str:
    """The mirror that apt uses for this suite, or where BUNDLE_WORLD_MIRROR says."""
    chosen = os.environ.get(_MIRROR_VARIABLE)
    if chosen:
        return chosen
    wanted = ("Created-By: Packages", f"Codename: {_SUITE}", "Component: main")
    command = (find_program("apt-get", "apt"), "indextargets", "--format", "$(SITE)", *wanted)
    sites = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if not sites:
        raise WorldError(f"apt knows no mirror of Debian {_SUITE}", f"set {_MIRROR_VARIABLE} to one")
    return sites[0]


def _bootstrap(root: Path, log: Path) -> None:
    program = find_program("debootstrap", "debootstrap")
    command = (program, "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(root), mirror())
    with log.open("wb") as output:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode:
        errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith(("E:", "W:"))]
        raise WorldError(f"debootstrap failed: {errors[-1] if errors else 'no message'}", f"see {log}")
    for name in _NOT_NEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
        (root / name).mkdir(parents=True)


def _import(root: Path, reference: str, engine: Engine) -> None:
    tar = subprocess.Popen(
        ("tar", "--numeric-owner", "--sort=name", "--mtime=@0", "-C", str(root), "-c", "."),
        stdout=subprocess.PIPE,
    )
    changes = (
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8",
        'CMD ["bash"]',
    )
    options = [word for change in changes for word in ("--change", change)]
    client = find_program("docker", "docker.io")
    done = subprocess.run(
        (client, "import", *options, "-", reference),
        stdin=tar.stdout,
        env=engine.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or tar.wait():
        raise WorldError(f"docker import failed: {done.stderr.strip() or 'tar ended early'}")
