"""Strategies that are trained on episodes drawn from a stream: the current experience and the exemplar memory.

Labels are permuted over the C units in every episode. In a task-incremental stream an episode has the classes of one
task; in a domain-incremental one its classes come from all domains, under one permutation. To predict, a support set
is made of the exemplars alone, with their true labels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from clbench.base_split import Base
from clbench.episode_sampler import Episodes
from clbench.episode_stream import TrainingEpisodes
from clbench.episodes import Pool
from clbench.errors import UsageError
from clbench.experience import Experience, StreamInfo
from clbench.gradient import GradientStrategy, Noise
from clbench.loss_trace import LossTrace
from clbench.meta_training import MetaTrainingParameters
from clbench.parameters import LATER, Parameters, PositiveFloat, PositiveInt
from clbench.seeds import torch_generator
from clbench.strategy import MemoryParameters


class EpisodicParameters(MemoryParameters, MetaTrainingParameters):
    """Hyper-parameters of a strategy that is trained on episodes; those of `meta_…` on episodes of held-out classes."""

    on_streams: ClassVar = frozenset(
        {"memory_size", "memory_policy", "episodes", "ways", "shots", "queries"}
    )
    on_episodes: ClassVar = frozenset({"meta_ways", "meta_shots", "meta_queries"})

    episodes: PositiveInt = Field(
        200, description="on a stream: training episodes an experience; one per batch if online"
    )
    ways: PositiveInt = Field(10, description="on a stream: classes in an episode at most")
    shots: PositiveInt = Field(2, description="on a stream: support samples of each class")
    queries: PositiveInt = Field(20, description="on a stream: query samples of each class")
    lr: PositiveFloat = Field(0.001, description="learning rate of Adam")
    noise: Noise = 0.0
    base_episodes: PositiveInt = Field(
        1000, description="training episodes on a base split", json_schema_extra=LATER
    )
    frozen: bool = Field(
        False,
        description="θ stays as the base split left it; only the memory grows",
        json_schema_extra=LATER,
    )


@dataclass(frozen=True)
class Examples:
    """Labelled images [N, c, H, W], units [N], and which of the N places hold a sample."""

    x: Tensor
    y: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Episode:
    """A support set, a query set, and the units [C] that compete."""

    support: Examples
    query: Examples
    mask: Tensor

    def __len__(self) -> int:
        return len(self.support.y) + len(self.query.y)


class EpisodicStrategy(GradientStrategy):
    """Draws the episodes; a method defines `build`, `loss` of an episode, `remember` and `respond`."""

    Parameters: ClassVar[type[Parameters]] = EpisodicParameters
    meta_trained = True
    _remembered: dict[int, Any]
    """By task: what was made of the exemplars in order to predict."""

    @abstractmethod
    def remember(self, support: Examples, mask: Tensor, generator: torch.Generator) -> Any:
        """Return what it makes of a support set in order to answer, with a method ``bytes``.

        Args:
            support: Examples in a random order.
            mask: [C] bool: units that compete.
            generator: For whatever it draws.
        """

    @abstractmethod
    def respond(self, x: Tensor, state: Any) -> Tensor:
        """Return logits [L, C] for normalised images from what `remember` made; None where there was no example."""

    def lesson(self, episode: Episode) -> Any:
        """Return what `loss` wants of a training episode."""
        return episode

    def steps(self, episodes: int) -> int:
        """Return in how many steps so many episodes are learnt from."""
        return episodes

    def shots(self) -> int:
        """Return the support samples of each class in a training episode of a stream."""
        return int(self.parameters.shots)

    def check(self, info: StreamInfo) -> None:
        """Refuse a memory without room for every class of a stream, and to freeze what never learnt."""
        if info.shots is None:
            self.needs_exemplars(info)
        if self.parameters.frozen and not info.base_classes:
            raise UsageError(
                "a frozen network learns from a base split alone, and this stream has none:"
                " give it one, say by -S base_classes=4"
            )

    def pretrain(self, base: Base) -> None:
        """Train on episodes of base classes, let go of the samples, and begin anew with the optimiser."""
        p = self.parameters
        self._ways = min(p.ways, base.info.classes, self.info.classes)
        current = replace(base, x=self.info.normalise(base.x))
        self._x, self._pool = current.x, Pool(base.group, base.info.groups)
        self.network.train()
        self._losses = LossTrace()
        for _ in range(self.steps(p.base_episodes)):
            self.step(self.draw(current, base.y))
        self.optimizer = self.make_optimizer(self.network)
        del self._x, self._pool

    def lessons(self, experience: Experience) -> Iterator[Any]:
        """Train on episodes, then let go of the samples they were drawn from; if frozen, only keep exemplars."""
        if self.parameters.frozen:
            self._keep(experience)
        else:
            yield from super().lessons(experience)
            del self._x, self._pool
        self._remembered = {}

    def state_dict(self) -> dict[str, Any]:
        """Return also which groups were seen."""
        return super().state_dict() | {"groups": self._groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore also which groups were seen."""
        super().load_state_dict(state)
        if state["groups"].shape == self._groups.shape:  # not so on episodes of other ways
            self._groups.copy_(state["groups"])
        self._remembered = {}

    def trained_keys(self) -> tuple[str, ...]:
        """Return the keys of `state_dict` that are no memory of samples."""
        return (*super().trained_keys(), "groups")

    def setup(self, info: StreamInfo) -> None:
        """Start without any group to draw from."""
        super().setup(info)
        self._remembered = {}
        self._groups = torch.zeros(info.groups, dtype=torch.bool, device=info.device)

    def see(self, experience: Experience) -> None:
        """Note which groups episodes can be made of."""
        super().see(experience)
        self._groups[experience.group] = True
        per_task = self._groups.view(-1, self.info.classes).sum(1)
        available = int(per_task.max() if self.info.tells_task else per_task.sum())
        self._ways = min(self.parameters.ways, available)

    def schedule(self, samples: int) -> Iterator[Tensor]:
        """Yield all current samples for every episode, or the batches of an online stream."""
        if self.info.online:
            yield from super().schedule(samples)
            return
        everything = torch.arange(samples, device=self.info.device)
        for _ in range(self.steps(self.parameters.episodes)):
            yield everything

    def begin(self, current: Experience) -> None:
        """Pool the current experience with the memory."""
        if not self.info.online:
            self._gather(current, largest=None)

    def draw(self, current: Experience, rows: Tensor) -> Any:
        """Return an episode; online, its pool is the batch and the memory."""
        if isinstance(current, Base):  # there may be more base classes than units
            groups = self._pool.choose(self._ways, self.generator)
            return self._episode(groups, torch.arange(len(groups), device=groups.device))
        if self.info.online:
            self._gather(current[rows], largest=len(rows) + self.parameters.memory_size)
        groups = self._pool.choose(self._ways, self.generator, self._one_task())
        return self._episode(groups, groups % self.info.classes)

    def _episode(self, groups: Tensor, labels: Tensor) -> Any:
        """Return an episode of groups [n], whose labels [n] below C are permuted."""
        draw = self._pool.draw(groups, self.shots(), self.parameters.queries, self.generator)
        units = self.permuted(labels)
        mask = torch.zeros(self.info.classes, dtype=torch.bool, device=groups.device)
        mask[units] = self._pool.count[groups] > 0
        support = self._examples(draw.support, units, draw.support_valid)
        query = self._examples(draw.query, units, draw.query_valid)
        return self.lesson(Episode(support, query, mask))

    def permuted(self, labels: Tensor) -> Tensor:
        """Return the units of an episode's labels [n], drawn of all C."""
        units = torch.randperm(self.info.classes, generator=self.generator, device=labels.device)
        return units[labels]

    def count(self, batch: Any, loss: Tensor) -> None:
        """Note a step that was taken; what was built to predict is out of date."""
        self._remembered = {}
        super().count(batch, loss)

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        """Return logits, each sample's from the exemplars of its task where that is told."""
        x = self.info.normalise(x)
        if task is None:
            return self.scores(x, 0)
        logits = torch.empty(len(x), self.info.classes, device=x.device)
        for row in range(self.info.rows):
            at = task == row
            logits[at] = self.scores(x[at], row)
        return logits

    def scores(self, x: Tensor, row: int) -> Tensor:
        """Return logits for normalised images, from the exemplars of a task (of all, where none is told)."""
        if row not in self._remembered:
            examples, generator = self.exemplars(row)
            if not len(examples.y):
                return self.respond(x, None)
            self._remembered[row] = self.remember(examples, self.masks[row], generator)
        return self.respond(x, self._remembered[row])

    def working_bytes(self) -> int:
        """Return the bytes of what was built to predict."""
        return sum(state.bytes() for state in self._remembered.values())

    def meta_train(self, episodes: TrainingEpisodes) -> None:
        """Take a step for every episode."""
        for batch in episodes.batches(1):
            asked = batch.episodes
            support, mask = self._given(asked, 0)
            query = _all_valid(self.noisy(asked.info.normalise(asked.query[0])), batch.targets[0])
            self.step(self.lesson(Episode(replace(support, x=self.noisy(support.x)), query, mask)))

    @torch.no_grad()
    def answer(self, episodes: Episodes) -> Tensor:
        """Return logits [E, Q, N], one episode after the other."""
        return torch.stack([self._answer(episodes, index) for index in range(len(episodes))])

    def _answer(self, episodes: Episodes, index: int) -> Tensor:
        generator = torch_generator(self.info.seeds.train, "rebuild", self.info.device)
        state = self.remember(*self._given(episodes, index), generator)
        return self.respond(episodes.info.normalise(episodes.query[index]), state)

    def _given(self, episodes: Episodes, index: int) -> tuple[Examples, Tensor]:
        """Return the support set of an episode, and its mask: all units compete."""
        x, y = episodes.info.normalise(episodes.support[index]), episodes.labels[index]
        return _all_valid(x, y), torch.ones(
            episodes.info.classes, dtype=torch.bool, device=y.device
        )

    def exemplars(self, row: int) -> tuple[Examples, torch.Generator]:
        """Return the exemplars of a task (all, where none is told) in a seeded order.

        The generator that drew the order serves further draws; both are the same at every call.
        """
        assert self.memory is not None
        generator = torch_generator(self.info.seeds.train, "rebuild", self.info.device)
        rows = torch.randperm(len(self.memory), generator=generator, device=self.info.device)
        if self.info.tells_task:
            rows = rows[self.memory.row[rows] == row]
        x = self.info.normalise(self.memory.x[rows])
        return _all_valid(x, self.memory.y[rows]), generator

    def _keep(self, experience: Experience) -> None:
        """Offer the experience to the memory and train nothing."""
        assert self.memory is not None
        self.see(experience)
        self.memory.add(experience)
        self._losses = LossTrace()
        self.effort.samples_seen += len(experience)

    def _examples(self, rows: Tensor, units: Tensor, valid: Tensor) -> Examples:
        """Return drawn samples [n, k] in a random order, their groups' units as labels."""
        order = torch.randperm(rows.numel(), generator=self.generator, device=rows.device)
        y = units[:, None].expand_as(rows).flatten()[order]
        x = self.noisy(self._x.index_select(0, rows.flatten()[order]))
        return Examples(x, y, valid.flatten()[order])

    def _gather(self, current: Experience, largest: int | None) -> None:
        assert self.memory is not None
        self._x = torch.cat([current.x, self.info.normalise(self.memory.x)])
        group = torch.cat([current.group, self.memory.group])
        self._pool = Pool(group, self.info.groups, largest)

    def _one_task(self) -> Tensor | None:
        """Return the groups of a task drawn at random, where tasks are told."""
        if not self.info.tells_task:
            return None
        seen = self._groups.view(-1, self.info.classes).any(1)
        keys = torch.rand(len(seen), generator=self.generator, device=seen.device)
        task = keys.masked_fill(~seen, -1).argmax()
        return torch.arange(self.info.groups, device=seen.device) // self.info.classes == task


def _all_valid(x: Tensor, y: Tensor) -> Examples:
    return Examples(x, y, torch.ones_like(y, dtype=torch.bool))
