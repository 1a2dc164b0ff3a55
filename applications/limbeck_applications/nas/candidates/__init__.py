"""Scoring many architectures: in one trainer call, in processes, and never twice."""
