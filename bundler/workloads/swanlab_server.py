"""A training that reports to a self-hosted SwanLab while it runs: where the SDK is told to look, and its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bundler.manifest.address import of_url
from bundler.workloads.api_key import behind_key
from bundler.workloads.way_out import PORT, through

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.training import Train


@dataclass(frozen=True, slots=True)
class Server:
    """The server's URL, and the file on the node with its key."""

    url: str
    key: str

    @property
    def address(self) -> str:
        """`host:port`."""
        return of_url(self.url)

    @property
    def environment(self) -> Mapping[str, str]:
        """The API by the way out, and the pages under the address that people know (SwanLab 0.6.3, package.py)."""
        return {"SWANLAB_API_HOST": f"http://127.0.0.1:{PORT}/api", "SWANLAB_WEB_HOST": self.url.rstrip("/")}

    def command(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """This command, with the way out beside it and the key in its environment (SwanLab 0.6.3, env.py)."""
        return through(behind_key(command, "SWANLAB_API_KEY"))


def of(job: Train) -> Server | None:
    """The server that this job reports to; None where it reports to none."""
    wish = job.swanlab
    if not wish or wish.mode != "cloud" or not wish.host or not wish.api_key_file:
        return None
    return Server(wish.host, wish.api_key_file)
