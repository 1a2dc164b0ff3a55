"""What makes the tables of rankings and of searches: correlations with intervals, and what each line came to."""
