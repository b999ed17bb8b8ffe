"""Measurements behind every speed claim; `tools/benchmark.py` runs them."""
