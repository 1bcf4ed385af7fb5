"""On a GPU everything is what it is on a CPU, within tolerance. Skipped where there is none.

A generator on a GPU draws other numbers, so that only what draws none while it learns can be held against the CPU: an
online stream is learnt in its own order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from clbench import stream as stream_module
from clbench.captured import capture_steps
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


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_images_on_the_host_end_in_the_same_weights(
    precision: Any, captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are fetched while steps are taken, and recorded."""
    ends = []
    for fit in (True, False):
        monkeypatch.setattr(stream_module, "fits", lambda *_, fit=fit: fit)
        stream = stream_of("class-incremental", DATA, device=GPU)
        strategy: Any = make("finetune", replace(stream.info, precision=precision), batch_size=8)
        if captured:
            capture_steps(strategy)
        run_stream(stream, strategy, Outcome())
        ends.append([p.detach() for p in strategy.network.parameters()])
    torch.testing.assert_close(ends[1], ends[0])


def test_a_step_of_finetuning_waits_for_nothing() -> None:
    stream = stream_of("class-incremental", DATA, device=GPU)
    strategy: Any = make("finetune", stream.info, batch_size=8)
    lessons = strategy.lessons(next(stream.deliver(0)))
    strategy.step(next(lessons))  # whatever waits once
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in lessons:
            strategy.step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
