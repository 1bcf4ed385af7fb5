"""The strategy contract: learn from one experience at a time, answer `predict`.

Most methods subclass `clbench.gradient.GradientStrategy`, which needs only a loss. A `Strategy` may do anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from clbench.base_split import Base
from clbench.episode_sampler import Episodes
from clbench.episode_stream import TrainingEpisodes
from clbench.errors import UsageError
from clbench.experience import Experience, StreamInfo
from clbench.memory import Memory
from clbench.parameters import NaturalInt, Parameters


class MemoryParameters(Parameters):
    """Hyper-parameters of a strategy with an exemplar memory."""

    memory_size: NaturalInt = Field(200, description="exemplars kept, of all classes together")
    memory_policy: Literal["reservoir", "balanced"] = Field(
        "balanced",
        description="reservoir: uniform over all samples; balanced: equal shares per class"
        " (per class and domain where labels are shared)",
    )


@dataclass
class Effort:
    """What learning has cost so far."""

    steps: int = 0
    """Optimiser steps."""
    samples_seen: int = 0
    """Samples in all training batches, replayed ones included."""


def _nothing() -> None:
    pass


class Strategy(ABC):
    """A continual learner.

    The evaluator calls `setup` once, `pretrain` where there is a base split, then `learn` for each experience, and
    `predict` before the first and after each, without gradient. A strategy never sees a test image outside `predict`
    and must not change in it.
    """

    Parameters: ClassVar[type[Parameters]] = Parameters
    """Its hyper-parameters; defaults are the paper's."""
    version: ClassVar[int] = 1
    """Raise it whenever a change alters numbers; it is part of the run's hash."""
    paper: ClassVar[str] = ""
    documentation: ClassVar[str] = ""
    """What `clbench show` prints of it; empty for the docstring of its module."""
    resumable: ClassVar[bool] = True
    """Whether its `state_dict` is all that a killed run needs to go on; one of another is begun again."""
    needs_boundaries: ClassVar[bool] = False
    """Whether it must know where an experience begins."""
    needs_base: ClassVar[bool] = False
    """Whether it can do nothing without a base split."""
    meta_trained: ClassVar[bool] = False
    """Whether it learns from training episodes; it then defines `meta_train` and `answer`."""
    needs_episodes: ClassVar[bool] = False
    """Whether it can do nothing without training episodes, as a learner for few-shot tasks alone."""
    test_only: ClassVar[frozenset[str]] = frozenset()
    """Hyper-parameters of a meta-learner that matter when it answers only; runs that differ in these share training."""
    quick: ClassVar[Mapping[str, Any]] = {}
    """Hyper-parameters with which it learns a few digits in seconds, where the defaults do not: for `clbench check`."""
    orders: ClassVar[int] = 1
    """In how many orders it can be shown its memory to predict; the sd over several is measured when all is learnt."""
    transductive: bool = False
    """Whether a prediction may depend on the other samples of its batch; marked in every table. A learner may set it
    from its hyper-parameters when it is made."""

    def __init__(self, parameters: Any) -> None:
        self.parameters = parameters
        self.effort = Effort()
        self.memory: Memory | None = None
        self.on_step: Callable[[], None] = _nothing
        """Call it after each step, for the progress display."""

    def skip_reason(self, info: StreamInfo) -> str | None:
        """Return why this strategy cannot learn such a stream, or None."""
        if self.needs_boundaries and not info.boundaries:
            return "needs boundaries, which this stream hides"
        if self.needs_base and not info.base_classes:
            return "needs a base split (base_classes), which this stream does not have"
        if self.needs_episodes and info.shots is None:
            return "needs training episodes, which this stream does not have"
        if info.in_sequence and type(self).present is Strategy.present:
            return "does not answer along a sequence, as protocol=presentations asks"
        if info.several_problems and type(self).begin_problem is Strategy.begin_problem:
            return "has no weights of its own for each of several problems (begin_problem)"
        return None

    def check(self, info: StreamInfo) -> None:  # noqa: B027 (most have nothing to refuse)
        """Refuse hyper-parameters that do not fit the stream, before anything runs.

        Raises:
            UsageError: Says which and what is allowed.
        """

    @abstractmethod
    def setup(self, info: StreamInfo) -> None:
        """Prepare for a stream: build networks and memory. Called once."""

    def pretrain(self, base: Base) -> None:  # noqa: B027 (some have nothing to learn from it)
        """Learn from the base split, whose classes never come back; called once, after `setup`.

        Steps and samples count. Nothing of it may be kept but what was learnt.
        """

    @abstractmethod
    def learn(self, experience: Experience) -> None:
        """Learn from one experience."""

    @abstractmethod
    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        """Return logits [N, C] for stored images [N, c, H, W]; the evaluator masks and takes the argmax.

        Args:
            x: Images at stored dtype; ``info.normalise(x)`` makes them float.
            task: [N] int64 where the scenario tells the task id, else None.
        """

    def reorder(self, order: int) -> None:
        """Be shown the memory in another of the seeded `orders` from now on; 0 is the usual one."""
        raise NotImplementedError

    def meta_train(self, episodes: TrainingEpisodes) -> None:  # noqa: B027 (most need none)
        """Learn from training episodes: a step for each of ``episodes.batches(…)``, called once after `setup`.

        Between two batches the framework may call `answer` (without a trace: not even a generator moves) and
        `state_dict`. A resumed run calls `load_state_dict` first, and the batches go on where they were.
        """

    def begin_problem(self, info: StreamInfo) -> None:
        """Prepare for the next of several problems of episodes, between one `meta_train` and another; set it aside.

        Afterwards `answer` is asked about every problem that was begun: ``episodes.info.problem`` says which.

        Args:
            info: Of the next problem; `setup` was given that of the first.
        """
        raise NotImplementedError

    def answer(self, episodes: Episodes) -> Tensor:
        """Return logits [E, Q, N] for the queries of each episode, from its support set.

        By default an episode is a stream of one experience: a fresh learner, set up by the same seeds, learns the
        support set and predicts the queries. Gradients are enabled, since adapting may need them. An episode's logits
        depend on no other episode and, unless `transductive`, on no other query.
        """
        return torch.stack([self._learn_alone(episodes, index) for index in range(len(episodes))])

    def present(self, episodes: Episodes) -> Tensor:
        """Return logits [E, S, N] for the samples of each episode's sequence, ``support``, in their order.

        The answer to a sample may depend on it, on the samples before it and on their labels, on nothing else. Only a
        strategy that defines this can run ``protocol=presentations``.
        """
        raise NotImplementedError

    def _learn_alone(self, episodes: Episodes, index: int) -> Tensor:
        learner = type(self)(self.parameters)
        learner.effort, learner.on_step = self.effort, self.on_step
        learner.setup(episodes.info)
        learner.learn(episodes.experience(index))
        with torch.no_grad():
            return learner.predict(episodes.query[index], None)

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return all that must survive between experiences: nested dicts of tensors and plain values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, after `setup`."""

    def first_bad_step(self) -> Tensor | None:
        """Return the first step of the last `learn` with a non-finite loss, −1 if none, on the device."""
        return None

    def trained_keys(self) -> tuple[str, ...]:
        """Return the keys of `state_dict` that hold current parameters, optimiser and generators."""
        return ("network", "optimizer", "generator", "masks")

    def memory_bytes(self) -> int:
        """Return the bytes that survive between experiences beyond `trained_keys`."""
        kept = {k: v for k, v in self.state_dict().items() if k not in self.trained_keys()}
        return sum(t.numel() * t.element_size() for t in tensors_in(kept))

    def working_bytes(self) -> int:
        """Return the bytes rebuilt from the memory in order to predict."""
        return 0

    def parameter_count(self) -> int:
        """Return the number of trainable parameters."""
        return 0

    def needs_exemplars(self, info: StreamInfo) -> None:
        """Refuse a memory without room for one exemplar per class; for `check`.

        Raises:
            UsageError: Names the least size.
        """
        if self.parameters.memory_size < info.classes:
            raise UsageError(
                f"memory_size={self.parameters.memory_size} is too small for one exemplar of each"
                f" of the {info.classes} classes; at least {info.classes} is allowed"
            )


def tensors_in(state: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested dicts, lists and tuples."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from tensors_in(value)
    elif isinstance(state, (list, tuple)):
        for value in state:
            yield from tensors_in(value)
