"""The names that workloads have from the manifest's own sections."""

from __future__ import annotations

TRAIN, MERGE, SERVE = "train", "merge", "serve"

EVALUATE_BASE, EVALUATE_TUNED = EVALUATIONS = ("evaluate-base", "evaluate-tuned")

TRAINED = TRAIN
"""As a service's model: what the training job made (merged, where it made an adapter)."""
