"""MER, seconds per example, against Avalanche's `MER` at equal steps.

Both take five sequences of one example and ten exemplars, one SGD step for each, with the same rates, and offer an
experience to the memory after it was learnt (``variant=avalanche``). In the first experience the memory is empty,
nothing is drawn, and the weights must agree. The second is timed; its exemplars are drawn by each side in its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from clbench.avalanche.importing import import_avalanche
from clbench.specify import prepare
from clbench.stream import Stream
from tests.benchmarks import row
from tests.benchmarks.bare import sequential
from tests.benchmarks.measure import Figure, Settings, alternate
from tests.benchmarks.split import specified

SEQUENCES, EXEMPLARS, BETA, GAMMA, LR, MEMORY = 5, 10, 0.1, 0.5, 0.01, 200


def measure(settings: Settings) -> Figure:
    """Return Avalanche's time per example over clbench's."""
    import_avalanche()
    samples = 12 if settings.quick else 220
    compared = alternate(_avalanche(samples), _clbench(samples), settings.repeats)
    (theirs, steps), (ours, equal) = compared.results
    assert steps == equal
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-3)
    figure = compared.figure("weights after the first experience agree")
    each = [second / samples for second in figure.details["seconds"]]
    figure.details["seconds_per_example"] = each
    return figure


def _learner(samples: int) -> tuple[Stream, Any]:
    specification = specified(
        dataset="mnist-raw" if samples > 100 else "digits",
        scenario="class-incremental",
        strategy="mer",
        options={"head": "all", "samples": samples},
        hyper_parameters={
            "hidden": [100, 100],
            "lr": LR,
            "beta": BETA,
            "gamma": GAMMA,
            "batches_per_example": SEQUENCES,
            "replay_batch_size": EXEMPLARS,
            "memory_size": MEMORY,
            "variant": "avalanche",
            "network": "mlp",
        },
    )
    return prepare(specification)  # type: ignore[return-value]


Result = tuple[Tensor, int]
"""Weights after the first experience, and single steps for an example of the second."""


def _clbench(samples: int) -> Callable[[], Callable[[], Result]]:
    def ready() -> Callable[[], Result]:
        stream, strategy = _learner(samples)
        first, second = (next(stream.deliver(index)) for index in (0, 1))
        strategy.learn(first)
        weights, before = strategy.theta.clone(), strategy.effort.samples_seen

        def run() -> Result:
            strategy.learn(second)
            return weights, (strategy.effort.samples_seen - before) // samples

        return run

    return ready


def _avalanche(samples: int) -> Callable[[], Callable[[], Result]]:
    def ready() -> Callable[[], Result]:
        from avalanche.training.plugins import EvaluationPlugin
        from avalanche.training.supervised import MER

        from clbench.avalanche.benchmarks import to_avalanche

        stream, learner = _learner(samples)
        network = sequential(learner.network)
        strategy = MER(
            model=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=LR, fused=True),
            mem_size=MEMORY,
            batch_size_mem=EXEMPLARS,
            n_inner_steps=SEQUENCES,
            beta=BETA,
            gamma=GAMMA,
            train_mb_size=1,
            evaluator=EvaluationPlugin(loggers=[]),
        )
        first, second, *_ = to_avalanche(stream).train_stream
        strategy.train(first, shuffle=False)
        weights = parameters_to_vector(network.parameters()).detach().clone()

        def run() -> Result:
            strategy.train(second, shuffle=False)
            return weights, SEQUENCES * (1 + min(EXEMPLARS, len(strategy.buffer)))

        return run

    return ready


ROWS = (
    row.Row(
        name="mer",
        what="mer, per example, MLP 100-100",
        against="Avalanche's MER at equal steps",
        goal=row.Goal(1.3, at_least=True, unit="× faster"),
        measure=measure,
    ),
)
