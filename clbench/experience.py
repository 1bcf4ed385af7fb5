"""What a strategy is told of a stream and given to learn from.

An `Experience` owns the gathered samples of its task only and a `StreamInfo` owns no data, so neither past, future nor
test images hang on what a strategy is given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clbench.precision import Precision
from clbench.seeds import Seeds


@dataclass(frozen=True)
class Normalise:
    """Turns stored images [N, C, H, W] (uint8 or float) into float32 with zero mean, unit variance."""

    mean: Tensor
    """[C, 1, 1], in [0, 1] for uint8 images."""
    std: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return the normalised images."""
        # In place: fresh buffers of an experience's size cost more than the arithmetic in them.
        if x.dtype == torch.uint8:
            return x.float().div_(255).sub_(self.mean).div_(self.std)
        return (x.float() - self.mean).div_(self.std)


@dataclass(frozen=True)
class StreamInfo:
    """What a strategy may know of a stream before it begins.

    Attributes:
        scenario: Its name.
        classes: C, the number of output units: one per class of the whole stream.
        shape: Channels, height and width of an image, (c, H, W).
        dtype: Of stored images: uint8, or a float.
        experiences: T; None when boundaries are hidden.
        tells_task: Whether the task id is given, to `learn` and to `predict`.
        shares_labels: Whether all tasks have the same classes (domains).
        boundaries: Whether it is told where an experience begins.
        online: Whether each sample may be learnt from once only, in the stream's order.
        batch_size: Samples in a batch of an online stream.
        normalise: Turns stored images into float32 with zero mean and unit variance.
        seeds: The run's named seeds: ``order``, ``init``, ``train`` and ``memory``.
        device: Where all tensors of the stream lie.
        shots: K, support samples of each class in an episode; None where there are no episodes.
        in_sequence: Whether an episode is a sequence, each sample to be named before its label is told.
        base_classes: Classes of the base split, which are none of the C; 0 where there is none.
        problem: Which of several problems of episodes this is about, where a stream's experiences are such.
        precision: What forward passes are computed in: ``float32``, or ``bf16`` for torch's autocast to bfloat16.
    """

    scenario: str
    classes: int
    shape: tuple[int, int, int]
    dtype: torch.dtype
    experiences: int | None
    tells_task: bool
    shares_labels: bool
    boundaries: bool
    online: bool
    batch_size: int
    normalise: Normalise
    seeds: Seeds
    device: torch.device
    shots: int | None = None
    in_sequence: bool = False
    base_classes: int = 0
    problem: int = 0
    precision: Precision = "float32"

    @property
    def several_problems(self) -> bool:
        """Whether the experiences are problems of episodes."""
        return self.shots is not None and self.experiences != 1

    @property
    def groups(self) -> int:
        """How many groups a balanced memory can meet: classes, times tasks or domains where told apart."""
        apart = self.tells_task or self.shares_labels
        return self.classes * ((self.experiences or 1) if apart else 1)

    @property
    def rows(self) -> int:
        """How many masks there are: one per task where the task id is given, else one."""
        return (self.experiences or 1) if self.tells_task else 1


@dataclass(frozen=True)
class Experience:
    """The training data of one experience (or of a few samples of it, where boundaries are hidden).

    Attributes:
        index: Position in the stream, from 0; None when boundaries are hidden.
        task: The task id, where the scenario tells it, else None.
        x: [N, c, H, W] images at stored dtype, in a seeded order; ``info.normalise(x)`` makes them float.
        y: [N] int64, output units 0…C−1.
        mask: [C] bool: the units that take part in a training loss.
        group: [N] int64: what a balanced memory gives equal shares to, unit + C · (task or domain index).
        priority: [N] uniform numbers by the memory seed: strategies that keep the same policy keep the same samples.
    """

    index: int | None
    task: int | None
    x: Tensor
    y: Tensor
    mask: Tensor
    group: Tensor
    priority: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice | Tensor) -> Experience:
        """Return the same experience with only some of its samples."""
        return replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            group=self.group[rows],
            priority=self.priority[rows],
        )


def masked(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Return the logits with −∞ where ``mask`` is false: the one masking of losses and evaluator.

    Args:
        logits: [N, C].
        mask: [C] or [N, C] bool, or None for no mask.
    """
    return logits if mask is None else logits.masked_fill(~mask, -torch.inf)
