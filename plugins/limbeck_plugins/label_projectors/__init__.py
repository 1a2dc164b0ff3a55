"""Label projectors: the labels a student trains with."""
