"""Ways to learn a stream that ship, one file a strategy."""
