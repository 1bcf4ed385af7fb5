"""L2: towards the last experience's parameters, all alike."""

from __future__ import annotations

from typing import cast

import torch

from clbench.penalties import PenaltyStrategy, vector
from tests.toys import make, stream_of


def test_one_step_by_hand() -> None:
    """Plain gradient descent: θ ← θ − lr (g + λ (θ − θ*)), the ½ gone with the derivative."""
    stream = stream_of("domain-incremental")
    hyper = {"optimizer": "sgd", "lr": 0.1, "batch_size": 1000}
    strategy = cast(PenaltyStrategy, make("l2", stream.info, strength=3.0, **hyper))
    first, second = (next(iter(stream.deliver(index))) for index in range(2))
    strategy.learn(first)
    theta = vector(strategy.network)
    away = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0))
    strategy.anchors = strategy.anchors - away  # θ − θ* is no longer 0 at the first step
    batch = strategy.batch(stream.info.normalise(second.x), second.group)
    loss = strategy.loss(strategy.network, batch)
    found = torch.autograd.grad(loss, list(strategy.network.parameters()))
    gradient = torch.cat([part.flatten() for part in found])
    strategy.learn(second)
    torch.testing.assert_close(
        vector(strategy.network), theta - 0.1 * (gradient + 3.0 * away), atol=1e-5, rtol=1e-4
    )
