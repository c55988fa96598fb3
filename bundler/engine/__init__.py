"""Runs container specs, builds images, takes images out of the store."""
