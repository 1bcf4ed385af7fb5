"""Batches gathered at once, as on a GPU: each learner's are those it draws alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from clbench import joint_draws
from clbench.gradient import GradientStrategy
from clbench.seeds import Seeds
from clbench.stack import Stack
from clbench.together import Together
from tests.clbench.test_captured import Recorder
from tests.toys import SCENARIOS, STRATEGIES, make, stream_of, toy_dataset

LATE = ("finetune", "joint", "ewc", "online-ewc", "si", "l2", "mas")


@pytest.fixture(autouse=True)
def _pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint_draws, "pays", lambda _: True)


def streams(scenario: str, **options: Any) -> list[Any]:
    """Return three, whose experiences differ in length."""
    data = toy_dataset(train=(41, 12, 30, 23))
    return [stream_of(scenario, data, seeds=Seeds.of(seed), **options) for seed in range(3)]


def learners(name: str, each: list[Any], **hyper: Any) -> list[Any]:
    return [make(name, stream.info, **hyper) for stream in each]


def learn(joined: list[Any], each: list[Any], together: Together) -> None:
    for index in range(len(each[0])):
        experiences = [next(stream.deliver(index)) for stream in each]
        assert together.learn(joined, experiences) == [None] * len(each)


@pytest.mark.parametrize(
    ("scenario", "name", "recorded"),
    [
        *((scenario, name, False) for scenario in SCENARIOS for name in ("ewc", "joint", "si")),
        # A graph repeats neither penalties nor what SI does after a step.
        *((scenario, "finetune", True) for scenario in SCENARIOS),
    ],
)
def test_each_learner_ends_where_it_ends_alone(scenario: str, name: str, recorded: bool) -> None:
    each = streams(scenario)
    given = {"batch_size": 8, "epochs": 3}
    alone, joined = (learners(name, each, **given) for _ in range(2))
    learn(joined, each, Together(Recorder() if recorded else None))
    for strategy, stream in zip(alone, each, strict=True):
        for index in range(len(stream)):
            for experience in stream.deliver(index):
                strategy.learn(experience)
    for one, other in zip(alone, joined, strict=True):
        found, expected = other.network.state_dict(), one.network.state_dict()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        assert other.effort == one.effort
        assert "draw" not in vars(other)


def test_who_draws_more_than_rows_draws_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    joint: list[Any] = []
    lesson = Stack._lesson

    def watched(self: Any, chosen: Any, batches: Any) -> Any:
        joint.append(any(isinstance(b, joint_draws.Drawn) for b in batches.values()))
        return lesson(self, chosen, batches)

    monkeypatch.setattr(Stack, "_lesson", watched)
    for name, hyper in [(name, {}) for name in STRATEGIES] + [("finetune", {"noise": 0.1})]:
        joint.clear()
        each = streams("class-incremental")
        joined = learners(name, each, **hyper)
        if isinstance(joined[0], GradientStrategy) and name not in ("mann", "metanet", "mer"):
            learn(joined, each, Together())
            assert any(joint) == (name in LATE and not hyper)


class Looks(GradientStrategy):
    """Looks into what it learns from."""

    seen: int

    def lessons(self, experience: Any) -> Any:
        for batch in super().lessons(experience):
            self.seen = int(batch.y.max()) + len(batch[:2])
            yield batch


def test_who_looks_into_a_batch_finds_it() -> None:
    each = streams("class-incremental")
    joined = [Looks(make("finetune", stream.info).parameters) for stream in each]
    for learner, stream in zip(joined, each, strict=True):
        learner.setup(stream.info)
    learn(joined, each, Together())
    assert all(learner.seen >= 2 for learner in joined)
