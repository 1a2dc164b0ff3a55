"""Distilled memories: what may be kept, what is kept, and how it is made."""
