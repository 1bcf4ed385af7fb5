"""Learners that take their steps at once: each ends where it ends alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from clbench.gradient import GradientStrategy
from clbench.seeds import Seeds
from clbench.strategy import Strategy
from clbench.stream import Stream
from clbench.together import Together, alone_because
from tests.toys import SCENARIOS, STRATEGIES, make, stream_of, toy_dataset, unprepared

STACKED = ("finetune", "joint", "replay", "ewc", "online-ewc", "si", "l2", "mas")
UNEVEN = (41, 12, 30, 23)  # learners whose class orders differ take different numbers of steps


def streams(scenario: str, count: int = 4, **options: Any) -> list[Stream]:
    data = toy_dataset(train=UNEVEN)
    seeds = [Seeds.of(s) for s in range(count)]
    return [stream_of(scenario, data, seeds=of, **options) for of in seeds]


def parameters(strategy: Strategy) -> Tensor:
    assert isinstance(strategy, GradientStrategy)
    return torch.cat([p.detach().flatten() for p in strategy.network.parameters()])


@pytest.mark.parametrize("name", STACKED)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("online", [False, True])
def test_each_learner_ends_where_it_ends_alone(scenario: str, name: str, online: bool) -> None:
    given = {"online": True, "batch_size": 5} if online else {}
    each = streams(scenario, **given)
    alone = [make(name, stream.info) for stream in each]
    joined: list[Any] = [make(name, stream.info) for stream in each]
    together = Together()
    for index in range(len(each[0])):
        experiences = [next(stream.deliver(index)) for stream in each]
        for strategy, experience in zip(alone, experiences, strict=True):
            strategy.learn(experience)
        assert together.learn(joined, experiences) == [None] * len(each)
    for one, other in zip(alone, joined, strict=True):
        torch.testing.assert_close(parameters(other), parameters(one), atol=1e-5, rtol=1e-4)
        assert one.effort == other.effort


def test_what_can_learn_together() -> None:
    can = {name for name in STRATEGIES if alone_because(type(unprepared(name))) is None}
    assert can == set(STACKED)
    assert "no GradientStrategy" in str(alone_because(type(unprepared("nearest"))))
