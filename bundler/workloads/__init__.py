"""Manifest to workloads, workloads to container specs: pure functions, nothing runs here."""
