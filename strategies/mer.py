"""Meta-experience replay: single steps on the current example and exemplars, each sequence of them a Reptile step.

Riemer et al. 2019 (ICLR, arXiv 1810.11910), Algorithms 1 and 6. For each example (x, y):

    θ_A ← θ
    S times:  θ_W ← θ;  an SGD step for each of (x, y) and k − 1 exemplars, one at a time;  θ ← θ_W + β (θ − θ_W)
    θ ← θ_A + γ (θ − θ_A)
    offer (x, y) to the reservoir

Algorithm 1 takes (x, y) first. Algorithm 6 is one big batch (S = 1, β = 1) and takes it last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from clbench.errors import UsageError
from clbench.experience import Experience, StreamInfo
from clbench.flat import flatten
from clbench.gradient import Batch, GradientParameters
from clbench.loss_trace import LossTrace
from clbench.memory import Memory
from clbench.parameters import NaturalInt, PositiveFloat, PositiveInt
from clbench.single_steps import SingleSteps
from clbench.strategy import MemoryParameters


class MERParameters(MemoryParameters, GradientParameters):
    """Hyper-parameters of MER; the defaults are the paper's for MNIST Permutations with 200 exemplars."""

    memory_policy: Literal["reservoir", "balanced"] = Field(
        "reservoir", description="reservoir: uniform over all samples; balanced: equal shares"
    )
    optimizer: Literal["sgd"] = Field("sgd", description="plain SGD")
    lr: PositiveFloat = Field(0.03, description="α, learning rate of the single steps")
    batch_size: PositiveInt = Field(
        32, description="samples per step on a base split; in the stream one at a time"
    )
    epochs: PositiveInt = Field(1, description="passes over an experience; 1 if online")
    algorithm: Literal[1, 6] = Field(
        1, description="1: the current example first; 6: one big batch, the current example last"
    )
    batches_per_example: PositiveInt = Field(10, description="S, sequences for each example")
    replay_batch_size: NaturalInt = Field(10, description="k − 1, exemplars in a sequence")
    beta: PositiveFloat = Field(0.03, description="β, how far to go along a sequence")
    gamma: PositiveFloat = Field(1.0, description="γ, how far to go along all sequences")
    variant: Literal["paper", "mammoth", "avalanche"] = Field(
        "paper",
        description="mammoth: one step on each batch as a whole, as that library does;"
        " avalanche: the memory is offered an experience after it was learnt, as in that one",
    )


class MER(SingleSteps):
    """Reptile steps along sequences of single SGD steps."""

    Parameters = MERParameters
    paper = "Riemer et al. 2019, ICLR, arXiv 1810.11910"
    quick: ClassVar = {"batches_per_example": 2}
    memory: Memory

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)
        self.singly = parameters.variant != "mammoth"

    def check(self, info: StreamInfo) -> None:
        """Refuse an Algorithm 6 that is not one batch, and to wait for an end that nobody announces."""
        p = self.parameters
        if p.algorithm == 6 and (p.batches_per_example, p.beta) != (1, 1):
            raise UsageError(
                "algorithm=6 is one big batch without β: it needs batches_per_example=1 and beta=1,"
                f" not {p.batches_per_example} and {p.beta}"
            )
        if p.variant == "avalanche" and not info.boundaries:
            raise UsageError("variant=avalanche needs boundaries, which boundaries=false hides")

    def restart(self) -> None:
        """Start from a fresh network, its parameters parts of one vector θ."""
        super().restart()
        self.flat = self.theta, _ = flatten(self.network)

    def lessons(self, experience: Experience) -> Iterator[Batch]:
        """Learn an experience, and offer it to the memory."""
        late = self.parameters.variant == "avalanche"
        self.see(experience)
        yield from self.training(experience, offer=not late)
        if late:
            self.memory.add(experience)

    def training(self, samples: Experience, offer: bool = False) -> Iterator[Batch]:
        """Learn examples one at a time; each is offered right after it was learnt for the first time."""
        self.network.train()
        self._losses = LossTrace()
        current = replace(samples, x=self.info.normalise(samples.x))
        for number, row in enumerate(self.schedule(len(samples))):
            yield from self.example(self.draw(current, row))
            if offer and number < len(samples):
                self.memory.add(samples[row])

    def schedule(self, samples: int) -> Iterator[Tensor]:
        """Yield one row at a time: the stream's order, then a new seeded order for each further pass."""
        yield from torch.split(torch.arange(samples, device=self.info.device), 1)
        if not self.info.online:
            yield from self.shuffled(samples, self.parameters.epochs - 1, size=1)

    def draw(self, current: Experience, rows: Tensor) -> list[Batch]:
        """Return S sequences: the example at ``rows``, and k − 1 exemplars drawn with replacement."""
        p, stored = self.parameters, len(self.memory)
        count = min(p.replay_batch_size, stored)
        shape, device = (p.batches_per_example, count), self.info.device
        picks = torch.randint(max(1, stored), shape, generator=self.generator, device=device)
        x, group = self.info.normalise(self.memory.x[picks]), self.memory.group[picks]
        return [self.sequence(current[rows], *old) for old in zip(x, group, strict=True)]

    def sequence(self, current: Experience, x: Tensor, group: Tensor) -> Batch:
        """Return the current example before exemplars (Algorithm 1) or after them (6)."""
        order = 1 if self.parameters.algorithm == 1 else -1
        images, groups = [current.x, x][::order], [current.group, group][::order]
        return self.batch(self.noisy(torch.cat(images)), torch.cat(groups))

    def example(self, sequences: Sequence[Batch]) -> Iterator[Batch]:
        """Learn one example: yields each sequence, and moves θ when the single steps on it were taken."""
        p = self.parameters
        before = self.theta.clone()
        for sequence in sequences:
            start = self.theta.clone()
            yield sequence
            torch.lerp(start, self.theta, p.beta, out=self.theta)
        torch.lerp(before, self.theta, p.gamma, out=self.theta)
        self._losses.add(self.theta.sum())  # finite as long as all losses are
        self.effort.steps += 1
        self.on_step()
