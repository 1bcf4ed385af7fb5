"""SI: the path integral of the loss without the penalty."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from clbench.experience import StreamInfo
from clbench.penalties import PenaltyStrategy, vector
from clbench.registry import resolve
from tests.toys import SCENARIOS, make, stream_of

CURVATURE = torch.tensor([4.0, 1.0, 0.25])
START = torch.tensor([1.0, -2.0, 3.0])
SI = resolve("strategies", "si").target


class Point(nn.Module):
    """A network that is nothing but parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(START.clone())


class Bowl(SI):  # type: ignore[misc, valid-type]
    """SI on a loss ½ Σ hᵢ (θᵢ − mᵢ)² that knows no data; m is another in each experience."""

    centre = torch.zeros(3)

    def build(self, info: StreamInfo) -> nn.Module:
        return Point()

    def loss(self, network: Any, batch: Any) -> Tensor:
        loss: Tensor = (CURVATURE * (network.theta - self.centre) ** 2).sum() / 2
        return loss


def rolled(steps: int = 1, **hyper: Any) -> tuple[Any, Any]:
    """Return SI at START in the bowl, and an experience of that many steps."""
    stream = stream_of("class-incremental")
    parameters = SI.Parameters.parse({"epochs": steps, "batch_size": 1000, **hyper}, "si")
    strategy = Bowl(parameters)
    strategy.setup(stream.info)
    (experience,) = stream.deliver(0)
    return strategy, experience


def test_importance_is_the_path_integral_over_the_squared_distance() -> None:
    """In small steps, ω is each parameter's own share of the loss's decrease: ½ h (θ₀² − θ₁²)."""
    strategy, experience = rolled(2000, optimizer="sgd", lr=0.0005, xi=0.1)
    strategy.learn(experience)
    end = vector(strategy.network)
    share = CURVATURE * (START**2 - end**2) / 2
    expected = share / ((end - START) ** 2 + 0.1)
    torch.testing.assert_close(strategy.importances[0], expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("strength", [0.5, 20.0])
def test_the_penalty_bends_the_path_but_is_no_part_of_the_integrand(strength: float) -> None:
    """By hand: g is the slope of the loss alone, δθ what gradient and penalty do together."""
    lr, xi, steps = 0.001, 0.05, 40
    strategy, experience = rolled(steps, optimizer="sgd", lr=lr, xi=xi, strength=strength)
    strategy.learn(experience)
    anchor, importance = strategy.anchors[0], strategy.importances[0]
    strategy.centre = torch.tensor([5.0, 5.0, 5.0])
    strategy.learn(experience)
    theta, omega = anchor.clone(), torch.zeros(3)
    for _ in range(steps):
        g = CURVATURE * (theta - 5.0)
        step = -lr * (g + 2 * strength * importance * (theta - anchor))
        theta, omega = theta + step, omega - g * step
    torch.testing.assert_close(strategy.anchors[0], theta)
    expected = importance + omega / ((theta - anchor) ** 2 + xi)
    torch.testing.assert_close(strategy.importances[0], expected)


def test_the_step_is_the_one_the_optimiser_took() -> None:
    """Adam's first step is lr against the sign, whatever the slope."""
    strategy, experience = rolled(optimizer="adam", lr=0.01, xi=0.1)
    strategy.learn(experience)
    omega = (CURVATURE * START).abs() * 0.01
    torch.testing.assert_close(strategy.importances[0], omega / (0.01**2 + 0.1))


@pytest.mark.parametrize("earlier", [0.0, 100.0])
def test_the_sum_of_importances_never_falls_below_zero(earlier: float) -> None:
    """Adam's momentum carries the parameters uphill: ω < 0, and Ω < 0 would reward leaving θ*."""
    strategy, experience = rolled(20, optimizer="adam", lr=0.05, xi=0.1, strength=1e-12)
    strategy.learn(experience)
    strategy.importances = torch.full((1, 3), earlier)
    strategy.centre = vector(strategy.network)
    strategy.learn(experience)
    if earlier:
        assert (strategy.importances < earlier).all()
        assert (strategy.importances > 0).all()
    else:
        assert (strategy.importances == 0).all()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_plain_loop_finds_the_same_importances(scenario: str) -> None:
    """The first experience with Adam: ω = −Σ g δθ, start to end."""
    stream = stream_of(scenario)
    hyper = {"lr": 0.01, "epochs": 3, "xi": 0.01}
    plain = cast(PenaltyStrategy, make("finetune", stream.info, lr=0.01, epochs=3))
    (first,) = stream.deliver(0)
    plain.see(first)
    start = vector(plain.network)
    omega = torch.zeros_like(start)
    for rows in plain.schedule(len(first)):
        before = vector(plain.network)
        batch = plain.batch(stream.info.normalise(first.x[rows]), first.group[rows])
        plain.optimizer.zero_grad()
        plain.loss(plain.network, batch).backward()  # type: ignore[no-untyped-call]
        g = torch.cat([torch.flatten(cast(Tensor, p.grad)) for p in plain.network.parameters()])
        plain.optimizer.step()
        omega -= g * (vector(plain.network) - before)
    expected = (omega / ((vector(plain.network) - start) ** 2 + 0.01)).relu()
    strategy = cast(PenaltyStrategy, make("si", stream.info, **hyper))
    strategy.learn(first)
    torch.testing.assert_close(strategy.importances[0], expected)
    if scenario == "task-incremental":  # the other head took no part
        assert (strategy.importances[0, -4:] > 0).sum() == 2
