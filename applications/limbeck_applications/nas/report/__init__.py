"""The page of a ranking or a search."""
