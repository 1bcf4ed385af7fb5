"""A network's parameters as one vector, for methods that move all of them at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def flatten(network: nn.Module) -> tuple[Tensor, Tensor]:
    """Let the parameters be views of one vector [P] and their gradients of another; return both.

    A backward pass adds to the second vector. Whoever steps on the first moves the network, and `load_state_dict` and
    other changes in place show in it; ``network.to`` and setting gradients to None would cut the tie. A strategy keeps
    the pair as ``flat``, so that in a stack of learners (`clbench.together`) both can live in the stack's memory.
    """
    parameters = list(network.parameters())
    weights = torch.empty(sum(p.numel() for p in parameters), device=parameters[0].device)
    weights = weights.to(parameters[0].dtype)
    gradients = torch.zeros_like(weights)
    places = zip(
        parameters, views(weights[None], network), views(gradients[None], network), strict=True
    )
    for parameter, weight, gradient in places:
        parameter.data = weight[0].copy_(parameter.data)
        parameter.grad = gradient[0]
    return weights, gradients


def views(rows: Tensor, network: nn.Module) -> Iterator[Tensor]:
    """Yield views [S, …] of rows [S, P] for each parameter of networks like this one, each row one of them."""
    start = rows.storage_offset()
    for parameter in network.parameters():
        strides = (rows.stride(0), *parameter.stride())  # of the parameter: channels may be last
        yield rows.as_strided((len(rows), *parameter.shape), strides, start)
        start += parameter.numel()
