"""Single SGD steps by hand take the path that autograd takes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import parameters_to_vector

from clbench.experience import masked
from clbench.networks import MLP
from clbench.single_steps import descend

MASKS = {
    "none": None,
    "shared": torch.tensor([True, True, False, True]),
    "own": torch.rand(9, 4, generator=torch.Generator().manual_seed(1)) < 0.5,
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("hidden", [[], [7], [8, 6], [5, 5, 5]])
def test_the_steps_are_autograds(hidden: list[int], mask: str) -> None:
    torch.manual_seed(0)
    by_hand = MLP(12, hidden, 4)
    expected = copy.deepcopy(by_hand)
    x, y = torch.randn(9, 1, 3, 4), torch.tensor([0, 1, 3] * 3)
    chosen: Tensor | None = MASKS[mask]
    if chosen is not None and chosen.ndim == 2:
        chosen = chosen | functional.one_hot(y, 4).bool()  # a sample's own unit always competes
    descend(by_hand, x, y, chosen, lr=0.3)
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.3)
    for n in range(len(y)):
        own = chosen[n] if chosen is not None and chosen.ndim == 2 else chosen
        optimizer.zero_grad()
        loss = functional.cross_entropy(masked(expected(x[n : n + 1]), own), y[n : n + 1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(
        parameters_to_vector(by_hand.parameters()), parameters_to_vector(expected.parameters())
    )


def test_a_masked_unit_learns_nothing() -> None:
    network = MLP(12, [5], 4)
    before = list(network.parameters())[-2].detach().clone()
    mask = torch.tensor([True, True, False, True])
    descend(network, torch.randn(3, 12), torch.tensor([0, 1, 3]), mask, lr=0.1)
    changed = (list(network.parameters())[-2] != before).any(1)
    assert changed.tolist() == mask.tolist()
