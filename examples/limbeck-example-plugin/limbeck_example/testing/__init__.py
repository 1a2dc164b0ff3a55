"""What image measures promise."""
