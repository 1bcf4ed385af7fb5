"""Reptile: adapt φ to a task by k gradient steps, then move it towards where they led.

Nichol, Achiam & Schulman 2018, "On First-Order Meta-Learning Algorithms" (arXiv 1803.02999), Algorithms 1 and 2:

    φ̃ ← U(φ): k steps of inner Adam (β₁ = 0) or SGD on mini-batches of a task
    φ ← φ + ε · mean over tasks of (φ̃ − φ)

On episodes a copy of φ is adapted to the support set to answer. On a stream a task is mini-batches from the current
samples and the memory; φ answers, or a copy adapted on exemplars. What the paper leaves open: docs/reptile.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.episode_sampler import Episodes
from clbench.episode_stream import TrainingEpisodes
from clbench.errors import UsageError
from clbench.experience import Experience, StreamInfo
from clbench.flat import flatten
from clbench.gradient import Batch, GradientParameters, GradientStrategy
from clbench.inner_loop import InnerOptimizer, mini_batches
from clbench.meta_training import MetaTrainingParameters
from clbench.networks import StridedConv4
from clbench.parameters import NaturalInt, PositiveFloat, PositiveInt
from clbench.seeds import initialised_by, torch_generator
from clbench.strategy import MemoryParameters

Several = Annotated[int, Field(ge=2)]  # one sample has no batch statistics


class ReptileParameters(MemoryParameters, MetaTrainingParameters, GradientParameters):
    """Hyper-parameters of Reptile."""

    on_streams: ClassVar = frozenset(
        {"memory_size", "memory_policy", "batch_size", "epochs", "replay_batch_size"}
    )
    on_episodes: ClassVar = frozenset(
        {"inner_batch", "meta_batch", "meta_ways", "meta_shots", "meta_queries", "transductive"}
    )

    network: Literal["auto", "mlp", "conv4"] = Field(
        "auto",
        description="auto takes the paper's network for episodes, four strided convolutions with"
        " batch statistics; on a stream mlp for grey images up to 32 pixels, else conv4",
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="of the inner loop; adam is without momentum (β₁ = 0), its state lasts"
    )
    lr: PositiveFloat = Field(0.001, description="learning rate of the inner loop")
    inner_steps: PositiveInt = Field(5, description="k, mini-batches of a training task")
    meta_step: PositiveFloat | None = Field(
        None,
        description="ε; none takes 1 on episodes and 0.7 on a stream. On episodes it falls"
        " linearly to 0 over the training length",
    )
    inner_batch: Several = Field(10, description="on episodes: samples of an inner step")
    meta_batch: PositiveInt = Field(5, description="on episodes: tasks of a meta-step")
    meta_shots: PositiveInt | None = Field(
        10, description="samples of each class in a meta-training task; none: as at test"
    )
    meta_queries: Literal[0] = Field(0, description="a meta-training task has no query")
    batch_size: PositiveInt = Field(
        32, description="on a stream: current samples of an inner step; an online stream's instead"
    )
    epochs: PositiveInt = Field(10, description="passes over an experience; 1 if online")
    replay_batch_size: PositiveInt | None = Field(
        None, description="exemplars of an inner step; none takes as many as current samples"
    )
    adapt_steps: NaturalInt | None = Field(
        None,
        description="inner steps from φ before answering; none takes 50 on episodes (on the support"
        " set) and 0 on a stream (on the exemplars)",
    )
    adapt_batch: Several = Field(5, description="samples of each of these steps")
    transductive: bool = Field(
        False,
        description="on episodes: batch statistics are those of all queries together; false: of the"
        " support set and one query",
    )


class Reptile(GradientStrategy):
    """Keeps φ in ``network``; the inner loop moves φ̃, the weights of its twin ``adapted``."""

    Parameters: ClassVar[type[ReptileParameters]] = ReptileParameters
    paper = "Nichol et al. 2018, arXiv 1803.02999"
    meta_trained = True
    test_only = frozenset({"transductive", "adapt_steps", "adapt_batch"})

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)
        self.transductive = parameters.transductive

    # The algorithm.

    def meta_step(self, tasks: Sequence[Iterable[Batch]], size: float) -> Iterator[Batch]:
        """φ ← φ + ε · mean over tasks of (φ̃ − φ); yields the mini-batches, on each of which φ̃ takes a step."""
        reached = torch.zeros_like(self.phi)
        for task in tasks:
            self.weights.copy_(self.phi)
            yield from task
            reached += self.weights
        self.phi.lerp_(reached / len(tasks), size)
        self._answering.clear()

    @property
    def stepped(self) -> nn.Module:
        """The network of φ̃."""
        return self.adapted

    def adapt(self, batch: Batch) -> None:
        """Take a step of φ̃ that is no training, and counts nowhere."""
        with torch.enable_grad():
            loss = self.loss(self.adapted, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let φ̃ start from φ, for something that leaves no trace: neither in φ̃ nor in the second moments."""
        weights, optimizer = self.weights.clone(), deepcopy(self.optimizer.state_dict())
        self.weights.copy_(self.phi)
        try:
            yield
        finally:
            self.weights.copy_(weights)
            self.optimizer.load_state_dict(optimizer)

    # What both kinds of scenario need.

    def check(self, info: StreamInfo) -> None:
        """Refuse what does not fit: more ways than units; on a stream, what only episodes have."""
        p, units = self.parameters, self._units(info)
        if info.classes > units:
            raise UsageError(
                f"ways={info.classes} is more than the network's {units} units (meta_ways={units})"
            )
        if info.shots is None and p.adapt_steps and not p.memory_size:
            raise UsageError(
                f"adapt_steps={p.adapt_steps} needs exemplars to adapt on, and memory_size=0 keeps"
                " none; 0 is allowed"
            )

    def build(self, info: StreamInfo) -> nn.Module:
        """Return a freshly initialised network."""
        p = self.parameters
        if info.shots is None or p.network != "auto":
            return super().build(replace(info, classes=self._units(info)))
        with initialised_by(info.seeds.init):
            network = StridedConv4(info.shape, p.hidden[0], self._units(info))
        return network.to(info.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def restart(self) -> None:
        """Start from a fresh φ, and second moments of zero."""
        p = self.parameters
        self.network = self.build(self.info)
        self.adapted = deepcopy(self.network)
        self.phi, _ = flatten(self.network)
        self.flat = self.weights, gradients = flatten(self.adapted)
        self.optimizer = InnerOptimizer(  # type: ignore[assignment]
            self.weights, gradients, p.lr, adam=p.optimizer == "adam"
        )
        self._answering = dict[int, Tensor]()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore; copies adapted before are out of date."""
        super().load_state_dict(state)
        self._answering.clear()

    def working_bytes(self) -> int:
        """Return the bytes of the copies adapted to predict."""
        return sum(t.numel() * t.element_size() for t in self._answering.values())

    # On a stream.

    def schedule(self, samples: int) -> Iterator[Tensor]:
        """Yield the rows of each task: k mini-batches of a shuffled pass, or a batch of an online stream."""
        p = self.parameters
        if self.info.online:
            yield from super().schedule(samples)
        else:
            yield from self.shuffled(samples, p.epochs, p.inner_steps * p.batch_size)

    def draw(self, current: Experience, rows: Tensor) -> list[Batch]:
        """Return a task's mini-batches: current samples, joined by exemplars once there are any.

        Online, each of the k mini-batches has all samples of the incoming batch, and exemplars of its own.
        """
        p = self.parameters
        parts = [rows] * p.inner_steps if self.info.online else torch.split(rows, p.batch_size)
        return [self._joined(super(Reptile, self).draw(current, part)) for part in parts]

    def training(self, samples: Experience, offer: bool = False) -> Iterator[Batch]:
        """Yield the mini-batches of one meta-step after the other."""
        for task in super().training(samples, offer):
            yield from self.meta_step([task], self.parameters.meta_step or 0.7)

    def lessons(self, experience: Experience) -> Iterator[Batch]:
        """Train on the experience; copies adapted before are out of date."""
        yield from super().lessons(experience)
        self._answering.clear()

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        """Return φ's logits, or those of a copy adapted on the exemplars (of its task where that is told)."""
        if not self.parameters.adapt_steps or not self.memory:
            return super().predict(x, task)
        if task is None:
            return self._adapted_logits(x, 0)
        logits = torch.empty(len(x), self.info.classes, device=x.device)
        for row in range(self.info.rows):
            logits[task == row] = self._adapted_logits(x[task == row], row)
        return logits

    def _joined(self, batch: Batch) -> Batch:
        if not self.memory:
            return batch
        return batch.join(self.draw_memory(self.parameters.replay_batch_size or len(batch)))

    def _adapted_logits(self, x: Tensor, row: int) -> Tensor:
        with self.aside():
            if row not in self._answering:
                self._adapt_on_exemplars(row)
                self._answering[row] = self.weights.clone()
            self.weights.copy_(self._answering[row])
            logits: Tensor = self.adapted(self.info.normalise(x))
            return logits

    def _adapt_on_exemplars(self, row: int) -> None:
        assert self.memory is not None
        x, group = self.info.normalise(self.memory.x), self.memory.group
        if self.info.tells_task:
            x, group = x[self.memory.row == row], group[self.memory.row == row]
        if len(x):
            for rows in self._rows_to_adapt_on(len(x), self.parameters.adapt_steps):
                self.adapt(self.batch(x[rows], group[rows]))

    # On episodes.

    def meta_train(self, episodes: TrainingEpisodes) -> None:
        """Take a meta-step for every batch of tasks; ε falls linearly."""
        p = self.parameters
        for batch in episodes.batches(p.meta_batch):
            asked = batch.episodes
            tasks = [self._task(asked, index) for index in range(len(asked))]
            left = 1 - (episodes.drawn - len(asked)) / episodes.length
            for mini_batch in self.meta_step(tasks, (p.meta_step or 1.0) * left):
                self.step(mini_batch)

    def answer(self, episodes: Episodes) -> Tensor:
        """Return logits [E, Q, N], each episode's from a copy of φ adapted to its support set."""
        return torch.stack([self._answer(episodes, index) for index in range(len(episodes))])

    def _task(self, episodes: Episodes, index: int) -> Iterator[Batch]:
        """Yield a training task's mini-batches."""
        p, x, y = self.parameters, episodes.support[index], episodes.labels[index]
        for rows in mini_batches(len(y), p.inner_batch, p.inner_steps, self.generator):
            image = self.noisy(self.info.normalise(x[rows]))
            yield Batch(image, y[rows], self._mask(episodes.info.classes))

    def _answer(self, episodes: Episodes, index: int) -> Tensor:
        """Return logits [Q, N] of one episode."""
        x, query = (self.info.normalise(of[index]) for of in (episodes.support, episodes.query))
        y, mask = episodes.labels[index], self._mask(episodes.info.classes)
        steps = self.parameters.adapt_steps
        with self.aside():
            for rows in self._rows_to_adapt_on(len(y), 50 if steps is None else steps):
                self.adapt(Batch(x[rows], y[rows], mask))
            return self._asked(x, query)[:, : episodes.info.classes]

    @torch.no_grad()
    def _asked(self, support: Tensor, query: Tensor) -> Tensor:
        """Return φ̃'s logits of queries [Q, units], all together or each beside the support set."""
        if self.parameters.transductive:
            together: Tensor = self.adapted(query)
            return together

        def beside(one: Tensor) -> Tensor:
            logits: Tensor = self.adapted(torch.cat([support, one[None]]))[-1]
            return logits

        return torch.vmap(beside, chunk_size=max(1, 1024 // len(support)))(query)

    # For both.

    def _rows_to_adapt_on(self, count: int, steps: int) -> Tensor:
        """Return the same rows [steps, B] at every call."""
        generator = torch_generator(self.info.seeds.train, "rebuild", self.info.device)
        return mini_batches(count, self.parameters.adapt_batch, steps, generator)

    def _units(self, info: StreamInfo) -> int:
        given: int | None = self.parameters.meta_ways if info.shots is not None else None
        return given or info.classes

    def _mask(self, ways: int) -> Tensor | None:
        """Return which units compete in an episode: the first ones."""
        units = self._units(self.info)
        return None if ways == units else torch.arange(units, device=self.info.device) < ways
