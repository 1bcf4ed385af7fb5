"""Per-sample gradients, summed: what Fisher information and other parameter importances are made of.

The gradient of a batch is a mean in which samples cancel, so its square is not the mean of their squares. A linear
layer's gradient for one sample is the outer product e hᵀ of the error at its output and its input, so that
Σₙ |eₙ hₙᵀ|ᵖ = (|e|ᵖ)ᵀ |h|ᵖ: all samples cost one matrix product, as in a backward pass (Goodfellow 2015,
arXiv 1510.01799). Any other layer's gradients are formed one by one, by `torch.func.vmap`, and summed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap


def summed_gradients(
    network: nn.Module, x: Tensor, scores: Callable[[Tensor], Tensor], power: int
) -> Tensor:
    """Return Σₙ Σₖ |∂sₙₖ/∂θ|ᵖ over samples n and scores k, as one vector [P] in the order of the parameters.

    It costs a forward pass and K backward passes; a convolution's part costs about three times as much.

    Args:
        network: Treats each sample by itself (no batch normalisation); a layer with parameters is used once.
        x: [N, …] inputs, as many as fit where a layer is not linear: its gradients are N times its size.
        scores: Takes the logits [N, C] to [N, K], each row from its own sample alone.
        power: p: 1 for sizes, 2 for squares.
    """
    inputs: dict[nn.Module, Tensor] = {}
    outputs: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        assert layer not in inputs, "a layer with parameters must be used once"
        inputs[layer], outputs[layer] = given[0].detach(), output

    layers = [m for m in network.modules() if any(True for _ in m.parameters(recurse=False))]
    handles = [layer.register_forward_hook(keep) for layer in layers]
    columns = scores(network(x)).unbind(1)
    for handle in handles:
        handle.remove()
    total = torch.zeros(sum(p.numel() for p in network.parameters()), device=x.device)
    ends = [outputs[layer] for layer in layers]
    for column in columns:
        errors = torch.autograd.grad(column.sum(), ends, retain_graph=True)
        pairs = zip(layers, errors, strict=True)
        total += torch.cat([_summed(layer, inputs[layer], e, power) for layer, e in pairs])
    return total


def _summed(layer: nn.Module, h: Tensor, e: Tensor, power: int) -> Tensor:
    """Return Σₙ |gradient|ᵖ of a layer's parameters, from its inputs and the errors at its outputs."""
    if isinstance(layer, nn.Linear) and h.ndim == 2:
        h, e = h.abs() ** power, e.abs() ** power
        return torch.cat([(e.T @ h).flatten()] + ([] if layer.bias is None else [e.sum(0)]))
    own = dict(layer.named_parameters(recurse=False))

    def gradient(h: Tensor, e: Tensor) -> Any:
        pull_back = vjp(lambda weights: functional_call(layer, weights, (h[None],)), own)[1]
        return pull_back(e[None])[0]

    each = vmap(gradient)(h, e)
    return torch.cat([(each[name].abs() ** power).sum(0).flatten() for name in own])
