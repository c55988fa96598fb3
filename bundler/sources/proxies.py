"""Which proxy a request takes: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, as curl and Go read them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies_environment

import urllib3

from bundler.core.errors import NetworkFailed
from bundler.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address without its login, and the header that logs in."""

    url: str
    login: Secret | None = None

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Read `[http://][user:password@]host[:port]`. Raises NetworkFailed."""
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme not in ("http", "https"):
            raise NetworkFailed(
                f"proxies of the kind {parts.scheme!r} are not supported",
                because="the environment names one",
                hint="export HTTPS_PROXY=http://HOST:PORT",
            )
        user, _, address = parts.netloc.rpartition("@")
        login = urllib3.util.make_headers(proxy_basic_auth=unquote(user))["proxy-authorization"] if user else None
        return cls(urlunsplit((parts.scheme, address, "", "", "")), Secret(login) if login else None)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The environment's proxies by scheme, `no` for the list of hosts that need none."""

    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> Proxies:
        """What the environment says now."""
        return cls(getproxies_environment())

    def proxy_for(self, url: str) -> Proxy | None:
        """The proxy for this URL. The loopback is never reached through one (Go's ProxyFromEnvironment)."""
        parts = urlsplit(url)
        setting = self.settings.get(parts.scheme) or self.settings.get("all")
        host = parts.hostname or ""
        if not setting or _is_loopback(host) or _excepted(host, parts.port, self.settings.get("no", "")):
            return None
        return Proxy.parse(setting)

    @staticmethod
    def pool(proxy: Proxy | None, *, maxsize: int, ssl_context: ssl.SSLContext) -> urllib3.PoolManager:
        """Connections through this proxy, or direct ones."""
        if proxy is None:
            return urllib3.PoolManager(maxsize=maxsize, ssl_context=ssl_context)
        headers = {"Proxy-Authorization": proxy.login.reveal()} if proxy.login else None
        return urllib3.ProxyManager(proxy.url, maxsize=maxsize, ssl_context=ssl_context, proxy_headers=headers)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _excepted(host: str, port: int | None, exceptions: str) -> bool:
    """Whether NO_PROXY names this host: `*`, a name and all below it, an address or a network, each with `:port`."""
    return any(_matches(entry.strip().lower(), host.lower(), port) for entry in exceptions.split(",") if entry.strip())


def _matches(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ip_address(host) in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit():
        if port is not None and int(wanted) != port:
            return False
        entry = name
    domain = entry.strip("[]").removeprefix("*").removeprefix(".")
    return host == domain or host.endswith(f".{domain}")
