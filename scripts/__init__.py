"""Programs around the product: the real world for tests and demo, the demo, benchmarks."""
