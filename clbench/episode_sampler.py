"""Drawing batches of episodes on a device, seeded, with fixed shapes and without a synchronisation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clbench.episodes import Pool
from clbench.errors import UsageError
from clbench.experience import Experience, StreamInfo
from clbench.scenario import Indices
from clbench.seeds import numpy_generator


@dataclass(frozen=True)
class Episodes:
    """E episodes of one shape: N ways, S = N·K support samples and Q query samples, each set in a random order."""

    info: StreamInfo
    """Of the stream; its ``classes`` are the N ways of these episodes."""
    support: Tensor
    """[E, S, c, h, w] at stored dtype."""
    labels: Tensor
    """[E, S] int64, 0…N−1, dealt to the classes at random in each episode."""
    query: Tensor
    """[E, Q, c, h, w] at stored dtype."""

    def __len__(self) -> int:
        return len(self.labels)

    def experience(self, index: int) -> Experience:
        """Return the support set of one episode as a stream's only experience."""
        labels, device = self.labels[index], self.labels.device
        drawn = numpy_generator(self.info.seeds.memory, "memory").random(len(labels))
        priority = torch.from_numpy(drawn)
        return Experience(
            index=0,
            task=None,
            x=self.support[index],
            y=labels,
            mask=torch.ones(self.info.classes, dtype=torch.bool, device=device),
            group=labels,
            priority=(priority.float() if device.type == "mps" else priority).to(device),
        )


@dataclass(frozen=True)
class EpisodeBatch:
    """Episodes with the answers: what a meta-learner takes a step on."""

    episodes: Episodes
    targets: Tensor
    """[E, Q] labels of the queries."""

    def __len__(self) -> int:
        """Return the number of samples, of support and query together."""
        return self.episodes.labels.numel() + self.targets.numel()


@dataclass(frozen=True)
class Shape:
    """What an episode consists of."""

    ways: int
    shots: int
    queries: int

    def changed(self, **given: int | None) -> Shape:
        """Return the shape with other values, where these are not None."""
        return replace(self, **{name: n for name, n in given.items() if n is not None})

    def check(self, classes: int, least: int) -> None:
        """Refuse a shape that so many classes, of ``least`` samples at least, cannot give.

        Raises:
            UsageError: Says what there is.
        """
        if self.ways > classes:
            raise UsageError(
                f"an episode of {self.ways} ways needs more than the {classes} classes there are"
            )
        if self.shots + self.queries > least:
            raise UsageError(
                f"{self.shots} shots and {self.queries} queries need more samples of a class"
                f" than the {least} of the smallest one"
            )


class Sampler:
    """Draws episodes of some classes.

    Args:
        x: [M, c, h, w] images of these classes and no others.
        label: [M] their classes, 0…k−1.
        views: [V, h·w] orders of the pixels, in each of which a class is one of its own; None is the one they have.
        device: Where draws are made; that of the generators.
        target: Where episodes are used; None: where the images lie.
    """

    def __init__(
        self,
        x: Tensor,
        label: Indices,
        views: Tensor | None,
        device: torch.device,
        target: torch.device | None = None,
    ) -> None:
        self._x, self._device, self._target = x, device, target or x.device
        self._views = None if views is None else views.to(self._target)
        self._each = 1 if views is None else len(views)
        self._least = int(np.bincount(label).min())
        self._pool = Pool(torch.as_tensor(label, device=device), int(label.max()) + 1)

    def draw(
        self, count: int, shape: Shape, info: StreamInfo, generator: torch.Generator
    ) -> EpisodeBatch:
        """Return ``count`` episodes.

        Raises:
            UsageError: There are too few classes, or samples of a class, for such a shape.
        """
        shape.check(len(self._pool.count) * self._each, self._least)
        originals = len(self._pool.count)
        keys = torch.rand(count, originals * self._each, generator=generator, device=self._device)
        chosen = keys.topk(shape.ways).indices  # in a random order: the place is the label
        drawn = self._pool.draw(chosen.flatten() % originals, shape.shots, shape.queries, generator)
        view = chosen // originals
        support, labels = self._gather(drawn.support.view(*chosen.shape, -1), view, generator)
        query, targets = self._gather(drawn.query.view(*chosen.shape, -1), view, generator)
        asked = Episodes(replace(info, classes=shape.ways), support, labels, query)
        return EpisodeBatch(asked, targets)

    def _gather(
        self, rows: Tensor, view: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the images [E, N·k, c, h, w] at ``rows`` [E, N, k] and their labels, in a random order."""
        episodes, ways, each = rows.shape
        keys = torch.rand(episodes, ways * each, generator=generator, device=self._device)
        order = keys.argsort(1)
        labels = order // each
        views = view.gather(1, labels).to(self._target)
        x = self._x[rows.flatten(1).gather(1, order).to(self._x.device)].to(self._target)
        if self._views is not None:
            x = rearranged(x, self._views[views])
        return x, labels.to(self._target)


def quarter_turns(size: int) -> Tensor:
    """Return [4, n·n] the pixels of an n × n image in the orders that turn it counter-clockwise by 0 … 270 degrees."""
    pixels = torch.arange(size * size).view(size, size)
    return torch.stack([torch.rot90(pixels, times).flatten() for times in range(4)])


def rearranged(x: Tensor, orders: Tensor) -> Tensor:
    """Return images [E, S, c, h, w], the pixels of each in its own order [E, S, h·w]."""
    taken = orders[:, :, None].expand(*x.shape[:3], -1)
    return x.flatten(-2).gather(-1, taken).view(x.shape)
