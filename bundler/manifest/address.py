"""`host:port`: the one address of the intranet that a job may reach."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


def is_address(text: str) -> bool:
    """Whether this is a name or an IP address, and a port."""
    return bool(_ADDRESS.fullmatch(text)) and 0 < int(text.rpartition(":")[2]) < 1 << 16


def of_url(url: str) -> str:
    """`host:port` of a URL with http. Raises ValueError where its port is none."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{80 if parts.port is None else parts.port}"


def is_loopback(host: str) -> bool:
    """Whether a name or an IP address is the machine's own, whichever machine asks."""
    try:
        found = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return found.is_loopback or found.is_unspecified
