"""Certificates: the system's, or the bundle that the environment names, as curl and requests read it."""

from __future__ import annotations

import os
import ssl

from bundler.core.errors import NetworkFailed

_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The first that is set wins."""


def context() -> ssl.SSLContext:
    """Certificates are always checked. Raises NetworkFailed where the named bundle can't be read."""
    for variable in _VARIABLES:
        path = os.environ.get(variable)
        if not path:
            continue
        try:
            if os.path.isdir(path):
                return ssl.create_default_context(capath=path)
            return ssl.create_default_context(cafile=path)
        except OSError as error:
            raise NetworkFailed(
                f"the certificates in {path} can't be read",
                because=f"{variable} names them: {error.strerror or error}",
                hint=f"unset {variable}   # or let it name a file of PEM certificates",
            ) from error
    return ssl.create_default_context()
