"""Fisher information against a loop over samples and labels."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from clbench.experience import Experience
from clbench.fisher import fisher_information
from clbench.penalties import PenaltyStrategy
from clbench.stream import Stream
from tests.toys import SCENARIOS, make, stream_of

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def begun(stream: Stream, **hyper: Any) -> tuple[PenaltyStrategy, Experience]:
    """Return a strategy that learnt the first experience and knows of the second, and that one."""
    strategy = cast(PenaltyStrategy, make("online-ewc", stream.info, lr=0.01, epochs=5, **hyper))
    first, second = (next(iter(stream.deliver(index))) for index in range(2))
    strategy.learn(first)
    strategy.see(second)
    return strategy, second


def units(stream: Stream) -> list[int]:
    """Return the units that compete in the second experience."""
    tasks = stream.plan.tasks
    if stream.info.tells_task:
        return list(tasks[1].units)
    return sorted({*tasks[0].units, *tasks[1].units})


def squares(strategy: PenaltyStrategy, x: Tensor, competing: list[int], unit: int) -> Tensor:
    """Return p(unit|x), and the squares of ∂ log p(unit|x), for one image."""
    logits = strategy.network(strategy.info.normalise(x[None]))[0, competing]
    log_p = logits.log_softmax(0)[competing.index(unit)]
    found = torch.autograd.grad(log_p, list(strategy.network.parameters()))
    return log_p.exp().detach(), torch.cat([g.flatten() for g in found]) ** 2  # type: ignore[return-value]


@every_scenario
def test_exact_information_is_an_expectation_over_the_units_that_competed(scenario: str) -> None:
    stream = stream_of(scenario)
    strategy, second = begun(stream)
    competing = units(stream)
    expected = sum(
        p * square
        for x in second.x
        for p, square in (squares(strategy, x, competing, unit) for unit in competing)
    )
    torch.testing.assert_close(fisher_information(strategy, second), expected / len(second))


@every_scenario
@pytest.mark.parametrize("fisher", ["empirical", "predicted"])
def test_one_label_each(scenario: str, fisher: str) -> None:
    stream = stream_of(scenario)
    strategy, second = begun(stream, fisher=fisher)
    competing = units(stream)
    expected = torch.zeros(strategy.parameter_count())
    for x, y in zip(second.x, second.y.tolist(), strict=True):
        logits = strategy.network(strategy.info.normalise(x[None]))[0, competing]
        label = y if fisher == "empirical" else competing[int(logits.argmax())]
        expected += squares(strategy, x, competing, label)[1]
    torch.testing.assert_close(fisher_information(strategy, second), expected / len(second))


@every_scenario
def test_sampled_information_has_the_exact_one_as_its_mean(scenario: str) -> None:
    strategy, second = begun(stream_of(scenario), fisher="sampled")
    draws = torch.stack([fisher_information(strategy, second) for _ in range(200)])
    assert not torch.equal(draws[0], draws[1])
    exact, _ = begun(stream_of(scenario), fisher="exact")
    expected = fisher_information(exact, second)
    error = (draws.mean(0) - expected).norm() / expected.norm()
    assert error < 0.1


def test_information_is_not_the_square_of_the_batch_gradient() -> None:
    """The mistake of several ports."""
    strategy, second = begun(stream_of("class-incremental"), fisher="empirical")
    batch = strategy.batch(strategy.info.normalise(second.x), second.group)
    loss = strategy.loss(strategy.network, batch)
    mistaken = torch.cat(
        [g.flatten() for g in torch.autograd.grad(loss, list(strategy.network.parameters()))]
    )
    assert fisher_information(strategy, second).sum() > 1.5 * mistaken.square().sum()


def test_the_expectation_may_be_over_the_first_samples_alone() -> None:
    strategy, second = begun(stream_of("class-incremental"), fisher_samples=5)
    whole, _ = begun(stream_of("class-incremental"))
    found = fisher_information(strategy, second)
    torch.testing.assert_close(found, fisher_information(whole, second[:5]))
    assert not torch.allclose(found, fisher_information(whole, second))
