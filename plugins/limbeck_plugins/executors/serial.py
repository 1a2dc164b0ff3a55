"""One job after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.execution.executors import Executor, Job, OnResult


class Serial(Executor):
    """Run the jobs in order."""

    def execute(self, jobs: Sequence[Job], report: OnResult) -> None:
        """Run and report each job in turn."""
        for index, job in enumerate(jobs):
            report(index, job.run())
