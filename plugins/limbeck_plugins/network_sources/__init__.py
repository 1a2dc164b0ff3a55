"""Network sources: which network each step looks through, and how it moves."""
