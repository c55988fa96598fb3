"""What can go wrong, for the person who reads it: what happened, why, and the command that mends it.

Each class has the exit code that a script can act on. The codes are listed in docs/errors.md and frozen
by tests/unit/test_core.py.
"""

from __future__ import annotations


class BundlerError(Exception):
    """A failure that we understand. `str()` is what happened; `because` is why; `hint` mends it."""

    exit_code = 1

    def __init__(self, what: str, *, because: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.because = because
        self.hint = hint


class UsageInvalid(BundlerError):
    """The command line asks for something that has no meaning (an unknown bundle, service, flag value)."""

    exit_code = 2


class DoneInPart(BundlerError):
    """Some of the work is done and kept; the rest is not."""

    exit_code = 3


class ManifestInvalid(BundlerError):
    """A manifest, or a lock, says something that can't be."""

    exit_code = 10


class LockedByAnother(BundlerError):
    """Another process holds what we need; the message says who, where and since when."""

    exit_code = 11


class IntegrityFailed(BundlerError):
    """Bytes are not what their digest says."""

    exit_code = 12


class CheckRefused(BundlerError):
    """A check says that this can't work here."""

    exit_code = 13


class NetworkFailed(BundlerError):
    """A registry, hub or host did not answer, or refused."""

    exit_code = 14


class NoSpace(BundlerError):
    """A file system has not enough room."""

    exit_code = 15


class Interrupted(BundlerError):
    """Ctrl-C, or a termination signal."""

    exit_code = 130
