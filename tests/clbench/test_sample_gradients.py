"""Sums of per-sample gradients against a loop over the samples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from clbench.networks import MLP, Conv4
from clbench.sample_gradients import summed_gradients

with torch.random.fork_rng(devices=[]):
    torch.manual_seed(0)  # else the networks would depend on which tests were imported before
    NETWORKS = {
        "mlp": ((1, 4, 4), MLP(16, [5, 6], 3)),
        "conv4": ((2, 8, 6), Conv4((2, 8, 6), 4, 3)),
    }


def images(shape: tuple[int, ...], count: int = 9) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


def gradient(network: nn.Module, score: Tensor) -> Tensor:
    found = torch.autograd.grad(score, list(network.parameters()), retain_graph=True)
    return torch.cat([part.flatten() for part in found])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("power", [1, 2])
def test_every_sample_counts_by_itself(name: str, power: int) -> None:
    shape, network = NETWORKS[name]
    x = images(shape)
    found = summed_gradients(network, x, lambda z: z.log_softmax(1)[:, :2], power)
    alone = [network(row[None]).log_softmax(1)[0, k] for row in x for k in range(2)]
    each = torch.stack([gradient(network, score) for score in alone])
    torch.testing.assert_close(found, (each.abs() ** power).sum(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_square_of_the_batch_gradient_is_something_else(name: str) -> None:
    shape, network = NETWORKS[name]
    x = images(shape)
    found = summed_gradients(network, x, lambda z: z[:, :1], power=2) / len(x)
    of_the_mean = gradient(network, network(x)[:, 0].mean()) ** 2
    assert (found >= of_the_mean - 1e-6).all()  # Jensen
    assert found.sum() > 1.05 * of_the_mean.sum()


def test_a_linear_layer_without_bias_or_over_several_positions() -> None:
    """The outer product holds for one position; with more the gradients are formed one by one."""
    network = nn.Sequential(
        nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2, bias=False)
    )
    x = images((4, 4))
    found = summed_gradients(network, x, lambda z: z[:, :1], power=1)
    each = torch.stack([gradient(network, network(row[None])[0, 0]) for row in x])
    torch.testing.assert_close(found, each.abs().sum(0))


def test_a_layer_used_twice_is_refused() -> None:
    layer = nn.Linear(4, 4)
    with pytest.raises(AssertionError, match="used once"):
        summed_gradients(nn.Sequential(layer, layer), torch.ones(1, 4), lambda z: z, power=2)


def test_gradients_and_hooks_are_left_as_they_were() -> None:
    shape, network = NETWORKS["mlp"]
    summed_gradients(network, images(shape), lambda z: z, power=2)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
