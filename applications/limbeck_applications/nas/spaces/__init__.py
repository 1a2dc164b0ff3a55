"""The search spaces that ship."""
