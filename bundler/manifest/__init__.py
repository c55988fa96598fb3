"""What is wanted (the manifest) and what is pinned (the lock)."""
