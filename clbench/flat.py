"""A network's parameters as one vector, for methods that move all of them at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def flatten(network: nn.Module) -> tuple[Tensor, Tensor]:
    """Let the parameters be views of one vector [P] and their gradients of another; return both.

    A backward pass adds to the second vector. Whoever steps on the first moves the network, and `load_state_dict` and
    other changes in place show in it; ``network.to`` and setting gradients to None would cut the tie.
    """
    parameters = list(network.parameters())
    weights = torch.empty(sum(p.numel() for p in parameters), device=parameters[0].device)
    weights = weights.to(parameters[0].dtype)
    gradients = torch.zeros_like(weights)
    start = 0
    for parameter in parameters:
        layout = (parameter.shape, parameter.stride(), start)  # strides: channels may be last
        parameter.data = weights.as_strided(*layout).copy_(parameter.data)
        parameter.grad = gradients.as_strided(*layout)
        start += parameter.numel()
    return weights, gradients
