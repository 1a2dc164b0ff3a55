"""Formations: how stored images become training images."""
