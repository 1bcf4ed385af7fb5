"""The networks every gradient strategy shares: an MLP and a small CNN, for 8×8 to 84×84 images, grey or colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from clbench.experience import StreamInfo
from clbench.seeds import initialised_by

NetworkName = Literal["auto", "mlp", "conv4"]
Initialisation = Literal["torch", "xavier"]


class MLP(nn.Module):
    """Fully connected layers with ReLU between them; [N, C, H, W] → [N, units]."""

    def __init__(self, inputs: int, hidden: Sequence[int], units: int) -> None:
        super().__init__()
        widths = [inputs, *hidden, units]
        pairs = pairwise(widths)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        h = x.flatten(1)
        *hidden, last = self.layers  # a slice of a ModuleList would be a new module at every call
        for layer in hidden:
            h = torch.relu(layer(h))
        return last(h)  # type: ignore[no-any-return]


class Conv4(nn.Module):
    """Four blocks of 3×3 convolution, group normalisation, ReLU and 2×2 max pooling, then a linear layer.

    The few-shot field's usual network (Vinyals et al. 2016) with group instead of batch normalisation, so that no
    output depends on the rest of its batch. Pooling stops where the map is a single pixel.
    """

    def __init__(self, shape: tuple[int, int, int], channels: int, units: int) -> None:
        super().__init__()
        before, height, width = shape
        blocks: list[nn.Module] = []
        for _ in range(4):
            blocks += [
                nn.Conv2d(before, channels, 3, padding=1),
                nn.GroupNorm(1, channels),
                nn.ReLU(),
            ]
            before = channels
            if min(height, width) >= 2:
                blocks.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels * height * width, units)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [N, units]."""
        return self.head(self.blocks(x).flatten(1))  # type: ignore[no-any-return]


def choose(name: NetworkName, shape: tuple[int, int, int]) -> Literal["mlp", "conv4"]:
    """Return what ``auto`` stands for: an MLP for grey images of up to 32 pixels, else conv4."""
    if name != "auto":
        return name
    channels, height, width = shape
    return "mlp" if channels == 1 and max(height, width) <= 32 else "conv4"


def make_network(
    name: NetworkName,
    hidden: Sequence[int],
    info: StreamInfo,
    initialisation: Initialisation = "torch",
) -> nn.Module:
    """Return a network on the stream's device, initialised by its init seed alone.

    Weights are drawn on the CPU, so that every device starts from the same ones.

    Args:
        name: ``mlp``, ``conv4`` or ``auto`` (see `choose`).
        hidden: Widths of the MLP's hidden layers; the first is conv4's number of channels.
        info: Shape of the images, number of units, init seed, device.
        initialisation: ``torch`` for its defaults, or ``xavier``.
    """
    channels, height, width = info.shape
    with initialised_by(info.seeds.init):
        if choose(name, info.shape) == "mlp":
            network: nn.Module = MLP(channels * height * width, hidden, info.classes)
        else:
            network = Conv4(info.shape, hidden[0], info.classes)
        if initialisation == "xavier":
            network.apply(_xavier)
    return network.to(info.device)


def _xavier(layer: nn.Module) -> None:
    """Draw a layer's weights uniformly, of variance 2 / (inputs + outputs); biases 0 (Glorot & Bengio 2010)."""
    if isinstance(layer, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(layer.weight)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def copy_body(
    source: nn.Module, to: nn.Module, build: Callable[[StreamInfo], nn.Module], info: StreamInfo
) -> None:
    """Copy every weight but the head: what changes its shape when ``build`` is told of one more class.

    Args:
        source: Built for any number of classes.
        to: Built for any number of classes; its head stays.
        build: Returns a network for a stream.
        info: Of any stream of such images.
    """
    more = build(replace(info, classes=info.classes + 1)).state_dict()
    shapes = {name: weight.shape for name, weight in build(info).state_dict().items()}
    own, given = to.state_dict(), source.state_dict()
    body = {name: given[name] for name, shape in shapes.items() if shape == more[name].shape}
    to.load_state_dict(own | body)


class StridedConv4(nn.Module):
    """Four 3×3 convolutions of stride 2, each with batch normalisation and ReLU, then a linear layer.

    The Omniglot network of Finn et al. 2017 and Nichol et al. 2018. Normalised by the statistics of the batch at hand,
    always: logits depend on the whole batch, of which there must be two samples at least.
    """

    def __init__(self, shape: tuple[int, int, int], channels: int, units: int) -> None:
        super().__init__()
        before, height, width = shape
        blocks: list[nn.Module] = []
        for _ in range(4):
            blocks += [
                nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels, eps=1e-3, track_running_stats=False),
                nn.ReLU(),
            ]
            before, height, width = channels, (height + 1) // 2, (width + 1) // 2
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels * height * width, units)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [N, units]."""
        return self.head(self.blocks(x).flatten(1))  # type: ignore[no-any-return]
