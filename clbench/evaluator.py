"""The evaluator: owns the loop over experiences and every evaluation, on whatever device it is given."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from clbench.base_split import base_of
from clbench.blame import defined_at
from clbench.counts import steps_of
from clbench.errors import ClbenchError
from clbench.experience import Experience
from clbench.scoring import BadStep, Row, fill_row, over_orders, score
from clbench.strategy import Strategy
from clbench.stream import Stream


class Progress(Protocol):
    """Whoever wants to show how far a run is."""

    def step(self) -> None:
        """A training step was taken."""

    def experience(self, learnt: int, of: int, row: Row) -> None:
        """A row of the matrix is filled."""

    def trained(self, episodes: int, of: int, accuracy: float | None) -> None:
        """So many training episodes were learnt from; accuracy on validation episodes where there are any."""


class Silent:
    """Shows nothing."""

    def step(self) -> None:
        """Do nothing."""

    def experience(self, learnt: int, of: int, row: Row) -> None:
        """Do nothing."""

    def trained(self, episodes: int, of: int, accuracy: float | None) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Anytime:
    """Evaluation while an experience is being learnt."""

    every: int
    """Steps between two points."""
    samples: int | None = None
    """Test samples of each task, always the same ones; None takes all."""


@dataclass
class Outcome:
    """What an evaluation leaves: the matrix, the points of an any-time evaluation, and the time it took."""

    matrix: list[Row] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    """See `clbench.anytime`."""
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    training: dict[str, Any] | None = None
    """How far meta-training was at the last checkpoint, as `clbench.episode_stream.TrainingEpisodes` says."""
    meta_trained: bool = False
    """Whether meta-training has ended."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    """Learning curve of a meta-learner: accuracy on validation episodes after so many training episodes."""
    best: dict[str, Any] | None = None
    """State of the strategy at the best point of the learning curve, where that is to be kept."""
    spread: dict[str, float | None] = field(default_factory=dict)
    """Of test episodes ``ci95``, half a 95 % t interval, and their number ``episodes``. Of a stream ``order_sd``, that
    of the average accuracy over the orders in which a memory is shown, and their number ``orders``."""
    by_presentation: list[float] = field(default_factory=list)
    """Of episodes that are sequences: accuracy on the first, second … sample of a class."""


Course = Generator[Experience, float, None]
"""Yields each experience that is to be learnt, and is sent how many seconds that took."""


def _nothing() -> None:
    pass


def run_stream(
    stream: Stream,
    strategy: Strategy,
    outcome: Outcome,
    progress: Progress | None = None,
    after_row: Callable[[], None] = _nothing,
    anytime: Anytime | None = None,
) -> None:
    """Let the strategy learn the stream and fill the matrix, row by row; see `course`."""
    lessons = course(stream, strategy, outcome, progress, after_row, anytime)
    learn_each(strategy, lessons, stream.info.device)


def learn_each(strategy: Strategy, lessons: Course, device: torch.device) -> None:
    """Let the strategy learn what a course yields, to its end."""
    clock = Clock(device)
    experience = next(lessons, None)
    while experience is not None:
        clock.lap()
        strategy.learn(experience)
        del experience  # its samples are gone before the next is gathered
        experience = sent(lessons, clock.lap())


def course(
    stream: Stream,
    strategy: Strategy,
    outcome: Outcome,
    progress: Progress | None = None,
    after_row: Callable[[], None] = _nothing,
    anytime: Anytime | None = None,
) -> Course:
    """Fill the matrix, row by row, and yield each experience for the strategy to learn.

    Args:
        stream: The experiences and test sets.
        strategy: Set up for ``stream.info`` already, and restored if the outcome has rows; else it gets the base
            split first, where there is one.
        outcome: Filled as the run goes on, so that a failed run keeps its rows; the rows it has are not repeated.
        progress: Told of every step and row.
        after_row: Called when a row is filled and more follow, off the clock.
        anytime: Evaluate while learning, too.

    Raises:
        NonFiniteLossError: A loss became NaN or infinite; found at the end of its experience.
        ClbenchError: Predictions are NaN or infinite.
    """
    progress = progress or Silent()
    clock = Clock(stream.info.device)
    watch = _Watch(stream, strategy, anytime, progress, clock) if anytime else None
    bad_steps: list[BadStep] = []
    if stream.info.base_classes and not outcome.matrix:
        strategy.on_step = progress.step
        bad_steps = _pretrain(stream, strategy)
        outcome.train_seconds += clock.lap()
    strategy.on_step = watch.step if watch else progress.step
    for learnt in range(len(outcome.matrix), len(stream) + 1):
        if learnt:
            if watch:
                watch.begin(learnt)
            seconds, bad_steps = yield from _lessons(stream, strategy, learnt - 1)
            spent = watch.spent() if watch else 0.0
            outcome.train_seconds += seconds - spent
            outcome.eval_seconds += spent
            clock.lap()
        row = fill_row(stream, strategy, learnt, bad_steps)
        outcome.matrix.append(row)
        if watch and learnt:
            outcome.trace += watch.end()
        outcome.eval_seconds += clock.lap()
        progress.experience(learnt, len(stream), row)
        if learnt < len(stream):
            after_row()
            clock.lap()
    if strategy.orders > 1:
        outcome.spread = over_orders(stream, strategy)
        outcome.eval_seconds += clock.lap()


def sent(lessons: Course, seconds: float) -> Experience | None:
    """Say how long learning took; return the next experience, None at the end."""
    try:
        return lessons.send(seconds)
    except StopIteration:
        return None


def _pretrain(stream: Stream, strategy: Strategy) -> list[BadStep]:
    """Let the strategy learn from the base split."""
    base = base_of(stream)
    assert base is not None
    strategy.pretrain(base)
    step = strategy.first_bad_step()
    return [] if step is None else [(0, step)]


def _lessons(
    stream: Stream, strategy: Strategy, index: int
) -> Generator[Experience, float, tuple[float, list[BadStep]]]:
    """Yield an experience in the pieces in which it is delivered; return how long they took and their bad steps."""
    begun, seconds = steps_of(strategy), 0.0
    bad_steps = []
    for experience in stream.deliver(index):
        before = steps_of(strategy) - begun
        seconds += yield experience
        step = strategy.first_bad_step()
        if step is not None:
            bad_steps.append((before, step))
    return seconds, bad_steps


class Clock:
    """Lap times that wait for the device's queue where it has one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        now = self.now()
        seconds, self._last = now - self._last, now
        return seconds

    def now(self) -> float:
        """Return the time when the queue is empty."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class _Watch:
    """Evaluates while a strategy learns; reads the points at the end of an experience, with one synchronisation."""

    def __init__(
        self, stream: Stream, strategy: Strategy, plan: Anytime, progress: Progress, clock: Clock
    ) -> None:
        self._stream, self._strategy, self._plan = stream, strategy, plan
        self._progress, self._clock = progress, clock
        self._seconds = 0.0

    def begin(self, learnt: int) -> None:
        """Prepare for experience ``learnt``, counted from 1."""
        self._learnt = learnt
        self._begun = self._strategy.effort.steps
        self._test = self._stream.sampled_test_set(learnt, self._plan.samples)
        self._masks = self._stream.test_masks(learnt)
        self._points: dict[int, tuple[Tensor, Tensor]] = {}

    def step(self) -> None:
        """Count a step; evaluate if it is time."""
        self._progress.step()
        if (self._strategy.effort.steps - self._begun) % self._plan.every == 0:
            before = self._clock.now()
            self._evaluate()
            self._seconds += self._clock.now() - before

    def spent(self) -> float:
        """Return the seconds that points have taken since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def end(self) -> list[dict[str, Any]]:
        """Return the experience's points, one at its end among them."""
        self._evaluate()
        of, tasks = self._test.task.bincount(minlength=len(self._stream)), range(self._learnt)
        points = [torch.cat([hits, nan]) for hits, nan in self._points.values()]
        counts, *rows = torch.stack([torch.cat([of, of[:1]]), *points]).tolist()
        if any(row[-1] for row in rows):
            where = defined_at(self._strategy.predict)
            raise ClbenchError(
                f"predictions became NaN or infinite in experience {self._learnt - 1}{where}"
            )
        return [
            {
                "experience": self._learnt,
                "step": step,
                "accuracy": [row[j] / counts[j] for j in tasks],
            }
            for step, row in zip(self._points, rows, strict=True)
        ]

    @torch.no_grad()
    def _evaluate(self) -> None:
        step = self._strategy.effort.steps - self._begun
        before = self._learnt - 1  # what is being learnt is not learnt yet
        self._points[step] = score(self._stream, self._strategy, self._test, self._masks, before)
