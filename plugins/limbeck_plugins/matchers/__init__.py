"""Matchers: what is compared between real and synthetic images."""
