"""Registry logins, from where `docker login` keeps them: config.json and its credential helpers."""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.core.errors import NetworkFailed
from bundler.core.secret import Secret
from bundler.core.strict_json import MalformedJson, parse_object

HUB = "docker.io"
_HUB_KEY = "https://index.docker.io/v1/"
"""The name under which Docker keeps the login of Docker Hub (docker/cli, registry.IndexServer)."""
_IDENTITY_USER = "<token>"
"""A helper's user name that says: the secret is an identity token (docker-credential-helpers, README)."""
_HELPER_PATIENCE = 60


class LoginUnreadable(NetworkFailed):
    """A login is kept where we can't read it."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a password; or, with `identity`, a token that an authorization server exchanges for others."""

    user: str
    secret: Secret
    identity: bool = False

    def basic(self) -> Secret:
        """The value of an Authorization header (RFC 7617)."""
        pair = f"{self.user}:{self.secret.reveal()}".encode()
        return Secret(f"Basic {base64.b64encode(pair).decode()}")


def config_path() -> Path:
    """Docker's configuration file: in DOCKER_CONFIG, else in ~/.docker."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def find_login(registry: str, path: Path | None = None) -> Login | None:
    """The login for a registry; None where there is none. Raises LoginUnreadable.

    The order is docker's: the registry's own helper, the helper of all, then the file (docker/cli,
    cli/config/configfile, GetCredentialsStore).
    """
    path = path or config_path()
    try:
        config = parse_object(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except (OSError, MalformedJson) as error:
        because = error.strerror if isinstance(error, OSError) else error.because
        raise LoginUnreadable(f"the registry logins in {path} can't be read", because=because) from error
    helpers = _mapping(config.get("credHelpers"))
    helper = next((helpers[key] for key in _keys(registry) if key in helpers), None) or config.get("credsStore")
    if isinstance(helper, str) and helper:
        return _ask_helper(helper, registry, path)
    return _from_file(_mapping(config.get("auths")), registry, path)


def _keys(registry: str) -> tuple[str, ...]:
    """The names under which a registry's login may be kept, the likeliest first."""
    if registry == HUB:
        return (_HUB_KEY, "index.docker.io", HUB, "registry-1.docker.io")
    return (registry, f"https://{registry}", f"http://{registry}")


def _host(key: str) -> str:
    """A key of `auths` without scheme and path, as old clients wrote them."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _from_file(auths: Mapping[str, Any], registry: str, path: Path) -> Login | None:
    exact = [auths[key] for key in _keys(registry) if key in auths]
    loose = [entry for key, entry in auths.items() if registry != HUB and _host(key) == registry]
    for entry in (*exact, *loose):
        members = _mapping(entry)
        if members.get("identitytoken"):
            return Login("", Secret(str(members["identitytoken"])), identity=True)
        if members.get("auth"):
            return _decoded(str(members["auth"]), registry, path)
        if members.get("username"):
            return Login(str(members["username"]), Secret(str(members.get("password", ""))))
    return None


def _decoded(auth: str, registry: str, path: Path) -> Login:
    try:
        user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise LoginUnreadable(
            f"the login for {registry} in {path} can't be read",
            because="its 'auth' is not the base64 of user:password",
            hint=f"docker login {registry}",
        )
    return Login(user, Secret(password.rstrip("\0")))


def _ask_helper(helper: str, registry: str, path: Path) -> Login | None:
    """Run `docker-credential-HELPER get` with the registry on its stdin (docker-credential-helpers, README)."""
    program = f"docker-credential-{helper}"
    asked = _keys(registry)[0]
    try:
        done = subprocess.run(
            (program, "get"), input=asked.encode(), capture_output=True, timeout=_HELPER_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it did not answer in {_HELPER_PATIENCE} s"
        raise _broken(program, registry, path, f"{reason}".lower()) from error
    if done.returncode:
        said = (done.stdout or done.stderr).decode(errors="replace").strip()
        if "credentials not found" in said:
            return None
        raise _broken(program, registry, path, said.splitlines()[0] if said else f"it ended with {done.returncode}")
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _broken(program, registry, path, "its answer is not a login") from None
    return Login("" if user == _IDENTITY_USER else user, Secret(secret), identity=user == _IDENTITY_USER)


def _broken(program: str, registry: str, path: Path, reason: str) -> LoginUnreadable:
    return LoginUnreadable(
        f"{program} does not give the login for {registry}",
        because=f"{path} names it; {reason}",
        hint=f"mend {program}, or take it out of {path}; then: docker login {registry}",
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
