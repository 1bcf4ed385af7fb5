"""`make_stream` and `evaluate`: one learner on one stream, nothing stored; to debug a method at a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from clbench import metrics
from clbench.api import DatasetLike, ScenarioLike, StrategyLike, plain, refresh
from clbench.blame import is_users
from clbench.contract import reason_against
from clbench.episode_evaluator import run_episodes
from clbench.episode_stream import EpisodeStream
from clbench.errors import UsageError
from clbench.evaluator import Outcome, run_stream
from clbench.precision import choose_precision
from clbench.problem_evaluator import run_problems
from clbench.problem_stream import ProblemStream
from clbench.runner import choose_device
from clbench.scoring import Row
from clbench.seeds import Seeds, global_state_of_a_run
from clbench.session import name_of
from clbench.specify import build_stream, dataset_of, scenario_class, strategy_class
from clbench.strategy import Effort, Strategy
from clbench.stream import Stream
from clbench.words import percent, spaced


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What a learner reached on a stream."""

    matrix: list[Row]
    """[T+1][T] test accuracy on each task, before the first experience and after each; None is not defined."""
    metrics: dict[str, float | None]
    """By name, as `clbench list metrics` defines them."""
    strategy: Strategy
    """The learner, as it was at the end."""
    outcome: Outcome
    """Seconds, learning curve and more, as far as there are any."""

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The matrix: a row before and after each experience, a column per task from 1; NaN is not defined."""
        names = ["before", *(f"after {row}" for row in range(1, len(self.matrix)))]
        columns = range(1, len(self.matrix[0]) + 1)
        return pd.DataFrame(self.matrix, names, columns, dtype=float)

    def __str__(self) -> str:
        matrix = self.frame.mul(100).to_string(float_format="%.2f", na_rep="–")
        known = {name: value for name, value in self.metrics.items() if value is not None}
        lines = [
            f"{spaced(name)}: {percent(known[name])}" for name in metrics.METRICS if name in known
        ]
        return "\n".join(["Accuracy matrix and metrics, in %:", matrix, *lines])

    __repr__ = __str__


def make_stream(
    scenario: ScenarioLike,
    dataset: DatasetLike = "digits",
    *,
    seed: int = 0,
    device: str = "auto",
    precision: str = "float32",
    data_dir: str | Path | None = None,
    **options: Any,
) -> Stream | EpisodeStream:
    """Return the stream that a run with this seed would have; for `evaluate` and `clbench.to_avalanche`.

    Args:
        scenario: A name or a class.
        dataset: A name or a class.
        seed: Order, initialisation, training and memory seed.
        device: Where the images lie.
        precision: Of forward passes, ``float32`` or ``bf16``.
        data_dir: Data folder; None is the usual one.
        **options: Of the scenario, as ``experiences=5``.

    Raises:
        UsageError: A name, option or value is wrong.
        DataError: The dataset is missing or damaged.
    """
    refresh()
    name = name_of("scenarios", scenario)
    kind, _ = scenario_class(name)
    chosen = kind.Options.parse(plain(options), f"scenario {name!r}")
    folder = None if data_dir is None else Path(data_dir).expanduser()
    data = dataset_of(name_of("datasets", dataset), folder)
    seeds, place = Seeds.of(seed), choose_device(device)
    return build_stream(kind, chosen, data, name, seeds, place, folder, choose_precision(precision))


def evaluate(
    strategy: StrategyLike | Strategy,
    stream: Stream | EpisodeStream,
    *,
    hyper_parameters: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> Evaluation:
    """Let a learner learn a stream and return its accuracy matrix and metrics, the same bits as those of `clbench.run`.

    Nothing is stored, and an error of the learner is raised as it is.

    Args:
        strategy: A name, a class, or a learner made of one, ``Mine(Mine.Parameters(lr=0.1))``, that has learnt nothing.
        stream: From `make_stream` or `clbench.from_avalanche`.
        hyper_parameters: Of a name or a class.
        threads: CPU threads.

    Raises:
        UsageError: A name or value is wrong, or the learner cannot learn such a stream.
        NonFiniteLossError: A loss became NaN or infinite.
    """
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with global_state_of_a_run(stream.info.seeds.train):
            learner = _learner(strategy, hyper_parameters)
            reason = reason_against(learner, stream.info)
            if reason is not None:
                raise UsageError(f"{type(learner).__name__} cannot learn this stream: {reason}")
            learner.check(stream.info)
            learner.setup(stream.info)
            outcome = _learnt(stream, learner)
    finally:
        torch.set_num_threads(threads_before)
    values = metrics.compute_all(outcome.matrix) | outcome.spread
    return Evaluation(outcome.matrix, values, learner, outcome)


def _learnt(stream: Stream | EpisodeStream, learner: Strategy) -> Outcome:
    """Let the learner learn a stream of whatever kind."""
    outcome = Outcome()
    if isinstance(stream, ProblemStream):
        run_problems(stream, learner, outcome)
    elif isinstance(stream, EpisodeStream):
        run_episodes(stream, learner, outcome)
    else:
        run_stream(stream, learner, outcome)
    return outcome


def _learner(
    strategy: StrategyLike | Strategy, hyper_parameters: Mapping[str, Any] | None
) -> Strategy:
    is_users(strategy)
    if isinstance(strategy, Strategy):
        if hyper_parameters is not None:
            raise UsageError("hyper_parameters are of a name or a class; a learner has its own")
        if strategy.memory is not None or strategy.effort != Effort():
            raise UsageError("this learner has learnt already; make a new one")
        return strategy
    kind = strategy
    if isinstance(kind, str):
        refresh()
        kind, _ = strategy_class(kind)
    hyper = kind.Parameters.parse(plain(hyper_parameters or {}), f"strategy {kind.__name__!r}")
    return kind(hyper)
