"""Benchmarks: what the library costs, measured; ``python -m benchmarks --help``."""
