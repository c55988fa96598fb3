"""What the parent and its paramiko client tell each other: a request through a pipe, a failure in the last words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from bundler.core.strict_json import MalformedJson, parse_object

FAILED = 255
"""The exit status of a client's own failures, as with ssh(1)."""

_MARK = "bundle-ssh-failed"


@dataclass(frozen=True, slots=True)
class Request:
    """Where to log in, and what to run. Holds secrets: goes through a pipe and is never printed.

    `token` is what the client's last words begin with, so that none of the host's can be taken for them.
    `run` is `command`, `subsystem`, or `known`: print the fingerprints that known_hosts has of the host.
    """

    run: str
    words: str
    token: str
    host: str
    user: str = ""
    port: int = 0
    identity: str = ""
    config: str = ""
    accept_new: bool = False
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    passphrases: Mapping[str, str] = field(default_factory=dict, repr=False)

    def encode(self) -> bytes:
        """For the pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Request:
        """From the pipe, which only our parent holds."""
        return cls(**json.loads(data))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no login. `word` says which class of refusals.py it is; the rest is what that tells.

    `hostname`, `port` and `user` are of the hop that failed, which may be a jump host.
    """

    word: str
    because: str = ""
    hostname: str = ""
    port: int = 22
    user: str = ""
    name: str = ""
    fingerprint: str = ""
    file: str = ""
    methods: str = ""
    tried: tuple[str, ...] = ()
    need: tuple[str, str] = ("", "")
    refused: bool = False
    jump: bool = False

    def encode(self, token: str) -> str:
        """A line for stderr."""
        return f"{_MARK} {token} {json.dumps(asdict(self))}\n"

    @classmethod
    def find(cls, said: str, token: str) -> Failure | None:
        """The failure that a client's last words tell of, if they do."""
        for line in reversed(said.splitlines()):
            _, found, text = line.partition(f"{_MARK} {token} ")
            if found:
                return cls._parse(text)
        return None

    @classmethod
    def _parse(cls, text: str) -> Failure | None:
        try:
            values = parse_object(text.encode(), "a client's last words")
            kind, of = values["need"]
            return cls(**{**values, "tried": tuple(values["tried"]), "need": (kind, of)})
        except (MalformedJson, KeyError, TypeError, ValueError):
            return None
