"""Ours beside what people use in its place: `python -m benchmarks.peers`."""
