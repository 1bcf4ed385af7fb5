"""LwF: which responses are recorded, and what is asked of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from clbench.strategies.lwf import divergence

from clbench.gradient import GradientStrategy, cross_entropy
from clbench.penalties import vector
from clbench.stream import Stream
from tests.toys import SCENARIOS, make, stream_of, toy_dataset

OLD, NEW = [1.0, 0.0, 3.0, -1.0], [0.5, 2.0, 1.0, 0.0]
HEADS = {
    "class-incremental": [([0, 1, 2, 3], [0, 1, 2, 3, 4, 5])],
    "domain-incremental": [([0, 1], [0, 1])],
    "task-incremental": [([0, 1], [0, 1]), ([2, 3], [2, 3])],
}
"""Old units, and those that share a softmax with them, when the third of three experiences is learnt."""


def softmax(logits: Sequence[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


def by_hand(old: Sequence[float], new: Sequence[float], temperature: float) -> float:
    """Return T² KL by hand; `new` may have units that `old` has not, at its end."""
    p, q = softmax(old, temperature), softmax(new, temperature)
    return temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=False))


def of_three(scenario: str) -> Stream:
    data = toy_dataset(train=[8] * 6, test=[2] * 6)
    return stream_of(scenario, data, experiences=3, class_order="natural")


def before_the_third(stream: Stream, **hyper: Any) -> GradientStrategy:
    strategy = cast(GradientStrategy, make("lwf", stream.info, lr=0.01, epochs=3, **hyper))
    for index in range(2):
        (experience,) = stream.deliver(index)
        strategy.learn(experience)
    return strategy


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("new_units", ["zero", "ignored"])
@pytest.mark.parametrize(("strength", "temperature"), [(1.0, 2.0), (0.3, 1.0), (2.0, 3.0)])
def test_the_loss_by_hand(
    scenario: str, new_units: str, strength: float, temperature: float
) -> None:
    """Cross-entropy and λ T² KL, over each old task's head, all units, or all units seen before."""
    stream = of_three(scenario)
    strategy = before_the_third(
        stream, strength=strength, temperature=temperature, new_units=new_units
    )
    (third,) = stream.deliver(2)
    strategy.see(third)
    current = replace(third, x=stream.info.normalise(third.x))
    strategy.begin(current)
    with torch.no_grad():
        recorded = strategy.network(current.x)
    generator = torch.Generator().manual_seed(0)
    present = recorded + torch.randn(recorded.shape, generator=generator)
    rows = torch.tensor([3, 0, 5])
    batch = strategy.draw(current, rows)
    found = strategy.loss(lambda x: present[rows], batch)
    plain = float(cross_entropy(present[rows], batch))
    expected = 0.0
    for old, now in HEADS[scenario]:
        units = old if new_units == "ignored" else now
        for row in rows.tolist():
            z, z_old = present[row, units].tolist(), recorded[row, old].tolist()
            expected += by_hand(z_old, z, temperature) / len(rows)
    assert float(found) == pytest.approx(plain + strength * expected, rel=1e-4)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_teacher_is_the_network_before_the_experience(scenario: str) -> None:
    """Against a plain loop with a frozen copy of the old network."""
    stream = of_three(scenario)
    strategy = before_the_third(stream, strength=2.0)
    plain = before_the_third(stream, strength=2.0)
    teacher = copy.deepcopy(plain.network)
    (third,) = stream.deliver(2)
    GradientStrategy.see(plain, third)
    x = stream.info.normalise(third.x)
    for rows in plain.schedule(len(third)):
        batch = plain.batch(x[rows], third.group[rows])
        logits = plain.network(batch.x)
        loss = cross_entropy(logits, batch)
        for old, now in HEADS[scenario]:
            p = (teacher(batch.x)[:, old] / 2).softmax(1).detach()
            q = (logits[:, now] / 2).softmax(1)[:, : len(old)]
            loss = loss + 2.0 * 4 * (p * (p / q).log()).sum(1).mean()
        plain.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        plain.optimizer.step()
    strategy.learn(third)
    torch.testing.assert_close(vector(strategy.network), vector(plain.network))


def test_the_temperature_squared_keeps_the_size_of_the_gradient() -> None:
    """T² KL tends to half the squared distance of the centred logits over C: it does not vanish."""
    old, new = torch.tensor([OLD]), torch.tensor([NEW])
    gap = (old - old.mean()) - (new - new.mean())
    limit = gap.square().sum() / (2 * 4)
    torch.testing.assert_close(divergence(old, new, 100.0), limit, rtol=0.02, atol=0)
    assert float(divergence(old, new, 2.0)) == pytest.approx(by_hand(OLD, NEW, 2.0))


def test_masked_units_have_no_gradient() -> None:
    old = torch.tensor([[1.0, 2.0, -torch.inf, -torch.inf]])
    new = torch.tensor([[0.5, 2.0, 1.0, 0.0]], requires_grad=True)
    present = new.masked_fill(torch.tensor([False, False, False, True]), -torch.inf)
    (slope,) = torch.autograd.grad(divergence(old, present, 2.0), new)
    assert torch.isfinite(slope).all()
    assert slope[0, 3] == 0
    assert slope[0, 2] > 0  # a new unit is pushed down


def test_nothing_is_kept_between_experiences() -> None:
    """The old network is the present one when an experience begins."""
    strategy = before_the_third(of_three("class-incremental"))
    assert strategy.memory_bytes() == 0
