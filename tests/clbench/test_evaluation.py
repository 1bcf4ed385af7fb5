"""`clbench.evaluate`: the numbers of a run, without a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import clbench
from clbench.errors import UsageError

SMALL: dict[str, Any] = {"samples": 40, "experiences": 2}
HYPER: dict[str, Any] = {"epochs": 2, "hidden": (8,)}


class Dropping(clbench.GradientStrategy):
    """Draws from the global generator, as a layer of dropout does."""

    def loss(self, network: Any, batch: Any) -> torch.Tensor:
        kept = torch.nn.functional.dropout(network(batch.x), 0.5)
        return torch.nn.functional.cross_entropy(kept, batch.y)


@pytest.mark.parametrize(
    ("scenario", "options"),
    [
        ("class-incremental", SMALL),
        ("task-incremental", SMALL),
        ("domain-incremental", {**SMALL, "shift": "permuted", "validation": 0.2}),
        ("class-incremental", {**SMALL, "online": True}),
    ],
)
@pytest.mark.parametrize("strategy", ["replay", Dropping])
def test_the_same_bits_as_a_run(
    scenario: str, options: dict[str, Any], strategy: Any, tmp_path: Path
) -> None:
    said: dict[str, Any] = {"hyper_parameters": HYPER}
    where: dict[str, Any] = {"device": "cpu", "results": tmp_path, "quiet": True}
    if options.get("online"):
        said["hyper_parameters"] = {"hidden": (8,)}
    runs = clbench.run(scenario, strategy, seeds=(0, 3), options=options, **said, **where)
    for seed, record in zip((0, 3), runs.records, strict=True):
        stream = clbench.make_stream(scenario, seed=seed, device="cpu", **options)
        torch.manual_seed(99)  # whatever happened before
        found = clbench.evaluate(strategy, stream, **said)
        assert found.matrix == record["matrix"]
        assert found.metrics == record["metrics"]
        assert found.strategy.effort.steps == record["budget"]["steps"] > 0


def test_episodes_too(tmp_path: Path) -> None:
    options: dict[str, Any] = {"ways": 3, "shots": 1, "queries": 2, "test_episodes": 20}
    runs = clbench.run("episodic", "nearest", options=options, results=tmp_path, quiet=True)
    found = clbench.evaluate("nearest", clbench.make_stream("episodic", **options))
    assert found.metrics == runs.records[0]["metrics"]


def test_a_learner_serves_once_and_is_left_as_it_ended() -> None:
    stream = clbench.make_stream("class-incremental", device="cpu", **SMALL)
    learner = Dropping(Dropping.Parameters.parse({"epochs": 1, "hidden": [8]}, "Dropping"))
    found = clbench.evaluate(learner, stream)
    assert found.strategy is learner
    assert learner.effort.steps > 0
    with pytest.raises(UsageError, match="has learnt already; make a new one"):
        clbench.evaluate(learner, stream)
    with pytest.raises(UsageError, match="a learner has its own"):
        clbench.evaluate(learner, stream, hyper_parameters={})


def test_errors_are_raised_as_they_are() -> None:
    stream = clbench.make_stream("class-incremental", device="cpu", **SMALL)

    class Broken(Dropping):
        def loss(self, network: Any, batch: Any) -> torch.Tensor:
            raise ZeroDivisionError("here")

    with pytest.raises(ZeroDivisionError, match="here"):
        clbench.evaluate(Broken, stream)
    with pytest.raises(UsageError, match="cannot learn this stream: needs a base split"):
        clbench.evaluate("metanet-frozen", stream)
    with pytest.raises(UsageError, match="Did you mean 'experiences'"):
        clbench.make_stream("class-incremental", experience=5)


def test_the_matrix_as_a_frame_and_as_text() -> None:
    stream = clbench.make_stream("class-incremental", device="cpu", **SMALL)
    found = clbench.evaluate("nearest", stream)
    assert found.frame.loc["after 2", 1] == found.matrix[2][0]
    assert found.frame.loc["before"].isna().all()
    last = [cell for cell in found.matrix[2] if cell is not None]
    assert f"average accuracy: {50 * sum(last):.2f}" in str(found)
