"""What checks run on: a few digits, two experiences of two classes, and strategies that are quickly through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from clbench.base_split import base_of
from clbench.contract import reason_against
from clbench.dataset import Arrays, Dataset, assemble
from clbench.errors import UsageError
from clbench.experience import StreamInfo, masked
from clbench.scenario import Scenario
from clbench.seeds import Seeds, global_state_of_a_run
from clbench.specify import build_stream, dataset_of, scenario_class
from clbench.strategy import Strategy
from clbench.stream import Stream

SCENARIOS = ("class-incremental", "domain-incremental", "task-incremental")
SMALL: dict[str, Any] = {
    "base_episodes": 5,
    "batch_size": 8,
    "batches_per_example": 2,
    "episodes": 3,
    "epochs": 1,
    "hidden": [16, 16],
    "memory_size": 30,
    "network": "mlp",
}
"""Hyper-parameters that keep a run short, for strategies that have them, in all checks but `learns`."""
BASE = 2
"""Classes of the base split, for strategies that need one."""


@cache
def digits(classes: int) -> Dataset:
    """Return the first classes of digits."""
    data = dataset_of("digits", None)
    train, test = data.y_train < classes, data.y_test < classes
    arrays = Arrays(
        data.x_train[train].numpy(),
        data.y_train[train].numpy(),
        data.x_test[test].numpy(),
        data.y_test[test].numpy(),
        data.classes[:classes],
    )
    return assemble(f"digits below {classes}", arrays)


@dataclass(frozen=True)
class Subject:
    """The strategy that is checked."""

    kind: type[Strategy]
    hyper_parameters: dict[str, Any] = field(default_factory=dict)
    """As the user gave them."""

    def make(self, info: StreamInfo, *, small: bool = True) -> Strategy:
        """Return a fresh one, set up for a stream; ``small`` shrinks what the user did not give (`SMALL`)."""
        strategy = self._unprepared(small=small)
        strategy.setup(info)
        return strategy

    def reason_against(self, info: StreamInfo) -> str | None:
        """Return why it does not take part in such a stream."""
        strategy = self._unprepared(small=True)
        try:
            strategy.check(info)
        except UsageError as error:
            return str(error)
        return reason_against(strategy, info)

    def _unprepared(self, *, small: bool) -> Strategy:
        known = self.kind.Parameters.model_fields
        fewer = {k: v for k, v in SMALL.items() if k in known} if small else self.kind.quick
        parameters = self.kind.Parameters.parse({**fewer, **self.hyper_parameters}, "strategy")
        return self.kind(parameters)


def stream_of(
    subject: Subject,
    scenario: str,
    *,
    seed: int = 0,
    device: str = "cpu",
    **options: Any,
) -> Stream:
    """Return two experiences of few samples, with a base split for a strategy that needs one."""
    base = {"base_classes": BASE} if subject.kind.needs_base else {}
    given = {"experiences": 2, "samples": 24, **base, **options}
    kind, _ = scenario_class(scenario)
    assert issubclass(kind, Scenario)
    chosen = kind.Options.parse(given, scenario)
    data = digits(4 + len(base) * BASE)
    made = build_stream(kind, chosen, data, scenario, Seeds.of(seed), device, None)
    assert isinstance(made, Stream)
    return made


def pieces(strategy: Strategy, stream: Stream, index: int) -> None:
    """Let it learn an experience, the base split before the first."""
    base = base_of(stream) if index == 0 else None
    if base is not None:
        strategy.pretrain(base)
    for experience in stream.deliver(index):
        strategy.learn(experience)


def learnt(
    subject: Subject,
    stream: Stream,
    between: Callable[[Strategy], Strategy] = lambda strategy: strategy,
    *,
    small: bool = True,
) -> Iterator[Strategy]:
    """Yield the strategy after each experience, as ``between`` returned it; in the global state of a run."""
    with global_state_of_a_run(stream.info.seeds.train):
        strategy = subject.make(stream.info, small=small)
        for index in range(len(stream)):
            pieces(strategy, stream, index)
            strategy = between(strategy)
            yield strategy


def last(strategies: Iterator[Strategy]) -> Strategy:
    """Return the one after the last experience."""
    *_, final = strategies
    return final


def answers(strategy: Strategy, stream: Stream, rows: Tensor | None = None) -> Tensor:
    """Return the masked logits [N, C] of test samples, asked together (all, by default)."""
    test = stream.test_set(len(stream))
    rows = torch.arange(len(test.y), device=test.y.device) if rows is None else rows
    told = test.task[rows] if stream.info.tells_task else None
    with torch.no_grad():
        logits = strategy.predict(test.x[rows].clone(), told)
    return masked(logits, stream.test_masks(len(stream))[test.task[rows]])
