"""A model small enough to learn fifty records in seconds on two cores, in a published repository's layout."""
