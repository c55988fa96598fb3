"""The labels by which an engine finds our containers again."""

from __future__ import annotations

PREFIX = "io.bundler"
BUNDLE, WORKLOAD, ROLE, FINGERPRINT, ROOT, DIRECTORY = (
    f"{PREFIX}.{key}" for key in ("bundle", "workload", "role", "fingerprint", "root", "directory")
)
