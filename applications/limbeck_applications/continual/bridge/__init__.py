"""Distilled memories for strategies of Avalanche, in its two worlds of benchmarks."""
