"""TAS, and what it is made of."""
