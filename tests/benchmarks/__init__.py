"""Benchmarks: a command, no timed tests. Every figure is a ratio against a floor that is measured in the same run."""
