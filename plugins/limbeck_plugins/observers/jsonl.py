"""What happened in a run, a line each: ``events.jsonl`` in the run folder. Losses lie in ``log.jsonl``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from limbeck.events import CheckpointInfo, EvaluationInfo, RunInfo, RunResult
from limbeck.files import append
from limbeck.observers import Observer

FILE = "events.jsonl"


class JSONL(Observer):
    """Append every event but the losses to ``events.jsonl``; a resumed run goes on in the same file."""

    path: Path | None = None

    def before_run(self, run: RunInfo) -> None:
        """Write what is about to be done."""
        self.path = None if run.folder is None else Path(run.folder) / FILE
        self._write("before_run", asdict(run))

    def after_evaluation(self, evaluation: EvaluationInfo) -> None:
        """Write a row's accuracies."""
        self._write("after_evaluation", asdict(evaluation))

    def after_checkpoint(self, checkpoint: CheckpointInfo) -> None:
        """Write how far the run is safe."""
        self._write("after_checkpoint", asdict(checkpoint))

    def on_run_error(self, run: RunInfo, error: BaseException) -> None:
        """Write what ended the run."""
        self._write("on_run_error", {"error": type(error).__name__, "message": str(error)})

    def after_run(self, run: RunInfo, result: RunResult) -> None:
        """Write what came out."""
        self._write("after_run", asdict(result))

    def _write(self, event: str, values: dict[str, Any]) -> None:
        if self.path is not None:
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            append(self.path, json.dumps({"time": time, "event": event, **values}, default=str) + "\n")
