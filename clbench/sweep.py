"""A sweep: many runs on one results folder, safe against kills and against other processes on the same folder.

A run is claimed by an OS lock, which dies with its process. Who finds a run claimed leaves it for last and then waits:
the result is there by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from clbench import results
from clbench.checkpoint import Checkpoint
from clbench.errors import ResultsError
from clbench.evaluator import Progress
from clbench.executor import Executor, Watcher, WorkerError
from clbench.group_runner import one_by_one_because, run_together
from clbench.results import Record
from clbench.runner import Execution, failed_record, run_one
from clbench.specification import Specification, run_hash
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


Group = Sequence[Job]
"""Jobs that are done at once: seeds of one specification, or a single one."""


def grouped(jobs: Sequence[Job], together: int) -> tuple[list[Group], dict[str, str]]:
    """Return jobs in groups of at most ``together`` seeds of one specification, and why a strategy's cannot be grouped.

    Args:
        jobs: In any order; each stays in the place of its group's first one.
        together: Seeds at once; 1 groups nothing.
    """
    if together == 1:
        return [[job] for job in jobs], {}
    alike: dict[object, list[Job]] = {}
    reasons: dict[str, str] = {}
    for number, job in enumerate(jobs):
        reason = one_by_one_because(job.specification)
        key = (job.path.parent, run_hash(job.specification)) if reason is None else number
        alike.setdefault(key, []).append(job)
        if reason is not None:
            reasons[job.specification["strategy"]["name"]] = reason
    parts: list[Group] = [
        jobs[start : start + together]
        for jobs in alike.values()
        for start in range(0, len(jobs), together)
    ]
    return parts, reasons


def perform(job: Job, progress: Progress | None = None) -> Done:
    """Do one run; see `perform_all`."""
    return perform_all([job], progress)[0]


def perform_all(group: Group, progress: Progress | None = None) -> list[Done]:
    """Do the runs under their locks, each from its checkpoint if there is one, and store their records.

    Raises:
        ResultsError: The folder cannot be written to.
    """
    with ExitStack() as locks:
        done = [_claim(job, locks) for job in group]
        todo = [job for job, end in zip(group, done, strict=True) if end is None]
        records = iter(_run(todo, progress))
        return [end or _stored(job, next(records)) for job, end in zip(group, done, strict=True)]


def _lock(job: Job) -> Path:
    return results.lock_path(job.results, job.path)


def _claim(job: Job, locks: ExitStack) -> Done | None:
    """Take a run's lock; return how it ended already, None if it is to be done."""
    try:
        locks.enter_context(FileLock(_lock(job), timeout=-1 if job.wait else 0))
    except Timeout:
        return Done("claimed")
    found = results.read(job.path)
    if found is not None and found["status"] == "ok" and not _is_stale(job):
        return Done("found", found)
    if job.stale_before is not None and _checkpoint(job).older_than(job.stale_before):
        _checkpoint(job).remove()
    return None


def _run(jobs: Group, progress: Progress | None) -> list[Record]:
    """Return the records of runs, of several at once."""
    checkpoints = [_checkpoint(job) for job in jobs]
    if len(jobs) > 1:
        told = [progress, *[None] * (len(jobs) - 1)]
        specifications = [job.specification for job in jobs]
        return run_together(specifications, jobs[0].execution, told, checkpoints)
    return [
        run_one(job.specification, job.execution, progress, checkpoint, _trained(job))
        for job, checkpoint in zip(jobs, checkpoints, strict=True)
    ]


def _stored(job: Job, record: Record) -> Done:
    results.write(job.path, record, job.results)
    _checkpoint(job).remove()
    return Done(record["status"], record)


def _checkpoint(job: Job) -> Checkpoint:
    return Checkpoint(results.work_path(job.results, job.path, ".checkpoint"))


def _trained(job: Job) -> TrainedStates:
    return TrainedStates(job.results, job.stale_before)


def _is_stale(job: Job) -> bool:
    return job.stale_before is not None and job.path.stat().st_mtime < job.stale_before


def sweep(
    groups: Sequence[Group], executor: Executor, watcher: Watcher
) -> Iterator[tuple[int, Done]]:
    """Yield each job's number, counted through the groups, and how it ended, as they end.

    Args:
        groups: What to do.
        executor: Who does it.
        watcher: Told of the progress of all runs; of a group, of its first one's.
    """
    jobs = [job for group in groups for job in group]
    firsts = accumulate((len(group) for group in groups), initial=0)
    work = dict(zip(firsts, groups, strict=False))  # by the number of its first job
    claimed: dict[int, Group] = {}
    for first, ended in executor.run(perform_all, work, watcher):
        for number, done in enumerate(_of_each(ended, work[first]), first):
            if isinstance(done, Done) and done.status == "claimed":
                claimed[number] = [replace(jobs[number], wait=True)]
            else:
                yield number, _settled(jobs[number], done)
    for number, ended in executor.run(perform_all, claimed, watcher):
        yield number, _settled(jobs[number], *_of_each(ended, claimed[number]))


def _of_each(ended: list[Done] | WorkerError, group: Group) -> Sequence[Done | WorkerError]:
    """Return how each job of a group ended; a worker's death is that of all."""
    return [ended] * len(group) if isinstance(ended, WorkerError) else ended


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
