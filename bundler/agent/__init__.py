"""Makes the agent: the executable that a store carries, so that a node needs nothing but Python."""
