"""A token server for a registry: distribution's token authentication, with a key of its own (token/jwt.md)."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

SERVICE = "the-registry"
ISSUER = "the-token-server"


@dataclass
class Asked:
    """What a client sent for a token."""

    method: str
    scope: str
    authorization: str
    form: dict[str, str] = field(default_factory=dict)


class TokenServer:
    """Gives tokens for `repository:NAME:pull`. `public` needs no login; `users` may read the rest."""

    def __init__(self, certificate: Path) -> None:
        self.asked: list[Asked] = []
        self.users: dict[str, str] = {}
        self.identity_tokens: set[str] = set()
        self.public: set[str] = set()
        self.lasts = 300
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._chain = self._certify()
        certificate.write_bytes(self._chain.public_bytes(serialization.Encoding.PEM))
        handler = type("Handler", (_Handler,), {"desk": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def token(self, scope: str, *, allowed: bool) -> str:
        """A signed token that grants the scope, or nothing."""
        kind, name, actions = f"{scope}::".split(":")[:3]
        access = [{"type": kind, "name": name, "actions": actions.split(",")}] if allowed and name else []
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "",
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 60,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        chain = base64.b64encode(self._chain.public_bytes(serialization.Encoding.DER)).decode()
        signed = f"{_packed({'typ': 'JWT', 'alg': 'RS256', 'x5c': [chain]})}.{_packed(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    def __enter__(self) -> TokenServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _certify(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    desk: TokenServer

    def log_message(self, *arguments: Any) -> None: ...

    def do_GET(self) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        self._answer(query, "GET")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer({key: values[0] for key, values in parse_qs(body).items()}, "POST")

    def _answer(self, asked: dict[str, str], method: str) -> None:
        desk, scope = self.desk, asked.get("scope", "")
        authorization = self.headers.get("Authorization", "")
        desk.asked.append(Asked(method, scope, authorization, asked))
        known = self._known(authorization) or asked.get("refresh_token") in desk.identity_tokens
        if (authorization or "refresh_token" in asked) and not known:
            return self._send(401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]})
        allowed = known or f"{scope}:".split(":")[1] in desk.public
        key = "access_token" if method == "POST" else "token"
        return self._send(200, {key: desk.token(scope, allowed=allowed), "expires_in": desk.lasts})

    def _known(self, authorization: str) -> bool:
        scheme, _, pair = authorization.partition(" ")
        user, _, password = base64.b64decode(pair).decode().partition(":") if scheme == "Basic" else ("", "", "")
        return bool(user) and self.desk.users.get(user) == password

    def _send(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _packed(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
