"""Runners whose raw results are committed under benchmarks/results."""
