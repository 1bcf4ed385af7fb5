"""A sweep: many runs on one results folder, safe against kills and against other processes on the same folder.

A run is claimed by an OS lock, which dies with its process. Who finds a run claimed leaves it for last and then waits:
the result is there by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from clbench import results
from clbench.checkpoint import Checkpoint
from clbench.errors import ResultsError
from clbench.evaluator import Progress
from clbench.executor import Executor, Watcher, WorkerError
from clbench.results import Record
from clbench.runner import Execution, failed_record, run_one
from clbench.specification import Specification
from clbench.trained_states import TrainedStates


@dataclass(frozen=True)
class Job:
    """One run to do, as plain data that any process can be sent."""

    specification: Specification
    path: Path
    """Of the result file."""
    results: Path
    """The results folder."""
    execution: Execution
    stale_before: float | None = None
    """Results written before this time (seconds since 1970) are made anew; None accepts all."""
    wait: bool = False
    """Whether to wait for another process that does the same run."""


@dataclass(frozen=True)
class Done:
    """How a job ended."""

    status: Literal["ok", "failed", "found", "claimed"]
    """``claimed``: another process is doing it."""
    record: Record | None = None


def perform(job: Job, progress: Progress | None = None) -> Done:
    """Do one run under its lock, from its checkpoint if there is one, and store its record.

    Raises:
        ResultsError: The folder cannot be written to.
    """
    try:
        with FileLock(_lock(job), timeout=-1 if job.wait else 0):
            return _perform(job, progress)
    except Timeout:
        return Done("claimed")


def _lock(job: Job) -> Path:
    return results.lock_path(job.results, job.path)


def _perform(job: Job, progress: Progress | None) -> Done:
    found = results.read(job.path)
    if found is not None and found["status"] == "ok" and not _is_stale(job):
        return Done("found", found)
    checkpoint = Checkpoint(results.work_path(job.results, job.path, ".checkpoint"))
    if job.stale_before is not None and checkpoint.older_than(job.stale_before):
        checkpoint.remove()
    trained = TrainedStates(job.results, job.stale_before)
    record = run_one(job.specification, job.execution, progress, checkpoint, trained)
    results.write(job.path, record, job.results)
    checkpoint.remove()
    return Done(record["status"], record)


def _is_stale(job: Job) -> bool:
    return job.stale_before is not None and job.path.stat().st_mtime < job.stale_before


def sweep(jobs: Sequence[Job], executor: Executor, watcher: Watcher) -> Iterator[tuple[int, Done]]:
    """Yield each job's number and how it ended, as they end.

    Args:
        jobs: What to do.
        executor: Who does it.
        watcher: Told of the progress of all runs.
    """
    claimed = {}
    for number, done in executor.run(perform, dict(enumerate(jobs)), watcher):
        if isinstance(done, Done) and done.status == "claimed":
            claimed[number] = replace(jobs[number], wait=True)
        else:
            yield number, _settled(jobs[number], done)
    for number, done in executor.run(perform, claimed, watcher):
        yield number, _settled(jobs[number], done)


def _settled(job: Job, done: Done | WorkerError) -> Done:
    """Return how a job ended; one without a result leaves a failed record, and its checkpoint."""
    if isinstance(done, Done):
        return done
    record = failed_record(job.specification, job.execution, done)
    with suppress(ResultsError, Timeout), FileLock(_lock(job), timeout=0):
        found = results.read(job.path)
        if found is None or found["status"] != "ok":
            results.write(job.path, record, job.results)
    return Done("failed", record)
