"""Podman's service with storage, networks and locks of its own: an engine like the other, for what speaks to it."""

from __future__ import annotations

import resource
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from scripts.world import leftovers
from scripts.world.daemon import Daemon
from scripts.world.engine import Engine
from scripts.world.errors import find_program


class Podman(Engine):
    """A `podman system service`. Its containers outlive it, as Podman's do: `stop` removes them first."""

    def stop(self, *, purge: bool = False) -> bool:
        """Remove its containers, then stop it; `purge` also removes images and networks."""
        if self.running():
            with suppress(subprocess.TimeoutExpired):  # what then is left is swept
                subprocess.run(
                    (*self._podman(), "rm", "--all", "--force", "--time", "0"),
                    env=self._environment_of_daemon(),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                    timeout=120,
                )
        return super().stop(purge=purge)

    @property
    def daemon(self) -> Daemon:
        command = (*self._podman(), "system", "service", "--time=0", self.host)
        return Daemon("podman", command, self.data, self._environment_of_daemon(), tied=self._tied)

    def _podman(self) -> tuple[str, ...]:
        return (
            *self._prefix,
            find_program("podman", "podman"),
            f"--root={self.data / 'root'}",
            f"--runroot={self.runtime / 'run'}",
            f"--tmpdir={self.runtime / 'tmp'}",
            f"--network-config-dir={self.data / 'networks'}",
            "--storage-driver=overlay",
        )

    def _environment_of_daemon(self) -> dict[str, str]:
        return {**self._environment, "CONTAINERS_CONF": str(self._config)}

    @property
    def _config(self) -> Path:
        return self.data / "containers.conf"

    def _configure(self) -> None:
        """containers.conf(5), instead of the machine's own."""
        # Podman asks for 1048576 of both, which root without CAP_SYS_RESOURCE can't have; and it keeps to the kernel's
        # own number of processes itself.
        kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
        most = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
        most["nproc"] = min(most["nproc"], int(Path("/proc/sys/kernel/pid_max").read_text()))
        limits = [f"{name}={number}:{number}" for name, number in most.items() if number > 0]
        self._config.write_text(
            "[containers]\n"
            f"default_ulimits = {limits!r}\n"
            "[engine]\n"
            'cgroup_manager = "cgroupfs"\n'
            'events_logger = "file"\n'
            'lock_type = "file"\n'  # the other kind is shared by all Podmans of the machine
            # crun, Debian's other one, refuses machines that have cgroups of both versions
            'runtime = "runc"\n'
            "[network]\n"
            'network_backend = "netavark"\n'
        )

    def _sweep(self) -> None:
        """Remove what a killed Podman leaves: its containers and their conmons, its DNS server, mounts."""
        leftovers.end_family(("conmon", "aardvark-dns"), (self.data, self.runtime))
        leftovers.unmount_below(self.runtime)
        leftovers.unmount_below(self.data)
        shutil.rmtree(self.runtime, ignore_errors=True)
