"""Many cells of orders, seeds, strategies and memories, each learned once."""
