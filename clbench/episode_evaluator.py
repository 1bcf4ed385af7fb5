"""The evaluator of a plan of episodes: lets a strategy meta-train, and asks it the test episodes.

A plan of episodes is a stream of one task: the matrix is [[null], [mean accuracy over the test episodes]].
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from statistics import fmean
from weakref import WeakMethod

import torch
from torch import Tensor
from torch.nn import functional

from clbench.blame import defined_at
from clbench.episode_sampler import EpisodeBatch, Episodes
from clbench.episode_stream import EpisodeStream
from clbench.errors import ClbenchError, NonFiniteLossError
from clbench.evaluator import Clock, Outcome, Progress, Silent
from clbench.logits import check_logits
from clbench.meta_training import meta_shape
from clbench.statistics import mean_interval
from clbench.strategy import Strategy

SAVE_EVERY = 120.0
"""Seconds of meta-training between two checkpoints."""


def _nothing() -> None:
    pass


def _call(method: WeakMethod[Callable[[], None]]) -> None:
    living = method()
    if living is not None:
        living()


def run_episodes(
    stream: EpisodeStream,
    strategy: Strategy,
    outcome: Outcome,
    progress: Progress | None = None,
    save: Callable[[], None] = _nothing,
) -> None:
    """Let the strategy meta-train, if it does, and fill the matrix.

    Args:
        stream: The episodes.
        strategy: Set up for ``stream.info`` already, and restored if meta-training has begun.
        outcome: Filled as the run goes on; meta-training goes on where it says.
        progress: Told of every step, point of the learning curve and the result.
        save: Called every two minutes of meta-training and at its end, off the clock.

    Raises:
        NonFiniteLossError: A loss became NaN or infinite; found at the next point of the learning curve.
        ClbenchError: Answers are NaN or of a wrong shape.
    """
    progress = progress or Silent()
    outcome.matrix = [[None]]
    if strategy.meta_trained:
        meta_train(stream, strategy, outcome, progress, save)
    strategy.on_step = progress.step
    clock = Clock(stream.info.device)
    asked = _asked(strategy, stream.test_episodes())
    accuracies = [fmean(episode) for episode in asked]
    accuracy = fmean(accuracies)
    outcome.matrix.append([accuracy])
    if stream.info.in_sequence:
        outcome.by_presentation = [fmean(column) for column in zip(*asked, strict=True)]
    outcome.spread = {"ci95": mean_interval(accuracies)[1], "episodes": len(accuracies)}
    outcome.eval_seconds += clock.lap()
    progress.experience(1, 1, [accuracy])


def meta_train(
    stream: EpisodeStream,
    strategy: Strategy,
    outcome: Outcome,
    progress: Progress | None = None,
    save: Callable[[], None] = _nothing,
) -> None:
    """Let the strategy meta-train, unless it is trained, and go to the state to be tested; see `run_episodes`."""
    progress = progress or Silent()
    outcome.matrix = [[None]]
    strategy.on_step = progress.step
    if not outcome.meta_trained:
        MetaTraining(stream, strategy, outcome, progress, save).run()
    if outcome.best is not None:
        strategy.load_state_dict(outcome.best)


def ask(strategy: Strategy, batches: Iterable[EpisodeBatch]) -> list[float]:
    """Return the accuracy of every episode, with one synchronisation."""
    return [fmean(accuracies) for accuracies in _asked(strategy, batches)]


def _asked(strategy: Strategy, batches: Iterable[EpisodeBatch]) -> list[list[float]]:
    """Return each episode's accuracy, of sequences that on each presentation of a class; with one synchronisation."""
    hits: list[Tensor] = []
    broken: list[Tensor] = []
    of = 1
    for batch in batches:
        in_sequence = batch.episodes.info.in_sequence
        targets = batch.episodes.labels if in_sequence else batch.targets
        logits = _answers(strategy, batch.episodes, targets)
        hit = logits.argmax(2) == targets
        hits.append(_by_presentation(hit, targets) if in_sequence else hit.sum(1, keepdim=True))
        broken.append(logits.isnan().any().long().view(1))
        of = batch.episodes.info.classes if in_sequence else targets.shape[1]
    counts, nan = torch.cat(hits), torch.cat(broken).sum().expand(1)
    *flat, bad = torch.cat([counts.flatten(), nan]).tolist()
    if bad:
        raise ClbenchError(f"answers to episodes became NaN{defined_at(strategy.answer)}")
    each = counts.shape[1]
    return [[c / of for c in flat[at : at + each]] for at in range(0, len(flat), each)]


def _answers(strategy: Strategy, episodes: Episodes, targets: Tensor) -> Tensor:
    """Return a strategy's logits, of the right shape."""
    method = strategy.present if episodes.info.in_sequence else strategy.answer
    logits = method(episodes)
    shape = (*targets.shape, episodes.info.classes)
    check_logits(logits, method, shape, "[E, Q, N]", targets.device)
    return logits.detach()


def _by_presentation(hit: Tensor, labels: Tensor) -> Tensor:
    """Return how many classes of each episode were named right at their first, second … presentation, [E, P].

    Args:
        hit: [E, S] bool, along the sequences.
        labels: [E, S], each class as often as the others.
    """
    seen = functional.one_hot(labels).cumsum(1)
    nth = seen.gather(2, labels[:, :, None]).squeeze(2) - 1
    counts = torch.zeros(len(hit), hit.shape[1] // seen.shape[2], dtype=torch.long)
    return counts.to(hit.device).scatter_add(1, nth, hit.long())


class MetaTraining:
    """Meta-training with its learning curve and its checkpoints.

    Args:
        stream: The episodes.
        strategy: The meta-learner.
        outcome: Goes on where it says.
        progress: Told of every point.
        save: Writes a checkpoint.
        every: Episodes between two points; None as the options say.
    """

    def __init__(
        self,
        stream: EpisodeStream,
        strategy: Strategy,
        outcome: Outcome,
        progress: Progress,
        save: Callable[[], None],
        every: int | None = None,
    ) -> None:
        self._stream, self._strategy, self._outcome = stream, strategy, outcome
        self._progress, self._save = progress, save
        self._clock = Clock(stream.info.device)
        self._episodes = stream.training(**meta_shape(strategy))
        if outcome.training is not None:
            self._episodes.load_state_dict(outcome.training)
        between = WeakMethod(self._between)  # no test image hangs on what a strategy is given
        self._episodes.between = lambda: _call(between)
        self._every = every or -(-stream.options.episodes // stream.options.curve)
        self._next = self._after(self._episodes.drawn)
        self._steps = strategy.effort.steps
        self._saved = time.monotonic()

    def run(self) -> None:
        """Let the strategy learn from all episodes that are left."""
        self._strategy.meta_train(self._episodes)
        self._pause()
        self._check_losses()
        self._outcome.meta_trained = True
        self._write()

    def _between(self) -> None:
        """Look, between two batches, whether it is time for a point of the curve or a checkpoint."""
        drawn = self._episodes.drawn
        if drawn >= min(self._next, self._episodes.length):
            self._pause()
            self._next = self._after(drawn)
            self._check_losses()
            self.add_point()
            self._outcome.eval_seconds += self._clock.lap()
        if time.monotonic() - self._saved >= SAVE_EVERY:
            self._pause()
            self._write()

    def _pause(self) -> None:
        self._outcome.train_seconds += self._clock.lap()

    def _after(self, drawn: int) -> int:
        return (drawn // self._every + 1) * self._every if self._every else 0

    def add_point(self) -> None:
        """Add a point to the learning curve, where there are validation classes."""
        if not len(self._stream.plan.validation):
            self._progress.trained(self._episodes.drawn, self._episodes.length, None)
            return
        accuracies = ask(self._strategy, self._stream.curve_episodes())
        accuracy = fmean(accuracies)
        before = [point["accuracy"] for point in self._outcome.curve]
        if self._stream.options.keep == "best" and accuracy > max(before, default=-1.0):
            self._outcome.best = deepcopy(self._strategy.state_dict())
        self._outcome.curve.append(
            {
                "episodes": self._episodes.drawn,
                "train_seconds": round(self._outcome.train_seconds, 4),
                "accuracy": accuracy,
            }
        )
        self._progress.trained(self._episodes.drawn, self._episodes.length, accuracy)

    def _check_losses(self) -> None:
        step = self._strategy.first_bad_step()
        if step is not None and int(step) >= 0:
            raise NonFiniteLossError(
                experience=len(self._outcome.matrix) - 1, step=self._steps + int(step)
            )

    def _write(self) -> None:
        self._outcome.training = self._episodes.state_dict()
        self._save()
        self._saved = time.monotonic()
        self._clock.lap()
