"""On a GPU everything is what it is on a CPU, within tolerance. Skipped where there is none.

A generator on a GPU draws other numbers, so that only what draws none while it learns can be held against the CPU: an
online stream is learnt in its own order.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from clbench.evaluator import Outcome, run_stream
from clbench.gradient import GradientStrategy
from tests.toys import SCENARIOS, make, runnable, stream_of, toy_dataset

GPU = "cuda"
DRAWS_NOTHING = ("finetune", "ewc", "online-ewc", "si", "l2", "mas", "lwf")
DATA = toy_dataset(train=(41, 12, 30, 23), test=(25, 25, 25, 25))

if not torch.cuda.is_available():
    pytest.skip("no CUDA device here", allow_module_level=True)


def streams(scenario: str, **options: Any) -> Any:
    return (stream_of(scenario, DATA, device=device, **options) for device in ("cpu", GPU))


@pytest.mark.parametrize("shift", ["split", "permuted", "rotated"])
def test_images_and_labels_are_the_same(shift: str) -> None:
    here, there = streams("domain-incremental", shift=shift)
    pairs = [(next(here.deliver(i)), next(there.deliver(i))) for i in range(2)]
    pairs.append((here.test_set(2), there.test_set(2)))
    for one, other in pairs:
        assert other.x.device.type == GPU
        torch.testing.assert_close(other.x.cpu().float(), one.x.float(), atol=1, rtol=0)
        assert torch.equal(other.y.cpu(), one.y)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", DRAWS_NOTHING)
def test_weights_and_matrix_agree(name: str, scenario: str) -> None:
    """Matrices by two of a task's fifty test samples, weights by what float32 sums in another order differ."""
    matrices, weights = [], []
    for stream in streams(scenario, online=True):
        strategy = make(name, stream.info)
        assert isinstance(strategy, GradientStrategy)
        outcome = Outcome()
        run_stream(stream, strategy, outcome)
        matrices.append(torch.tensor([[v or 0.0 for v in row] for row in outcome.matrix]))
        weights.append([p.detach().cpu() for p in strategy.network.parameters()])
    torch.testing.assert_close(weights[1], weights[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(matrices[1], matrices[0], atol=0.05, rtol=0)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(
    "name", ["joint", "replay", "nearest", "metanet", "mann", "reptile", "mer"]
)
def test_the_others_run_there(name: str, scenario: str) -> None:
    (_, stream), outcome = streams(scenario), Outcome()
    strategy = make(name, stream.info)
    if not runnable(name, stream.info):
        pytest.skip("it takes no part in such a stream")
    run_stream(stream, strategy, outcome)
    assert len(outcome.matrix) == 3
