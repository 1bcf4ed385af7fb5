"""What holds for every strategy beyond `clbench check`: ties, delivered in every way, images of every shape."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clbench.dataset import Arrays, Dataset, assemble
from clbench.evaluator import Outcome, run_stream
from clbench.experience import masked
from clbench.scoring import Row
from clbench.strategy import Strategy
from clbench.stream import Stream
from tests.toys import SCENARIOS, STRATEGIES, learn_all, make, runnable, stream_of, toy_dataset

every_strategy = pytest.mark.parametrize("name", STRATEGIES)
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def black_and_white() -> Dataset:
    """Return 4×4 images of two values: many distances between them are exactly equal."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 2, (440, 4, 4), dtype=np.uint8) * 255
    y = np.arange(440) % 4
    return assemble("black and white", Arrays(x[:240], y[:240], x[240:], y[240:], tuple("abcd")))


def answers(strategy: Strategy, stream: Stream, rows: Tensor) -> Tensor:
    """Return the masked logits for some of the test samples, asked together."""
    test = stream.test_set(len(stream))
    told = test.task[rows] if stream.info.tells_task else None
    with torch.no_grad():
        logits = strategy.predict(test.x[rows], told)
    return masked(logits, stream.test_masks(len(stream))[test.task[rows]])


@every_strategy
@every_scenario
def test_no_prediction_depends_on_the_rest_of_its_batch(scenario: str, name: str) -> None:
    stream = stream_of(scenario, black_and_white())
    strategy = make(name, stream.info)
    if strategy.transductive:
        pytest.skip("declared transductive, and marked so in every table")
    learn_all(strategy, stream)
    count = len(stream.test_set(len(stream)).y)
    whole = answers(strategy, stream, torch.arange(count))
    orders = [torch.randperm(count, generator=torch.Generator().manual_seed(s)) for s in (0, 1)]
    parts = [*orders, orders[0][:30], orders[1][:7], *torch.arange(60)[:, None]]
    for rows in parts:
        some = answers(strategy, stream, rows)
        torch.testing.assert_close(some, whole[rows], atol=1e-4, rtol=1e-4)
        assert some.argmax(1).tolist() == whole[rows].argmax(1).tolist()


def result(name: str, stream: Stream) -> tuple[list[Row], Any]:
    """Return the matrix of a run and the bytes of its final answers."""
    strategy = make(name, stream.info)
    outcome = Outcome()
    run_stream(stream, strategy, outcome)
    rows = torch.arange(len(stream.test_set(len(stream)).y))
    return outcome.matrix, answers(strategy, stream, rows).numpy().tobytes()


@every_strategy
@every_scenario
def test_a_run_neither_changes_nor_reads_global_randomness(scenario: str, name: str) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (it is the global state that must stay)
        before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
        found.append(result(name, stream_of(scenario)))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert random.getstate() == before[1]
        assert str(np.random.get_state()) == before[2]  # noqa: NPY002
    assert found[0] == found[1]  # the same bits


@every_strategy
@every_scenario
@pytest.mark.parametrize("options", [{"validation": 0.2}, {"samples": 9}, {"online": True}])
def test_a_matrix_is_complete(scenario: str, name: str, options: dict[str, Any]) -> None:
    stream = stream_of(scenario, **options)
    matrix, _ = result(name, stream)
    for learnt, row in enumerate(matrix):
        defined = [value for value in row if value is not None]
        assert len(defined) == stream.defined_tasks(learnt)
        assert all(0 <= value <= 1 for value in defined)


@every_strategy
def test_streams_without_boundaries_run_or_are_skipped_with_a_reason(name: str) -> None:
    stream = stream_of("class-incremental", online=True, boundaries=False)
    if runnable(name, stream.info):
        assert len(result(name, stream)[0]) == 3
    else:
        assert make(name, stream_of("class-incremental").info).skip_reason(stream.info)


@every_strategy
@pytest.mark.parametrize("shape", [(3, 8, 8), (9, 6)])
def test_colour_and_oblong_images(name: str, shape: tuple[int, ...]) -> None:
    matrix, _ = result(name, stream_of("task-incremental", toy_dataset(shape=shape)))
    assert len(matrix) == 3


@every_strategy
@every_scenario
def test_every_unit_gets_a_score_before_and_after_learning(scenario: str, name: str) -> None:
    stream = stream_of(scenario)
    strategy = make(name, stream.info)
    test = stream.test_set(2)
    for index in range(2):
        with torch.no_grad():
            logits = strategy.predict(test.x, test.task if stream.info.tells_task else None)
        assert logits.shape == (len(test.y), stream.info.classes)
        assert logits.dtype == torch.float32
        assert not logits.isnan().any()
        for experience in stream.deliver(index):
            strategy.learn(experience)
