"""Where a bundle goes: a host that OpenSSH knows how to reach, and a directory on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bundler.core.errors import UsageInvalid

DEFAULT_DIRECTORY = "bundle-store"
"""Where a store is when no one says: in the home directory of the login."""

_URL = re.compile(
    r"ssh://(?:(?P<user>[^@/]+)@)?(?P<host>\[[^]/]+\]|[^@:/\[\]]+)(?::(?P<port>\d+))?(?P<directory>/.*)?", re.DOTALL
)
_SCP = re.compile(r"(?:(?P<user>[^@:/]+)@)?(?P<host>\[[^]/]+\]|[^@:/\[\]]+)(?::(?P<directory>.*))?", re.DOTALL)
_WORD = re.compile(r"[^\s\x00-\x1f\x7f-]\S*")


class MalformedDestination(UsageInvalid):
    """Text that should name a host and a directory, and does not."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(
            f"{text!r} is not a destination",
            because=problem,
            hint="write user@host:/directory, ssh://user@host:port/directory, or ALIAS:/directory with an alias of "
            "~/.ssh/config",
        )


@dataclass(frozen=True, slots=True)
class Destination:
    """A store behind SSH. What is empty or 0 here, the user's ssh configuration decides.

    `directory` is absolute, or relative to the login's home. `config` stands in the place of ~/.ssh/config.
    `accept_new` takes the key of a host that is not known and remembers it; never one that has changed.
    """

    host: str
    directory: str
    user: str = ""
    port: int = 0
    identity: Path | None = None
    config: Path | None = None
    accept_new: bool = False

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        port: int = 0,
        identity: Path | None = None,
        config: Path | None = None,
        accept_new: bool = False,
    ) -> Destination:
        """Read `[user@]host[:directory]` or `ssh://[user@]host[:port][/directory]`. Raises MalformedDestination."""
        form = _URL if text.startswith("ssh://") else _SCP
        match = form.fullmatch(text)
        if not match:
            raise MalformedDestination(text, "it has no host, or a part too many")
        parts = match.groupdict(default="")
        user, host, directory = parts["user"], parts["host"].strip("[]"), parts["directory"] or DEFAULT_DIRECTORY
        for what, word in (("user", user), ("host", host)):
            # A word that begins with '-' would be read as an option of ssh (CVE-2017-1000117 and its like).
            if word and not _WORD.fullmatch(word):
                raise MalformedDestination(text, f"its {what} can't begin with '-' or hold blanks: {word!r}")
        if directory.startswith("~"):
            raise MalformedDestination(text, "'~' is not expanded: a directory without '/' before it is in the home")
        if "\0" in directory or "\n" in directory:
            raise MalformedDestination(text, "its directory holds a line break")
        chosen = int(parts.get("port") or 0) or port
        if not 0 <= chosen <= 65535:
            raise MalformedDestination(text, f"{chosen} is not a port")
        return cls(host, directory, user, chosen, identity, config, accept_new)

    @property
    def login(self) -> str:
        """`user@host`, as ssh takes it."""
        return f"{self.user}@{self.host}" if self.user else self.host

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{user}{host}:{self.directory}"
