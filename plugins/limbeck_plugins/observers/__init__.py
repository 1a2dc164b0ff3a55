"""Observers: what writes a run down for other programs."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_observers(register: Register) -> None:
    """Offer the observers that ship with Limbeck."""
    register(
        "jsonl",
        "limbeck_plugins.observers.jsonl:JSONL",
        summary="events.jsonl: start, checkpoints, accuracies, errors and end, a line each",
    )
    register(
        "csv",
        "limbeck_plugins.observers.csv:CSV",
        summary="losses.csv and accuracies.csv, for spreadsheets and plotting programs",
    )
    register(
        "tensorboard",
        "limbeck_plugins.observers.tensorboard:TensorBoard",
        summary="TensorBoard's event files: loss, pace, accuracies and the picture of the set",
        extra="track",
    )
