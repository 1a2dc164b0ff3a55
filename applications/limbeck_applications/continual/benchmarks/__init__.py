"""Streams that ship, made of real data sets."""
