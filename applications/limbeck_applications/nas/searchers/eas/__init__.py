"""EAS, and what it is made of."""
