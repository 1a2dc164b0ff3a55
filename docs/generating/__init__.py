"""What docs/generate.py writes, part by part."""
