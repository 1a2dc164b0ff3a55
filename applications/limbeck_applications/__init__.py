"""Applications that put synthetic sets to work; each declares its own kinds through hooks."""
