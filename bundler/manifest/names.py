"""The names that workloads have from the manifest's own sections."""

from __future__ import annotations

TRAIN, MERGE, SERVE = "train", "merge", "serve"

TRAINED = TRAIN
"""As a service's model: what the training job made (merged, where it made an adapter)."""
