"""What continual strategies and benchmarks promise, as checks; ``limbeck plugins check`` finds them by the kind."""
