"""Conformance checks for the kinds of this application."""
