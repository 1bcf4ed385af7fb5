"""What the strategies with a quadratic penalty share, against its formula."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from clbench.errors import NonFiniteLossError
from clbench.evaluator import Outcome, run_stream
from clbench.experience import Experience
from clbench.penalties import PenaltyStrategy, gradient_vector, vector
from tests.toys import learn_all, make, stream_of

PENALISED = ("ewc", "l2", "mas", "online-ewc", "si")
FACTORS = {"ewc": 0.5, "l2": 0.5, "mas": 1.0, "online-ewc": 0.5, "si": 1.0}
"""What λ is multiplied by in each paper."""

every_method = pytest.mark.parametrize("name", PENALISED)


def set_gradients(strategy: PenaltyStrategy, values: Tensor) -> None:
    parameters = list(strategy.network.parameters())
    parts = torch.split(values, [p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter).clone()


def penalised(name: str, **hyper: Any) -> PenaltyStrategy:
    """Return a strategy that learnt both experiences."""
    stream = stream_of("class-incremental")
    strategy = make(name, stream.info, **hyper)
    learn_all(strategy, stream)
    return cast(PenaltyStrategy, strategy)


@every_method
def test_penalty_and_gradient_are_those_of_the_formula(name: str) -> None:
    strategy = penalised(name, strength=7.0)
    width = strategy.parameter_count()
    generator = torch.Generator().manual_seed(1)
    strategy.anchors = torch.randn(3, width, generator=generator)
    strategy.importances = torch.rand(3, width, generator=generator)
    before = torch.randn(width, generator=generator)
    set_gradients(strategy, before)
    found = strategy.penalise()
    theta = vector(strategy.network).requires_grad_()
    away = theta - strategy.anchors
    expected = 7.0 * FACTORS[name] * (strategy.importances * away**2).sum()
    (slope,) = torch.autograd.grad(expected, theta)
    assert found is not None
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(gradient_vector(strategy.network), before + slope)


@every_method
def test_the_anchor_is_where_the_last_experience_ended(name: str) -> None:
    strategy = penalised(name)
    assert torch.equal(strategy.anchors[-1], vector(strategy.network))
    assert len(strategy.anchors) == (2 if name == "ewc" else 1)


@every_method
def test_there_is_no_penalty_before_the_first_experience_ends(name: str) -> None:
    strategy = cast(PenaltyStrategy, make(name, stream_of("class-incremental").info))
    set_gradients(strategy, torch.zeros(strategy.parameter_count()))
    assert strategy.penalise() is None


@every_method
def test_memory_is_what_the_equations_keep(name: str) -> None:
    """θ* and Ω in float32: once, or for every experience; L2 has one importance for all parameters."""
    strategy = penalised(name)
    width = 17 * 16 + 17 * 16 + 17 * 4
    assert strategy.parameter_count() == width
    expected = {"ewc": 2 * 2 * width, "l2": width + 1}.get(name, 2 * width)
    assert strategy.memory_bytes() == 4 * expected


@every_method
@pytest.mark.parametrize("strength", [1e-12, 1e6])
def test_strength_sets_how_far_the_parameters_go(name: str, strength: float) -> None:
    stream = stream_of("class-incremental")
    strategy = cast(
        PenaltyStrategy,
        make(name, stream.info, strength=strength, optimizer="sgd", lr=1e-7, epochs=3),
    )
    first, second = (next(iter(stream.deliver(index))) for index in range(2))
    strategy.learn(first)
    anchor = vector(strategy.network)
    strategy.importances = torch.ones_like(strategy.importances)
    strategy.anchors = (anchor + 1)[None]  # the penalty pulls upwards, the data do not
    strategy.learn(second)
    moved = (vector(strategy.network) - anchor).mean()
    assert moved > 0.5 if strength == 1e6 else moved.abs() < 1e-3


class Diverging(PenaltyStrategy):
    """A penalty that is not finite from the second step on, while the loss stays so."""

    def consolidate(self, experience: Experience) -> None:
        pass

    def penalise(self) -> Tensor | None:
        return torch.tensor(torch.inf if self.effort.steps else 0.0)


def test_a_penalty_that_diverges_is_found_in_the_losses() -> None:
    """The step counts within its experience."""
    stream = stream_of("class-incremental")
    hyper = cast(PenaltyStrategy, make("finetune", stream.info)).parameters
    strategy = Diverging(hyper)
    strategy.setup(stream.info)
    with pytest.raises(NonFiniteLossError) as caught:
        run_stream(stream, strategy, Outcome())
    assert (caught.value.experience, caught.value.step) == (0, 1)


def test_means_are_over_all_samples_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = penalised("mas")
    (experience,) = stream_of("class-incremental").deliver(1)
    whole = strategy.mean_gradients(experience, lambda z, batch: z[:, :1], power=2)
    monkeypatch.setattr("clbench.penalties.CHUNK", 7)
    parts = strategy.mean_gradients(experience, lambda z, batch: z[:, :1], power=2)
    torch.testing.assert_close(parts, whole)
