"""MAS: how far each parameter moves the squared norm of the outputs."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from clbench.experience import Experience
from clbench.penalties import PenaltyStrategy, vector
from clbench.stream import Stream
from tests.toys import make, stream_of


def after(stream: Stream, experiences: int, **hyper: Any) -> tuple[PenaltyStrategy, Experience]:
    """Return MAS after some experiences, and the last of them."""
    strategy = cast(PenaltyStrategy, make("mas", stream.info, lr=0.01, **hyper))
    for index in range(experiences):
        (experience,) = stream.deliver(index)
        strategy.learn(experience)
    return strategy, experience


def norms(strategy: PenaltyStrategy, x: Tensor, units: list[int]) -> Tensor:
    """Return ‖f(x)‖² over some units, for each image."""
    outputs: Tensor = strategy.network(strategy.info.normalise(x))[:, units]
    return outputs.square().sum(1)


@pytest.mark.parametrize(
    ("scenario", "units"),
    [
        ("class-incremental", [[0, 1], [0, 1, 2, 3]]),
        ("domain-incremental", [[0, 1], [0, 1]]),
        ("task-incremental", [[0, 1], [2, 3]]),
    ],
)
def test_importance_sums_over_experiences_and_is_taken_per_sample(
    scenario: str, units: list[list[int]]
) -> None:
    """Over the units that compete: those seen, all, the task's."""
    stream = stream_of(scenario, class_order="natural")
    expected = torch.zeros(1)
    for experiences in (1, 2):
        strategy, experience = after(stream, experiences)
        parameters = list(strategy.network.parameters())
        for x in experience.x:
            norm = norms(strategy, x[None], units[experiences - 1]).sum()
            found = torch.autograd.grad(norm, parameters)
            expected = expected + torch.cat([g.flatten() for g in found]).abs() / len(experience)
    torch.testing.assert_close(strategy.importances, expected[None])


def test_importance_is_a_derivative() -> None:
    """Against finite differences of each sample's norm, for parameters of every layer."""
    strategy, experience = after(stream_of("domain-incremental"), 1)
    strategy.network.double()
    x, step = experience.x, 1e-6
    theta = vector(strategy.network)
    for place in (0, 100, 272, 400, 544, len(theta) - 1):
        sides = []
        for sign in (1, -1):
            moved = theta.clone()
            moved[place] += sign * step
            vector_to_parameters(moved, strategy.network.parameters())
            outputs = strategy.network(strategy.info.normalise(x).double())
            sides.append(outputs.square().sum(1).detach())
        slope = ((sides[0] - sides[1]) / (2 * step)).abs().mean()
        torch.testing.assert_close(
            strategy.importances[0, place].double(), slope, atol=1e-6, rtol=1e-4
        )


def test_importance_needs_no_labels() -> None:
    strategy, experience = after(stream_of("class-incremental"), 1)
    before = strategy.importances
    for kept in (experience.y, experience.group):
        kept.copy_(kept[torch.randperm(len(kept))])
    strategy.importances = torch.zeros_like(before)
    strategy.consolidate(experience)
    assert torch.equal(strategy.importances, before)
