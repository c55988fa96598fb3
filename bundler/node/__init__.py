"""What a node is, and whether a bundle fits it."""
