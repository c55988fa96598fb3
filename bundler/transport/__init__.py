"""From one store to another, over SSH. The standard library only, so that the agent carries it too."""
