"""Pure values: digests, descriptors, references, sizes, errors, events. Imports nothing of ours."""
