"""Small streams of digits and small strategies of Avalanche."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clbench.dataset import load
from clbench.specify import strategy_class
from clbench.stream import Stream
from tests.toys import stream_of

if TYPE_CHECKING:
    from clbench.avalanche.strategy import AvalancheStrategy

REQUIRED: dict[str, dict[str, Any]] = {
    "ER_AML": {"batch_size": 3},
    "EWC": {"ewc_lambda": 100},
    "LFL": {"lambda_e": 0.1},
    "LwF": {"alpha": [0.0, 1.0], "temperature": 2},
    "MER": {"n_inner_steps": 1, "batch_size_mem": 2},
    "MIR": {"subsample": 20, "batch_size_mem": 5},
    "PackNet": {"epochs": 2, "post_prune_epochs": 1, "prune_proportion": 0.5},
    "SynapticIntelligence": {"si_lambda": 1},
}
"""What a class demands, or what keeps its run short."""
SMALL = {"hidden": [16], "epochs": 1, "batch_size": 10, "memory_size": 100}


def digits(scenario: str = "class-incremental", **options: Any) -> Stream:
    """Return two experiences of digits, 60 training samples each."""
    return stream_of(scenario, load("digits"), **{"experiences": 2, "samples": 60, **options})


def unprepared(name: str, **hyper: Any) -> AvalancheStrategy:
    """Return ``avalanche:NAME``, small."""
    kind, _ = strategy_class(f"avalanche:{name}")
    small = {**SMALL, **REQUIRED.get(name, {})}
    known = {key: value for key, value in small.items() if key in kind.Parameters.model_fields}
    return kind(kind.Parameters.parse({**known, **hyper}, name))  # type: ignore[return-value]


def prepared(name: str, stream: Stream, **hyper: Any) -> AvalancheStrategy:
    """Return the same, set up for a stream."""
    strategy = unprepared(name, **hyper)
    strategy.check(stream.info)
    strategy.setup(stream.info)
    return strategy
