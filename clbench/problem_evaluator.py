"""The evaluator of two problems of episodes: what does learning the second do to answers to the first?

The matrix has a row after each problem and a column for each; after the first, the second is asked with the weights
that its training begins with. The trace is stored as an any-time evaluation (`clbench.anytime`) whose steps are
training episodes: a point after the first problem, and points before, while and after the second is learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from clbench.episode_evaluator import MetaTraining, ask, meta_train
from clbench.evaluator import Clock, Outcome, Progress, Silent
from clbench.problem_stream import ProblemStream
from clbench.strategy import Strategy


def run_problems(
    stream: ProblemStream,
    strategy: Strategy,
    outcome: Outcome,
    progress: Progress | None = None,
    save: Callable[[], None] = lambda: None,
) -> None:
    """Let the strategy learn both problems, and fill matrix and trace.

    Args:
        stream: The problems.
        strategy: Set up for ``stream.info`` already, and restored if the outcome has begun.
        outcome: Filled as the run goes on; it goes on where that says, in either problem.
        progress: Told of every step, probe and row.
        save: Called every two minutes of meta-training and at the end of a problem's, off the clock.

    Raises:
        NonFiniteLossError: A loss became NaN or infinite; found at the next probe.
        ClbenchError: Answers are NaN or of a wrong shape.
    """
    progress = progress or Silent()
    if not outcome.matrix[1:]:
        meta_train(stream, strategy, outcome, progress, save)
        _begin_second(stream, strategy, outcome, progress)
        save()
    strategy.on_step = progress.step
    if not outcome.meta_trained:
        _Second(stream, strategy, outcome, progress, save).run()
    row = outcome.trace[-1]["accuracy"]
    outcome.matrix.append(row)
    progress.experience(2, 2, row)


def _begin_second(
    stream: ProblemStream, strategy: Strategy, outcome: Outcome, progress: Progress
) -> None:
    clock = Clock(stream.info.device)
    strategy.begin_problem(stream.second.info)
    row = _accuracies(stream, strategy)
    first = {"experience": 1, "step": stream.options.episodes, "accuracy": row[:1]}
    outcome.trace = [first, {"experience": 2, "step": 0, "accuracy": row}]
    outcome.matrix = [[None, None], [*row]]
    outcome.training, outcome.meta_trained, outcome.best = None, False, None
    outcome.eval_seconds += clock.lap()
    progress.experience(1, 2, outcome.matrix[1])


def _accuracies(stream: ProblemStream, strategy: Strategy) -> list[float]:
    """Return the mean accuracy on the test episodes of each problem, always the same ones."""
    return [fmean(ask(strategy, problem.test_episodes())) for problem in (stream, stream.second)]


class _Second(MetaTraining):
    """Training on the second problem, with a test on both at every probe."""

    def __init__(
        self,
        stream: ProblemStream,
        strategy: Strategy,
        outcome: Outcome,
        progress: Progress,
        save: Callable[[], None],
    ) -> None:
        super().__init__(stream.second, strategy, outcome, progress, save, stream.probe_every)
        self._both = stream

    def add_point(self) -> None:
        """Add a point to the trace."""
        row = _accuracies(self._both, self._strategy)
        self._outcome.trace.append({"experience": 2, "step": self._episodes.drawn, "accuracy": row})
        self._progress.experience(1, 2, [*row])
