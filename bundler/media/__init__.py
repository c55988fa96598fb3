"""Volumes: a bundle as plain tars for disks and sticks, and back. See docs/format.md."""
