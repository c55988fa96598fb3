"""`unit`: a systemd unit that brings a release up again at boot, whichever of its versions is up by then."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DIRECTORY = "/etc/systemd/system"


@dataclass(frozen=True, slots=True)
class Boot:
    """All that a unit says: the release's name, its store, the program, its engine's address and its user.

    `user` is empty for root, `docker_host` where the engine is at its usual socket; `accepted` are checks that may
    block.
    """

    name: str
    store: Path
    program: tuple[str, ...]
    docker_host: str = ""
    user: str = ""
    accepted: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit's name."""
        return f"bundle-{self.name}.service"


def render(boot: Boot) -> str:
    """The unit's text (systemd.service(5), systemd.unit(5)).

    The engine starts the services again by itself where it can (their restart policy is `unless-stopped`). What is
    left to `up`: a job that the reboot broke off goes on, containers that are gone are made, and the unit has failed
    where the services do not answer. What no second try mends (usage, integrity: docs/errors.md) is not tried again.
    """
    environment = [f"Environment={_quoted(f'DOCKER_HOST={boot.docker_host}')}"] if boot.docker_host else []
    accepted = (f"--accept={check}" for check in boot.accepted)
    command = (*boot.program, "up", boot.name, "--last", *accepted, "--progress", "plain", "--store", str(boot.store))
    return "\n".join(
        [
            "[Unit]",
            f"Description=The bundle {_plain(boot.name)} of {_plain(str(boot.store))}",
            "After=docker.service network-online.target",
            "Wants=docker.service network-online.target",
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
