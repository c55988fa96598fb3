"""Logging in to a registry when it asks: basic, or a bearer token from its authorization server.

After the token specification of distribution (docs/spec/auth/token.md, oauth.md).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from bundler.core.errors import NetworkFailed
from bundler.core.secret import Secret
from bundler.core.strict_json import parse_object
from bundler.sources.challenge import Challenge, parse_challenges
from bundler.sources.docker_login import HUB, Login
from bundler.sources.http import Http, Refused

CLIENT = "bundler"
_SHORTEST = 60.0
"""Seconds that a token lasts where the server does not say (token.md)."""
_LEEWAY = 10.0


class LoginRefused(NetworkFailed):
    """The registry, or its authorization server, does not accept the login, or wants one."""

    def __init__(self, registry: str, because: str) -> None:
        super().__init__(f"{registry} refuses", because=because, hint=login_command(registry))


def login_command(registry: str) -> str:
    """What a person types to log in."""
    return "docker login" if registry == HUB else f"docker login {registry}"


@dataclass(frozen=True, slots=True)
class _Permit:
    """An Authorization header's value, until a time of the monotonic clock."""

    value: Secret
    until: float


class Authorizer:
    """What one registry has been shown: a permit for each scope, got when it is asked for. For all threads.

    The login is looked up when the registry first asks, so that a public one needs none.
    """

    def __init__(self, registry: str, http: Http, find: Callable[[], Login | None], *, plain_http: bool) -> None:
        self._registry = registry
        self._http = http
        self._find = find
        self._plain_http = plain_http
        self._permits: dict[str, _Permit] = {}
        self._lock = threading.Lock()

    def headers(self, scope: str) -> dict[str, str]:
        """The header for this scope; none before the registry has asked for it."""
        permit = self._permits.get(scope)
        if permit is None or permit.until < time.monotonic():
            return {}
        return {"Authorization": permit.value.reveal()}

    def answer(self, refusal: Refused, scope: str, shown: Mapping[str, str]) -> dict[str, str]:
        """The header that answers a 401, after `shown` did not do. Raises LoginRefused, NetworkFailed."""
        with self._lock:
            known = self.headers(scope)
            if known and known != shown:
                return known  # another thread has just got it
            challenges = {one.scheme: one for one in parse_challenges(refusal.headers.get("WWW-Authenticate", ""))}
            login = self._find()
            if "bearer" in challenges:
                self._permits[scope] = self._token(challenges["bearer"], scope, login)
            elif "basic" in challenges:
                if login is None:
                    raise LoginRefused(self._registry, "it wants a login, and you have none for it")
                self._permits[scope] = _Permit(login.basic(), float("inf"))
            else:
                raise LoginRefused(self._registry, "it wants a login of a kind that is not supported")
            return self.headers(scope)

    def refused(self, repository: str) -> LoginRefused:
        """The error for a 401 or 403 after all that we can show has been shown."""
        if self._find() is None:
            return LoginRefused(self._registry, f"there is no repository {repository}, or it wants a login")
        return LoginRefused(self._registry, f"there is no repository {repository}, or your login may not read it")

    def _token(self, challenge: Challenge, scope: str, login: Login | None) -> _Permit:
        """Ask the authorization server (`realm`) for a token of this scope."""
        realm = challenge.parameters.get("realm", "")
        if not realm.startswith(("https://", "http://")) or (realm.startswith("http://") and not self._plain_http):
            raise LoginRefused(self._registry, "its authorization server is not reached over https")
        query = {"scope": challenge.parameters.get("scope") or scope}
        if "service" in challenge.parameters:
            query["service"] = challenge.parameters["service"]
        try:
            raw = self._ask(realm, query, login)
        except Refused as refusal:
            if refusal.status in (400, 401, 403):
                because = "the login that you have is not accepted" if login else "it gives nothing without a login"
                raise LoginRefused(self._registry, because) from refusal
            raise
        document = parse_object(raw, f"the answer of {urlsplit(realm).hostname}")
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise LoginRefused(self._registry, "its authorization server sent no token")
        lasts = document.get("expires_in")
        seconds = float(lasts) if isinstance(lasts, (int, float)) else _SHORTEST
        return _Permit(Secret(f"Bearer {token}"), time.monotonic() + max(seconds, _SHORTEST) - _LEEWAY)

    def _ask(self, realm: str, query: dict[str, str], login: Login | None) -> bytes:
        if login is not None and login.identity:
            form = {
                **query,
                "grant_type": "refresh_token",
                "client_id": CLIENT,
                "refresh_token": login.secret.reveal(),
            }
            return self._http.post(realm, urlencode(form).encode()).body
        headers = {"Authorization": login.basic().reveal()} if login else {}
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        return self._http.get(url, headers).body
