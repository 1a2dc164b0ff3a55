"""The searchers that ship."""
