"""`run_together`: several seeds of one specification, their learners in step; each ends in the record it has alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from clbench.captured import capturable
from clbench.checkpoint import Checkpoint
from clbench.evaluator import Clock, Progress, sent
from clbench.experience import Experience
from clbench.gradient import GradientStrategy
from clbench.graphs import record_graph
from clbench.results import Record
from clbench.runner import Execution, Run
from clbench.scenario import Scenario
from clbench.seeds import global_state_of_a_run
from clbench.specification import Specification
from clbench.specify import scenario_class, strategy_class
from clbench.stream import Stream
from clbench.together import Together, alone_because


def one_by_one_because(specification: Specification) -> str | None:
    """Return why seeds of a specification can only run one after the other; None if they can run together."""
    scenario, _ = scenario_class(specification["scenario"]["name"])
    if not issubclass(scenario, Scenario):
        return "episodes are no stream to learn"
    if specification["protocol"]["precision"] != "float32":
        return "seeds learn together in float32 only"
    strategy, _ = strategy_class(specification["strategy"]["name"])
    return alone_because(strategy)


def run_together(
    specifications: Sequence[Specification],
    execution: Execution,
    progress: Sequence[Progress | None],
    checkpoints: Sequence[Checkpoint],
) -> list[Record]:
    """Run specifications that differ in their seed and return their records; a failure is a record, too.

    Args:
        specifications: Of which `one_by_one_because` says nothing.
        execution: Device, threads and data directory.
        progress: Of each run.
        checkpoints: Of each run.

    Raises:
        KeyboardInterrupt: The user interrupted; there are no records.
    """
    singly = replace(execution, capture=False)  # of a stack, the stack's steps are captured
    runs = [Run(s, singly, c, None) for s, c in zip(specifications, checkpoints, strict=True)]
    members = [_Member(run, told) for run, told in zip(runs, progress, strict=True)]
    threads_before = torch.get_num_threads()
    try:
        torch.set_num_threads(execution.threads)
        with global_state_of_a_run(specifications[0]["seed"]):
            _run(members, execution)
            return [member.run.ended(member.error, len(members)) for member in members]
    finally:
        torch.set_num_threads(threads_before)


class _Member:
    """One of the runs on its way."""

    strategy: GradientStrategy
    experience: Experience | None = None
    """What it is to learn next; None at its end."""
    error: BaseException | None = None

    def __init__(self, run: Run, progress: Progress | None) -> None:
        self.run, self._progress = run, progress

    def begin(self) -> None:
        """Go to the first experience."""
        with self._failing():
            self.run.resume()
            stream, strategy = self.run.begin()
            assert isinstance(stream, Stream)
            assert isinstance(strategy, GradientStrategy)
            self.strategy = strategy
            self._course = self.run.course(stream, strategy, self._progress)
            self.experience = next(self._course, None)

    def go_on(self, seconds: float, error: BaseException | None) -> None:
        """Evaluate what was learnt and go to the next experience, or fail by what learning raised."""
        self.experience = None
        with self._failing():
            if error is not None:
                raise error
            self.experience = sent(self._course, seconds)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Keep what is raised: it ends this run alone."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self.error = error


def _run(members: Sequence[_Member], execution: Execution) -> None:
    """Run to the end, whichever it is for each."""
    clock = Clock(torch.device(execution.device))
    for member in members:
        member.begin()
    strategies = [member.strategy for member in members if member.error is None]
    captured = execution.capture and all(map(capturable, strategies))
    together = Together(record_graph if captured else None)
    while learning := [member for member in members if member.experience is not None]:
        clock.lap()
        experiences = [m.experience for m in learning if m.experience is not None]
        errors = together.learn([m.strategy for m in learning], experiences)
        del experiences
        seconds = clock.lap() / len(learning)
        for member, error in zip(learning, errors, strict=True):
            member.go_on(seconds, error)
