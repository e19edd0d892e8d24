"""Benchmarks: figures to read, not tests to pass."""
