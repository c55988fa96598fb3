"""Figures, as ratios against the peer in the same run. `make bench` prints them; docs/benchmarks.md notes them."""
