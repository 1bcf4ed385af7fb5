"""EWC and online EWC: which anchors and which Fisher information they keep. The latter: `test_fisher.py`."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from clbench.fisher import fisher_information
from clbench.penalties import PenaltyStrategy, vector
from clbench.stream import Stream
from tests.toys import make, stream_of, toy_dataset


def three() -> Stream:
    return stream_of("class-incremental", toy_dataset(train=[9] * 6, test=[2] * 6), experiences=3)


def history(name: str, **hyper: Any) -> tuple[PenaltyStrategy, list[Tensor], list[Tensor]]:
    """Return a strategy after three experiences, and θ and F right after each, kept beside it."""
    stream = three()
    strategy = cast(PenaltyStrategy, make(name, stream.info, lr=0.01, **hyper))
    ends, information = [], []
    for index in range(3):
        (experience,) = stream.deliver(index)
        strategy.learn(experience)
        ends.append(vector(strategy.network))
        information.append(fisher_information(strategy, experience))
    return strategy, ends, information


def test_ewc_keeps_an_anchor_and_a_fisher_diagonal_for_each_experience() -> None:
    strategy, ends, information = history("ewc")
    assert torch.equal(strategy.anchors, torch.stack(ends))
    torch.testing.assert_close(strategy.importances, torch.stack(information))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_online_ewc_keeps_one_anchor_and_a_decaying_sum(gamma: float) -> None:
    strategy, ends, (first, second, third) = history("online-ewc", gamma=gamma)
    assert torch.equal(strategy.anchors, ends[-1][None])
    expected = gamma**2 * first + gamma * second + third
    torch.testing.assert_close(strategy.importances, expected[None])


def test_both_are_the_same_while_there_is_one_experience_to_keep() -> None:
    """The second experience of both is learnt under one anchor; EWC has two from then on."""
    stream, found = three(), []
    for name in ("ewc", "online-ewc"):
        strategy = cast(PenaltyStrategy, make(name, stream.info, strength=50.0))
        for index in range(2):
            (experience,) = stream.deliver(index)
            strategy.learn(experience)
        found.append(vector(strategy.network))
    assert torch.equal(*found)
