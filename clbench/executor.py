"""Executors: who does the runs of a sweep. One interface; here in this process or in local worker processes.

Another (a cluster's) needs only `Executor.run`: jobs are plain data, results are files that any process may write.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from clbench import interrupts
from clbench.errors import ClbenchError, PluginWarning
from clbench.importing import import_torch

if TYPE_CHECKING:  # a worker begins with this module, and imports torch on its own terms
    from clbench.evaluator import Progress
    from clbench.scoring import Row

J = TypeVar("J")
R = TypeVar("R")
_EVERY = 0.2
"""Seconds between two reports of a worker's steps."""
_GPUS = ("/dev/nvidiactl", "/dev/kfd")
"""Where a driver of NVIDIA's or AMD's is at work."""


class Watcher(Protocol):
    """Whoever wants to show how far the runs are, by their numbers."""

    def started(self, number: int) -> None:
        """A run began."""

    def steps(self, number: int, count: int) -> None:
        """It took so many more training steps."""

    def experience(self, number: int, learnt: int, of: int, row: Row) -> None:
        """A row of its matrix is filled."""

    def trained(self, number: int, episodes: int, of: int, accuracy: float | None) -> None:
        """It learnt from so many training episodes; see `clbench.evaluator.Progress`."""


class WorkerError(ClbenchError):
    """A job came to no result: it raised, or its worker died."""


class Executor(Protocol):
    """Does jobs, in any order and on any machine."""

    def run(
        self, work: Callable[[J, Progress], R], jobs: Mapping[int, J], watcher: Watcher
    ) -> Iterator[tuple[int, R | WorkerError]]:
        """Yield the number of each job and what ``work`` returned, as they end."""
        ...


class InProcess:
    """Does one job after the other, here."""

    def run(
        self, work: Callable[[J, Progress], R], jobs: Mapping[int, J], watcher: Watcher
    ) -> Iterator[tuple[int, R | WorkerError]]:
        """Yield results in order."""
        for number, job in jobs.items():
            watcher.started(number)
            try:
                result: R | WorkerError = work(job, _Told(number, watcher))
            except Exception as error:  # it costs this job; the others go on
                result = WorkerError(_words(error))
            yield number, result


_born: dict[str, str] = {"by": "spawn"}


def fork_workers() -> None:
    """Start the process that workers are to be forked from; it imports torch while this one does and plans.

    On Linux without a GPU. Elsewhere workers are spawned, and import torch each: what a process knows of a GPU or of
    macOS's libraries need not outlive a fork.
    """
    if sys.platform == "linux" and not any(Path(gpu).exists() for gpu in _GPUS):
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload(["clbench.preload"])
        with suppress(OSError):  # the path of its socket is too long where TMPDIR is
            with _deaf():
                forkserver.ensure_running()
            _born["by"] = "forkserver"


class Workers:
    """Worker processes, one job at a time each. A worker that dies costs the job it was at."""

    def __init__(self, count: int, prepare: Callable[..., None], *arguments: Any) -> None:
        """Keep how many, and what each worker calls first (to load plug-ins)."""
        self._count = count
        self._prepare = (prepare, arguments)

    def run(
        self, work: Callable[[J, Progress], R], jobs: Mapping[int, J], watcher: Watcher
    ) -> Iterator[tuple[int, R | WorkerError]]:
        """Yield results as they come."""
        context = multiprocessing.get_context(_born["by"])
        assert isinstance(context, SpawnContext | ForkServerContext)
        waiting = iter(jobs.items())
        workers: list[_Worker] = []
        try:
            count = min(self._count, len(jobs))
            workers.extend(_Worker(context, *self._prepare) for _ in range(count))
            busy = [worker for worker in workers if worker.begin(work, next(waiting, None))]
            while busy:
                for ready in connection.wait([worker.connection for worker in busy]):
                    worker = next(w for w in busy if w.connection is ready)
                    name, *details = worker.receive()
                    if name != "ended":
                        getattr(watcher, name)(worker.number, *details)
                        continue
                    number, (result,) = worker.number, details
                    busy.remove(worker)
                    if not worker.alive:
                        worker = _Worker(context, *self._prepare)
                        workers.append(worker)
                    if worker.begin(work, next(waiting, None)):
                        busy.append(worker)
                    yield number, result
        finally:
            for worker in workers:
                worker.stop()


class _Worker:
    """The parent's view of a worker process."""

    def __init__(
        self,
        context: SpawnContext | ForkServerContext,
        prepare: Callable[..., None],
        arguments: tuple[Any, ...],
    ) -> None:
        self.connection, theirs = context.Pipe()
        self.number = -1
        self.alive = True
        self._process = context.Process(
            target=_serve, args=(theirs, dict(os.environ), prepare, arguments), daemon=True
        )
        # What forks are forked from is deaf already, and busy for seconds: Ctrl-C need not wait for it.
        spawned = isinstance(context, SpawnContext)
        try:
            with _deaf() if spawned else nullcontext():
                self._process.start()
        except EOFError as error:
            raise WorkerError("a worker process could not be started; run it again") from error
        except KeyboardInterrupt:  # nobody else knows of it yet
            if self._process.pid is not None:
                self._process.kill()
            raise
        theirs.close()  # so that the death of the worker ends the pipe

    def begin(self, work: Callable[[J, Progress], R], item: tuple[int, J] | None) -> bool:
        """Send a job; return whether there was one."""
        if item is None:
            return False
        self.number, job = item
        self.connection.send((work, job))
        return True

    def receive(self) -> tuple[Any, ...]:
        """Return the next event; the worker's death ends its job."""
        try:
            event: tuple[Any, ...] = self.connection.recv()
        except (EOFError, OSError):
            self.alive = False
            self._process.join()
            code = self._process.exitcode
            how = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
            return "ended", WorkerError(f"the worker process died ({how})")
        return event

    def stop(self) -> None:
        """End the process at once, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self.connection.close()


class _Told:
    """The progress of one run, told to a watcher."""

    def __init__(self, number: int, watcher: Watcher) -> None:
        self._number, self._watcher = number, watcher

    def step(self) -> None:
        self._watcher.steps(self._number, 1)

    def experience(self, learnt: int, of: int, row: Row) -> None:
        self._watcher.experience(self._number, learnt, of, row)

    def trained(self, episodes: int, of: int, accuracy: float | None) -> None:
        self._watcher.trained(self._number, episodes, of, accuracy)


class _Sent:
    """The progress of one run, sent to the parent; steps are sent together."""

    def __init__(self, to: connection.Connection) -> None:
        self._to, self._steps, self._last = to, 0, time.monotonic()

    def step(self) -> None:
        self._steps += 1
        if time.monotonic() - self._last > _EVERY:
            self._send_steps()

    def experience(self, learnt: int, of: int, row: Row) -> None:
        self._send_steps()
        self._to.send(("experience", learnt, of, row))

    def trained(self, episodes: int, of: int, accuracy: float | None) -> None:
        self._send_steps()
        self._to.send(("trained", episodes, of, accuracy))

    def _send_steps(self) -> None:
        self._to.send(("steps", self._steps))
        self._steps, self._last = 0, time.monotonic()


def _serve(
    parent: connection.Connection,
    environment: dict[str, str],
    prepare: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    """Do what the parent sends until it ends, in the parent's environment of today: a fork's may be of before."""
    interrupts.ignore()
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore", PluginWarning)  # the parent has said so
    import_torch()
    unprepared: WorkerError | None = None
    try:
        prepare(*arguments)
    except Exception as error:  # every job learns of it
        unprepared = WorkerError(_words(error))
    while True:
        try:
            work, job = parent.recv()
        except EOFError:
            return
        parent.send(("started",))
        try:
            result = unprepared or work(job, _Sent(parent))
        except Exception as error:  # it costs this job; the worker goes on
            result = WorkerError(_words(error))
        parent.send(("ended", result))


@contextmanager
def _deaf() -> Iterator[None]:
    """Start processes that do not hear Ctrl-C, as that is for the parent to handle; `_serve` goes on with it."""
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # started later, it would let signals through
    with interrupts.held_back():
        yield


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ClbenchError) else f"{type(error).__name__}: {error}"
