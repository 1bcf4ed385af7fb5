"""Strategies that are trained on episodes drawn from a stream: the current experience and the exemplar memory.

Labels are permuted over the C units in every episode. In a task-incremental stream an episode has the classes of one
task; in a domain-incremental one its classes come from all domains, under one permutation. To predict, a support set
is made of the exemplars alone, with their true labels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from clbench.episodes import Pool
from clbench.gradient import GradientStrategy, Noise
from clbench.parameters import Parameters, PositiveFloat, PositiveInt
from clbench.seeds import torch_generator
from clbench.strategy import MemoryParameters
from clbench.stream import Experience, StreamInfo


class EpisodicParameters(MemoryParameters):
    """Hyper-parameters of a strategy that is trained on episodes."""

    episodes: PositiveInt = Field(
        200, description="training episodes an experience; one per batch if online"
    )
    ways: PositiveInt = Field(10, description="classes in an episode at most")
    shots: PositiveInt = Field(2, description="support samples of each class")
    queries: PositiveInt = Field(20, description="query samples of each class")
    lr: PositiveFloat = Field(0.001, description="learning rate of Adam")
    noise: Noise = 0.0


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
    """Draws the episodes; a method defines `build`, `loss` of an episode, and `scores`."""

    Parameters: ClassVar[type[Parameters]] = EpisodicParameters

    @abstractmethod
    def scores(self, x: Tensor, row: int) -> Tensor:
        """Return logits for normalised images, from the exemplars of a task (of all, where none is told)."""

    def skip_reason(self, info: StreamInfo) -> str | None:
        """Return why it cannot learn such a stream: a support set alone makes no episode to train on."""
        if info.shots is not None and not self.meta_trained:
            return "trains on episodes of a stream; it has no meta-training on held-out classes"
        return super().skip_reason(info)

    def check(self, info: StreamInfo) -> None:
        """Refuse a memory without room for every class."""
        self.needs_exemplars(info)

    def learn(self, experience: Experience) -> None:
        """Train on episodes, then let go of the samples they were drawn from."""
        super().learn(experience)
        del self._x, self._pool

    def state_dict(self) -> dict[str, Any]:
        """Return also which groups were seen."""
        return super().state_dict() | {"groups": self._groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore also which groups were seen."""
        super().load_state_dict(state)
        self._groups.copy_(state["groups"])

    def trained_keys(self) -> tuple[str, ...]:
        """Return the keys of `state_dict` that are no memory of samples."""
        return (*super().trained_keys(), "groups")

    def setup(self, info: StreamInfo) -> None:
        """Start without any group to draw from."""
        super().setup(info)
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
        for _ in range(self.parameters.episodes):
            yield everything

    def begin(self, current: Experience) -> None:
        """Pool the current experience with the memory."""
        if not self.info.online:
            self._gather(current, largest=None)

    def draw(self, current: Experience, rows: Tensor) -> Any:
        """Return an episode; online, its pool is the batch and the memory."""
        if self.info.online:
            self._gather(current[rows], largest=len(rows) + self.parameters.memory_size)
        p, generator = self.parameters, self.generator
        groups = self._pool.choose(self._ways, generator, self._one_task())
        draw = self._pool.draw(groups, p.shots, p.queries, generator)
        permuted = torch.randperm(self.info.classes, generator=generator, device=groups.device)
        units = permuted[groups % self.info.classes]
        mask = torch.zeros(self.info.classes, dtype=torch.bool, device=groups.device)
        mask[units] = self._pool.count[groups] > 0
        return Episode(
            support=self._examples(draw.support, units, draw.support_valid),
            query=self._examples(draw.query, units, draw.query_valid),
            mask=mask,
        )

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

    def exemplars(self, row: int) -> tuple[Examples, torch.Generator]:
        """Return the exemplars of a task (all, where none is told) in a seeded order.

        The generator that drew the order serves further draws; both are the same at every call.
        """
        assert self.memory is not None
        generator = torch_generator(self.info.seeds.train, "rebuild", self.info.device)
        rows = torch.randperm(len(self.memory), generator=generator, device=self.info.device)
        if self.info.tells_task:
            rows = rows[self.memory.row[rows] == row]
        everyone = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        x = self.info.normalise(self.memory.x[rows])
        return Examples(x, self.memory.y[rows], everyone), generator

    def _examples(self, rows: Tensor, units: Tensor, valid: Tensor) -> Examples:
        """Return drawn samples [n, k] in a random order, their groups' units as labels."""
        order = torch.randperm(rows.numel(), generator=self.generator, device=rows.device)
        y = units[:, None].expand_as(rows).flatten()[order]
        x = self.noisy(self._x[rows.flatten()[order]])
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
