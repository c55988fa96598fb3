"""Numbers and advice before the gap: memory, steps, data."""
