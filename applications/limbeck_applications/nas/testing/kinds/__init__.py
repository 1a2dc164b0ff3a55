"""One module of checks for each kind."""
