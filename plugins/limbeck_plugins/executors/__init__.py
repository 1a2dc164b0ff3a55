"""Executors: how independent jobs are run."""
