"""Augmentations, siamese or per image."""
