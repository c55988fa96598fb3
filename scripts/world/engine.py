"""A Docker engine of our own: its own data, sockets, containerd namespace and control group."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from scripts.world import leftovers
from scripts.world.daemon import Daemon
from scripts.world.errors import WorldError, find_program, last_line, require_root, search_path

_SHUTDOWN_SECONDS = 5


class Engine:
    """A dockerd. `name` is unique on the machine: it names the control group and the namespace."""

    def __init__(
        self,
        name: str,
        data: Path,
        runtime: Path,
        *,
        options: tuple[str, ...] = (),
        prefix: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        tied: bool = False,
    ) -> None:
        self.name = name
        self.data = data
        self.runtime = runtime
        self._options = options
        self._prefix = prefix
        # dockerd looks for iptables and containerd on its PATH.
        self._environment = {**(os.environ if environment is None else environment), "PATH": search_path()}
        self._tied = tied

    @property
    def socket(self) -> Path:
        return self.runtime / "docker.sock"

    @property
    def host(self) -> str:
        """What DOCKER_HOST says to reach it."""
        return f"unix://{self.socket}"

    def environment(self) -> dict[str, str]:
        """The environment of a process that uses this engine."""
        return {**self._environment, "DOCKER_HOST": self.host}

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the docker command line against this engine."""
        done = subprocess.run(
            (find_program("docker", "docker.io"), *arguments),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise WorldError(f"docker {arguments[0]} failed on {self.name}: {lines[-1]}")
        return done

    def start(self) -> bool:
        """Start and wait until the API answers; False when it ran already."""
        daemon = self.daemon
        if daemon.running() and self.answers():
            return False
        require_root("an engine")
        if not daemon.running():
            self._sweep()
            self.data.mkdir(parents=True, exist_ok=True)
            self.runtime.mkdir(parents=True, exist_ok=True)
            self._configure()
        return daemon.start(self.answers, timeout=60)

    def stop(self, *, purge: bool = False) -> bool:
        """Stop it with its containers; `purge` also removes images, containers and volumes."""
        # A container may take ten seconds to end; one that is removed anyway need not be asked.
        stopped = self.daemon.stop(patience=0 if purge else _SHUTDOWN_SECONDS + 20)
        self._sweep()
        if purge:
            shutil.rmtree(self.data, ignore_errors=True)
            if self.data.exists():
                raise WorldError(f"{self.data} can't be removed", f"findmnt -R {self.data}")
        return stopped

    def running(self) -> bool:
        return self.daemon.running() and self.answers()

    def answers(self) -> bool:
        """Whether the API answers a ping."""
        connection = http.client.HTTPConnection("localhost", timeout=5)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(5)
            connection.sock.connect(str(self.socket))
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def log_line(self) -> str:
        return last_line(self.daemon.log)

    @property
    def daemon(self) -> Daemon:
        command = (
            *self._prefix,
            find_program("dockerd", "docker.io"),
            f"--data-root={self.data / 'root'}",
            f"--exec-root={self._exec_root}",
            f"--host={self.host}",
            f"--pidfile={self.runtime / 'docker.pid'}",
            f"--config-file={self._config}",
            # cgroupfs accepts a plain path as parent; the systemd driver would want a slice.
            "--exec-opt=native.cgroupdriver=cgroupfs",
            f"--cgroup-parent=/{self.name}",
            # dockerd joins a system containerd that it finds running; keep apart from its owner.
            f"--containerd-namespace={self.name}",
            f"--containerd-plugins-namespace={self.name}-plugins",
            f"--shutdown-timeout={_SHUTDOWN_SECONDS}",
            *self._options,
        )
        return Daemon("dockerd", command, self.data, self._environment, tied=self._tied)

    def _configure(self) -> None:
        self._config.write_text("{}\n")  # not the machine's own daemon.json

    @property
    def _config(self) -> Path:
        return self.data / "daemon.json"

    @property
    def _exec_root(self) -> Path:
        return self.runtime / "exec"

    def _sweep(self) -> None:
        """Remove what a killed dockerd leaves: shims, containers, control groups, mounts."""
        leftovers.end_processes(self.name, self._exec_root)
        leftovers.unmount_below(self._exec_root)
        leftovers.unmount_below(self.data)
        leftovers.remove_control_groups(self.name)
        # Pid files too: dockerd takes a stale one for a containerd that still runs, and waits for it in vain.
        shutil.rmtree(self.runtime, ignore_errors=True)


def online_engine(name: str, data: Path, runtime: Path, *, tied: bool = False) -> Engine:
    """The engine of the online machine: no bridge and no firewall rule, builds use the host network."""
    options = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false")
    return Engine(name, data, runtime, options=options, tied=tied)
