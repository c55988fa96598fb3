"""The world's bytes into the store: registries, hubs, local files, images built from dockerfiles."""
