"""Strategies that learn by gradient steps: a method's file gives the loss, the framework does the rest.

The framework owns batches, optimiser, steps, memory updates and progress. A `loss` takes its tensors as arguments,
keeps its state in tensors and never synchronises (`.item()`, ``if tensor``), so that the framework may stack several
learners or capture the step as a graph without the method knowing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from clbench.backward import backward
from clbench.base_split import Base
from clbench.experience import Experience, StreamInfo, masked
from clbench.loss_trace import LossTrace
from clbench.memory import Memory
from clbench.networks import Initialisation, NetworkName, copy_body, make_network
from clbench.parameters import LATER, Parameters, PositiveFloat, PositiveInt
from clbench.precision import computing
from clbench.seeds import torch_generator
from clbench.strategy import Strategy

Noise = Annotated[
    float,
    Field(
        ge=0,
        description="standard deviation of Gaussian noise on training images, after normalisation",
        json_schema_extra=LATER,
    ),
]
"""Of training with noise (Bishop 1995, Neural Computation 7), drawn anew whenever an image is used."""


class GradientParameters(Parameters):
    """Hyper-parameters that every gradient strategy has."""

    network: NetworkName = Field(
        "auto", description="auto takes mlp for grey images up to 32 pixels, else conv4"
    )
    hidden: Annotated[list[PositiveInt], Field(min_length=1)] = Field(
        [64, 64], description="widths of the MLP's hidden layers; the first is conv4's channels"
    )
    optimizer: Literal["adam", "sgd"] = Field("adam", description="its state lasts the stream")
    lr: PositiveFloat = Field(0.001, description="learning rate")
    batch_size: PositiveInt = Field(32, description="samples per step; an online stream's instead")
    epochs: PositiveInt = Field(10, description="passes over an experience; 1 if online")
    noise: Noise = 0.0
    initialisation: Initialisation = Field(
        "torch",
        description="weights as torch draws them, or Xavier uniform (Glorot) with zero biases",
        json_schema_extra=LATER,
    )


@dataclass(frozen=True)
class Batch:
    """What one step learns from."""

    x: Tensor
    """[B, c, H, W] normalised."""
    y: Tensor
    """[B] units."""
    mask: Tensor | None
    """[C] or [B, C] bool: the units that compete; None for all."""

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice) -> Batch:
        """Return a batch of some of the samples."""
        mask = self.mask
        if mask is not None and mask.ndim == 2:
            mask = mask[rows]
        return Batch(self.x[rows], self.y[rows], mask)

    def join(self, other: Batch) -> Batch:
        """Return both batches as one."""
        mask = self.mask
        if mask is not None and other.mask is not None and mask.ndim == 2:
            mask = torch.cat([mask, other.mask])
        return Batch(torch.cat([self.x, other.x]), torch.cat([self.y, other.y]), mask)


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Return the mean cross-entropy over the batch, among the units that compete."""
    return functional.cross_entropy(masked(logits, batch.mask), batch.y)


class GradientStrategy(Strategy):
    """A strategy defined by `loss` and, if need be, by what a step learns from (`draw`)."""

    Parameters: ClassVar[type[Parameters]] = GradientParameters
    stackable: ClassVar[bool] = False
    """Whether a `loss` of its own depends on its arguments and hyper-parameters alone, so that learners can be stacked
    (`clbench.together`)."""
    replayed: ClassVar[frozenset[str]] = frozenset()
    """Of `before_step` and `after_step` those of the class's own that do no more than operations on tensors, so that a
    CUDA graph may repeat them (`clbench.captured`)."""
    compiled: ClassVar[frozenset[str]] = frozenset()
    """Methods of the network that are worth compiling (`clbench.compiled`)."""
    network: nn.Module
    flat: tuple[Tensor, Tensor] | None = None
    """What `clbench.flat.flatten` returned of `stepped`, if a method moves all its parameters at once."""

    # What a method may define.

    def loss(self, network: Any, batch: Any) -> Tensor:
        """Return the scalar loss of one step."""
        return cross_entropy(network(batch.x), batch)

    def draw(self, current: Experience, rows: Tensor) -> Any:
        """Return what a step learns from: the current samples at ``rows``, and whatever else."""
        x, group = current.x.index_select(0, rows), current.group.index_select(0, rows)
        return self.batch(self.noisy(x), group)

    def parts(self, batch: Any) -> Sequence[Any]:
        """Return what each of the optimiser's steps on a batch learns from: by default one step on all of it."""
        return (batch,)

    @property
    def stepped(self) -> nn.Module:
        """The network whose parameters the optimiser changes, where that is not the one that answers."""
        return self.network

    def build(self, info: StreamInfo) -> nn.Module:
        """Return a freshly initialised network."""
        p = self.parameters
        return make_network(p.network, p.hidden, info, getattr(p, "initialisation", "torch"))

    def schedule(self, samples: int) -> Iterator[Tensor]:
        """Yield the rows of each step: seeded shuffled passes, or the stream's order if online."""
        if self.info.online:
            order = torch.arange(samples, device=self.info.device)
            yield from torch.split(order, self.info.batch_size)
        else:
            yield from self.shuffled(samples, self.parameters.epochs, self.parameters.batch_size)

    def shuffled(self, samples: int, passes: int, size: int) -> Iterator[Tensor]:
        """Yield the rows of batches of ``size``, in a new seeded order each pass."""
        for _ in range(passes):
            order = torch.randperm(samples, generator=self.generator, device=self.info.device)
            yield from torch.split(order, size)

    def begin(self, current: Experience) -> None:
        """Prepare for training on these normalised samples."""

    def penalise(self) -> Tensor | None:
        """Add a penalty's gradient to the parameters' gradients and return the penalty; None for no penalty.

        A penalty depends on the parameters alone. The gradients are those of the step's loss when this is called.
        """
        return None

    def before_step(self) -> None:
        """Change gradients before the optimiser uses them, as clipping does."""

    def after_step(self) -> None:
        """Look at the parameters after the optimiser changed them."""

    # What the framework does.

    def setup(self, info: StreamInfo) -> None:
        """Build network, optimiser, memory and generator."""
        self.info = info
        self.generator = torch_generator(info.seeds.train, "train", info.device)
        self.masks = torch.zeros(info.rows, info.classes, dtype=torch.bool, device=info.device)
        self._losses = LossTrace()
        self.restart()
        if hasattr(self.parameters, "memory_size"):
            p = self.parameters
            self.memory = Memory(p.memory_size, p.memory_policy, info)

    def restart(self) -> None:
        """Start from a fresh network and optimiser."""
        self.network = self.build(self.info)
        self.optimizer = self.make_optimizer(self.network)

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser the hyper-parameters name."""
        p, weights = self.parameters, network.parameters()
        kind = self.info.device.type
        fused = kind in ("cpu", "cuda")
        if getattr(p, "optimizer", "adam") == "sgd":
            return torch.optim.SGD(weights, lr=p.lr, fused=fused)
        return torch.optim.Adam(weights, lr=p.lr, fused=fused, capturable=kind == "cuda")

    def pretrain(self, base: Base) -> None:
        """Train a network on the base classes by cross-entropy alone; its body goes under the fresh head.

        Whatever the method adds begins with the stream, and so does its optimiser.
        """
        plain = GradientStrategy(self.parameters)
        plain.effort, plain.on_step = self.effort, self.on_step
        plain.build = self.build  # type: ignore[method-assign]
        plain.setup(base.info)
        plain.generator = self.generator
        plain.see(base)
        plain.train(base)
        self._losses = plain._losses
        copy_body(plain.network, self.network, self.build, self.info)

    def learn(self, experience: Experience) -> None:
        """Take a step on each lesson of the experience."""
        for batch in self.lessons(experience):
            self.step(batch)

    def lessons(self, experience: Experience) -> Iterator[Any]:
        """Yield what each step learns from; whoever asks takes the step before asking again.

        A method that does more than steps does so in between. The experience is offered to the memory afterwards, batch
        by batch if online.
        """
        self.see(experience)
        yield from self.training(experience, offer=self.info.online)
        if self.memory is not None and not self.info.online:
            self.memory.add(experience)

    def see(self, experience: Experience) -> None:
        """Note which units the experience lets compete."""
        self.masks[experience.task or 0] = experience.mask

    def training(self, samples: Experience, offer: bool = False) -> Iterator[Any]:
        """Yield what a step learns from, for each entry of the schedule."""
        self.network.train()
        self._losses = LossTrace()
        current = replace(samples, x=self.info.normalise(samples.x))
        self.begin(current)
        for rows in self.schedule(len(samples)):
            yield self.draw(current, rows)
            if offer and self.memory is not None:
                self.memory.add(samples[rows])

    def train(self, samples: Experience) -> None:
        """Take a step for each entry of the schedule."""
        for batch in self.training(samples):
            self.step(batch)

    def step(self, batch: Any) -> None:
        """Take an optimiser step on each part of a batch, most often one on all of it."""
        for part in self.parts(batch):
            with computing(self.info.precision, self.info.device):
                loss = self.loss(self.stepped, part)
            backward(loss, self.loss)
            penalty = self.penalise()
            self.before_step()
            self.optimizer.step()
            self.after_step()
            self.optimizer.zero_grad()
            self.count(part, loss if penalty is None else loss + penalty)

    def count(self, batch: Any, loss: Tensor) -> None:
        """Note a step that was taken."""
        self._losses.add(loss)
        self.effort.steps += 1
        self.effort.samples_seen += len(batch)
        self.on_step()

    def batch(self, x: Tensor, group: Tensor) -> Batch:
        """Return a batch of normalised images with the mask that goes with each."""
        classes = self.info.classes
        if self.info.shares_labels:
            return Batch(x, group % classes, None)
        if self.info.tells_task:
            return Batch(x, group % classes, self.masks[group // classes])
        return Batch(x, group, self.masks[0])

    def draw_memory(self, count: int) -> Batch:
        """Return ``count`` distinct exemplars (all, if there are fewer)."""
        assert self.memory is not None
        rows = self.memory.draw(count, self.generator)
        x = self.info.normalise(self.memory.x.index_select(0, rows))
        return self.batch(self.noisy(x), self.memory.group[rows])

    def noisy(self, x: Tensor) -> Tensor:
        """Return normalised training images with the noise the hyper-parameters ask for."""
        noise: float = getattr(self.parameters, "noise", 0.0)
        if not noise:
            return x
        return x + noise * torch.randn(x.shape, generator=self.generator, device=x.device)

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        """Return the network's logits."""
        training = self.network.training
        self.network.eval()
        with computing(self.info.precision, self.info.device):
            logits: Tensor = self.network(self.info.normalise(x))
        self.network.train(training)
        return logits if self.info.precision == "float32" else logits.float()

    def first_bad_step(self) -> Tensor | None:
        """Return the first step whose loss was not finite, −1 if none."""
        return self._losses.first_bad()

    def parameter_count(self) -> int:
        """Return the number of trainable parameters."""
        return sum(p.numel() for p in self.network.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Return network, optimiser, generator, masks and memory."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "masks": self.masks,
        }
        return state | ({"memory": self.memory.state_dict()} if self.memory is not None else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        # A meta-learner may be tested on other ways than it was trained on; its masks say nothing.
        if state["masks"].shape == self.masks.shape:
            self.masks.copy_(state["masks"])
        if self.memory is not None:
            self.memory.load_state_dict(state["memory"])
