"""`unit`: a systemd unit that brings a release up again at boot, whichever of its versions is up by then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = "/etc/systemd/system"


@dataclass(frozen=True, slots=True)
class Boot:
    """All that a unit says: the release's name, its store, the program, its engine and its user.

    `user` is empty for root; `hosts` are the variables that say where the engine is, none at its usual socket;
    `accepted` are checks that may block; `engine` is what --engine said, `engine_unit` the unit that starts it.
    """

    name: str
    store: Path
    program: tuple[str, ...]
    hosts: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    accepted: tuple[str, ...] = ()
    engine: str = ""
    engine_unit: str = "docker.service"

    @property
    def unit(self) -> str:
        """The unit's name."""
        return f"bundle-{self.name}.service"


def render(boot: Boot) -> str:
    """The unit's text (systemd.service(5), systemd.unit(5)).

    The engine starts the services again by itself where it can (by their restart policy). What is
    left to `up`: a job that the reboot broke off goes on, containers that are gone are made, and the unit has failed
    where the services do not answer. What no second try mends (usage, integrity: docs/errors.md) is not tried again.
    """
    environment = [f"Environment={_quoted(f'{name}={value}')}" for name, value in boot.hosts.items()]
    accepted = (f"--accept={check}" for check in boot.accepted)
    engine = ("--engine", boot.engine) if boot.engine else ()
    store = ("--store", str(boot.store))
    command = (*boot.program, "up", boot.name, "--last", *accepted, *engine, "--progress", "plain", *store)
    return "\n".join(
        [
            "[Unit]",
            f"Description=The bundle {_plain(boot.name)} of {_plain(str(boot.store))}",
            f"After={boot.engine_unit} network-online.target",
            f"Wants={boot.engine_unit} network-online.target",
            f"RequiresMountsFor={_quoted(str(boot.store))}",
            "StartLimitIntervalSec=1h",
            "StartLimitBurst=5",
            "",
            "[Service]",
            "Type=oneshot",
            "RemainAfterExit=yes",
            *([f"User={boot.user}"] if boot.user else []),
            *environment,
            f"ExecStart={' '.join(_quoted(word, dollar=True) for word in command)}",
            "# training may take days",
            "TimeoutStartSec=infinity",
            "Restart=on-failure",
            "RestartSec=60",
            "RestartPreventExitStatus=2 10 12",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def _plain(text: str) -> str:
    """Text in which systemd sees no specifier."""
    return text.replace("%", "%%")


def _quoted(word: str, *, dollar: bool = False) -> str:
    """A word as systemd reads it back (systemd.syntax(7), Quoting); `dollar`: where variables are put in."""
    plain = _plain(word).replace("\\", "\\\\").replace('"', '\\"')
    if dollar:
        plain = plain.replace("$", "$$")
    return f'"{plain}"' if any(char in plain for char in " \t'\"\\;") else plain
