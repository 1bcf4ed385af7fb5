"""Small datasets, streams and strategies that the tests share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clbench.conformance import toys as kit
from clbench.dataset import Arrays, Dataset, assemble
from clbench.errors import UsageError
from clbench.experience import Experience, StreamInfo
from clbench.registry import names, resolve
from clbench.scenario import Labels, Plan, Scenario, plan_stream
from clbench.seeds import Seeds
from clbench.specify import labels_of
from clbench.strategy import Strategy
from clbench.stream import Stream

SCENARIOS, TINY = kit.SCENARIOS, kit.SMALL
STRATEGIES = tuple(name for name in names("strategies") if name != "avalanche")
"""Every registered one but the prefix avalanche: a promise to all holds for the next one, too."""


def toy_dataset(
    train: Sequence[int] = (12, 12, 12, 12),
    test: Sequence[int] = (5, 5, 5, 5),
    shape: tuple[int, ...] = (4, 4),
    seed: int = 0,
) -> Dataset:
    """Return random images, ``train[k]`` and ``test[k]`` of class k, in a mixed order."""
    generator = np.random.default_rng(seed)

    def split(counts: Sequence[int]) -> tuple[Any, Any]:
        y = generator.permutation(np.repeat(np.arange(len(counts)), counts))
        return generator.integers(0, 256, (len(y), *shape), dtype=np.uint8), y

    classes = tuple("abcdefghijklmnop"[: len(train)])
    return assemble("toy", Arrays(*split(train), *split(test), classes))


def numbered_dataset(train: Sequence[int], test: Sequence[int]) -> Dataset:
    """Return images whose every pixel is the image's own number: training first, then test."""
    total = sum(train) + sum(test)
    assert total <= 256
    x = np.broadcast_to(np.arange(total, dtype=np.uint8)[:, None, None], (total, 2, 2)).copy()
    y_train, y_test = (np.repeat(np.arange(len(c)), c) for c in (train, test))
    classes = tuple("abcdefghijklmnop"[: len(train)])
    n = len(y_train)
    return assemble("numbered", Arrays(x[:n], y_train, x[n:], y_test, classes))


def scenario_named(name: str) -> type[Scenario]:
    """Return a scenario class."""
    found = resolve("scenarios", name).target
    assert issubclass(found, Scenario)
    return found  # type: ignore[no-any-return]


def plan_of(scenario: str, labels: Labels, seed: int = 0, **options: Any) -> Plan:
    """Return a plan, with options as on the command line."""
    kind = scenario_named(scenario)
    return plan_stream(kind(), labels, kind.Options.parse(options, "scenario"), seed)


def stream_of(
    scenario: str,
    data: Dataset | None = None,
    seeds: Seeds | None = None,
    device: str = "cpu",
    **options: Any,
) -> Stream:
    """Return a stream; two experiences unless told otherwise."""
    data = data or toy_dataset()
    seeds = seeds or Seeds.of(0)
    if "sizes" not in options and "angles" not in options:
        options = {"experiences": 2, **options}
    kind = scenario_named(scenario)
    chosen = kind.Options.parse(options, "scenario")
    plan = plan_stream(kind(), labels_of(data), chosen, seeds.order)
    return Stream(data, plan, chosen, scenario=scenario, seeds=seeds, device=torch.device(device))


def make(name: str, info: StreamInfo, **hyper: Any) -> Strategy:
    """Return a registered strategy, small and set up for a stream."""
    strategy = unprepared(name, **hyper)
    strategy.setup(info)
    return strategy


def unprepared(name: str, **hyper: Any) -> Strategy:
    """Return a registered strategy, small."""
    kind = resolve("strategies", name).target
    assert issubclass(kind, Strategy)
    small = {key: value for key, value in TINY.items() if key in kind.Parameters.model_fields}
    return kind(kind.Parameters.parse({**small, **hyper}, name))  # type: ignore[no-any-return]


def runnable(name: str, info: StreamInfo) -> bool:
    """Return whether a strategy takes part in such a stream."""
    strategy = unprepared(name)
    try:
        strategy.check(info)
    except UsageError:
        return False
    return strategy.skip_reason(info) is None


def learn_all(strategy: Strategy, stream: Stream) -> None:
    """Let a strategy learn a whole stream."""
    for index in range(len(stream)):
        for experience in stream.deliver(index):
            strategy.learn(experience)


class Spy(Strategy):
    """Remembers what it was given; answers with the same scores for every image."""

    scores: tuple[float, ...] = ()
    """Of each unit; ascending if empty."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__(parameters)
        self.learnt: list[Experience] = []
        self.asked: list[tuple[Tensor, Tensor | None]] = []

    def setup(self, info: StreamInfo) -> None:
        self.info = info

    def learn(self, experience: Experience) -> None:
        self.learnt.append(experience)

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        self.asked.append((x, task))
        scores = self.scores or tuple(float(unit) for unit in range(self.info.classes))
        return torch.tensor(scores).expand(len(x), -1)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
