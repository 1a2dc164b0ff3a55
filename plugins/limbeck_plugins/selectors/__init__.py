"""Selectors: coresets of real images."""
