"""What EWC, online EWC, SI, L2, MAS and LwF have in common."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from clbench.gradient import GradientStrategy, cross_entropy
from clbench.networks import Conv4
from clbench.penalties import PenaltyStrategy, vector
from clbench.stream import Stream
from tests.toys import SCENARIOS, make, stream_of, toy_dataset

PENALISED = ("ewc", "l2", "mas", "online-ewc", "si")
METHODS = (*PENALISED, "lwf")
FACTORS = {"ewc": 0.5, "l2": 0.5, "mas": 1.0, "online-ewc": 0.5, "si": 1.0}
"""What λ is multiplied by in each paper."""

every_method = pytest.mark.parametrize("name", METHODS)
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def learnt(name: str, stream: Stream, experiences: int, **hyper: Any) -> GradientStrategy:
    """Return a strategy after some experiences."""
    strategy = cast(GradientStrategy, make(name, stream.info, **hyper))
    for index in range(experiences):
        for experience in stream.deliver(index):
            strategy.learn(experience)
    return strategy


@every_method
@every_scenario
@pytest.mark.parametrize("online", [False, True])
def test_the_first_experience_is_fine_tuning_to_the_bit(
    name: str, scenario: str, online: bool
) -> None:
    stream = stream_of(scenario, online=online)
    expected = vector(learnt("finetune", stream, 1, lr=0.01).network)
    assert torch.equal(vector(learnt(name, stream, 1, lr=0.01).network), expected)


@every_method
@every_scenario
def test_the_second_is_not(name: str, scenario: str) -> None:
    stream = stream_of(scenario)
    plain = vector(learnt("finetune", stream, 2, lr=0.01, epochs=3).network)
    assert not torch.allclose(vector(learnt(name, stream, 2, lr=0.01, epochs=3).network), plain)


@pytest.mark.parametrize("name", PENALISED)
@every_scenario
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_penalty_trains_like_a_term_of_the_loss(
    name: str, scenario: str, optimizer: str
) -> None:
    """Against a plain loop that leaves the penalty's gradient to autograd."""
    stream = stream_of(scenario)
    hyper = {"lr": 0.003, "epochs": 3, "strength": 3.0, "optimizer": optimizer}
    strategy = cast(PenaltyStrategy, learnt(name, stream, 1, **hyper))
    plain = cast(PenaltyStrategy, make(name, stream.info, **hyper))
    plain.load_state_dict(copy.deepcopy(strategy.state_dict()))
    (second,) = stream.deliver(1)
    plain.see(second)
    x = stream.info.normalise(second.x)
    for rows in plain.schedule(len(second)):
        batch = plain.batch(x[rows], second.group[rows])
        theta = parameters_to_vector(plain.network.parameters())
        penalty = (plain.importances * (theta - plain.anchors) ** 2).sum()
        loss = cross_entropy(plain.network(batch.x), batch) + 3.0 * FACTORS[name] * penalty
        plain.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        plain.optimizer.step()
    strategy.learn(second)
    torch.testing.assert_close(vector(strategy.network), vector(plain.network))


@every_method
@every_scenario
@pytest.mark.parametrize("online", [False, True])
def test_a_fresh_strategy_goes_on_from_the_state_to_the_bit(
    name: str, scenario: str, online: bool
) -> None:
    stream = stream_of(
        scenario, toy_dataset(train=[9] * 6, test=[2] * 6), experiences=3, online=online
    )
    hyper = {"fisher": "sampled"} if "ewc" in name else {}  # which draws as well
    whole = cast(GradientStrategy, make(name, stream.info, **hyper))
    for index in range(3):
        fresh = cast(GradientStrategy, make(name, stream.info, **hyper))
        fresh.load_state_dict(copy.deepcopy(whole.state_dict()))
        for experience in stream.deliver(index):
            whole.learn(experience)
            fresh.learn(experience)
        assert equal(fresh.state_dict(), whole.state_dict())
        assert fresh.memory_bytes() == whole.memory_bytes()


def equal(a: Any, b: Any) -> bool:
    """Return whether two states agree to the bit."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


@every_method
def test_nothing_but_the_state_outlives_an_experience(name: str) -> None:
    stream = stream_of("class-incremental")
    before = set(vars(make(name, stream.info)))
    assert set(vars(learnt(name, stream, 1))) == before


@every_method
def test_a_state_is_not_changed_by_learning_on(name: str) -> None:
    stream = stream_of("class-incremental")
    other, strategy = make(name, stream.info), learnt(name, stream, 1)
    kept = {k: v for k, v in strategy.state_dict().items() if k in ("anchors", "importances")}
    copied = copy.deepcopy(kept)
    other.load_state_dict(strategy.state_dict())
    for experience in stream.deliver(1):
        strategy.learn(experience)
        other.learn(experience)
    assert equal(kept, copied)


@every_method
def test_streams_without_boundaries_are_refused_with_a_reason(name: str) -> None:
    hidden = stream_of("class-incremental", online=True, boundaries=False).info
    strategy = make(name, stream_of("class-incremental").info)
    assert "boundaries" in (strategy.skip_reason(hidden) or "")


@every_method
@every_scenario
def test_convolutional_networks(name: str, scenario: str) -> None:
    stream = stream_of(scenario, toy_dataset(shape=(3, 9, 8)))
    strategy = learnt(name, stream, 2, network="conv4", hidden=[4])
    assert isinstance(strategy.network, Conv4)
    assert torch.isfinite(vector(strategy.network)).all()
    if name in ("ewc", "mas", "online-ewc"):  # every kind of layer has some importance
        importances = cast(PenaltyStrategy, strategy).importances[-1]
        parts = torch.split(importances, [p.numel() for p in strategy.network.parameters()])
        assert all(part.sum() > 0 for part in parts)
