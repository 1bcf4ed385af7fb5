"""The work of the loop rows: Split MNIST, class-incremental, MLP 400-400, SGD, one epoch; as clbench runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from clbench.captured import capture_steps
from clbench.errors import DataError
from clbench.evaluator import Outcome, run_stream
from clbench.gradient import GradientStrategy
from clbench.graphs import record_graph
from clbench.scoring import Row, fill_row
from clbench.specification import Specification
from clbench.specify import prepare, specify
from clbench.stream import Stream
from clbench.together import Together
from tests.benchmarks.measure import NotRun, Settings


@dataclass(frozen=True)
class Work:
    """What both sides do; all units compete (``head=all``), so that no side needs a mask."""

    dataset: str
    batch_size: int
    hidden: tuple[int, ...] = (400, 400)
    samples: int | None = None
    """Training samples of an experience at most."""
    device: str = "cpu"
    strategy: str = "finetune"
    lr: float = 0.01
    capture: bool = False
    """Steps as CUDA graphs."""

    def learner(self, seed: int = 0) -> tuple[Stream, GradientStrategy]:
        """Return the stream, and a strategy set up for it.

        Raises:
            NotRun: The dataset is not here.
        """
        stream, strategy = prepare(_specification(self, seed), self.device)
        assert isinstance(stream, Stream)
        assert isinstance(strategy, GradientStrategy)
        if self.capture:
            capture_steps(strategy)
        return stream, strategy


def specified(**request: Any) -> Specification:
    """Return the specification of a run.

    Raises:
        NotRun: The dataset is not here.
    """
    try:
        specification, reason = specify(**request)
    except DataError as error:
        raise NotRun(str(error)) from error
    assert reason is None
    return specification


@cache
def _specification(work: Work, seed: int) -> Specification:
    return specified(
        dataset=work.dataset,
        scenario="class-incremental",
        strategy=work.strategy,
        seed=seed,
        options={"head": "all"} | ({"samples": work.samples} if work.samples else {}),
        hyper_parameters={
            "network": "mlp",
            "hidden": list(work.hidden),
            "optimizer": "sgd",
            "lr": work.lr,
            "batch_size": work.batch_size,
            "epochs": 1,
        },
    )


def work_of(settings: Settings, batch_size: int) -> Work:
    """Return Split MNIST, or a few digits for a smoke test."""
    if settings.quick:
        return Work("digits", batch_size, (16,), samples=60, device=settings.device)
    return Work("mnist", batch_size, device=settings.device)


def clbench_side(work: Work) -> Callable[[], Callable[[], list[Row]]]:
    """Return training and evaluation by clbench: `run_stream` on a stream and a strategy that are ready."""

    def ready() -> Callable[[], list[Row]]:
        stream, strategy = work.learner()
        stream.test_set(len(stream))  # gathered, as the bare loop's is
        outcome = Outcome()

        def run() -> list[Row]:
            run_stream(stream, strategy, outcome)
            return outcome.matrix

        return run

    return ready


def together_side(work: Work, seeds: int) -> Callable[[], Callable[[], list[Row]]]:
    """Return training and evaluation of several seeds in step (`clbench.together`); the first one's matrix."""

    def ready() -> Callable[[], list[Row]]:
        singly = replace(work, capture=False)
        pairs = [singly.learner(seed) for seed in range(seeds)]
        for stream, _ in pairs:
            stream.test_set(len(stream))
        together = Together(record_graph if work.capture else None)

        def run() -> list[Row]:
            every = [[fill_row(*pair, 0, []) for pair in pairs]]
            for index in range(len(pairs[0][0])):
                experiences = [next(stream.deliver(index)) for stream, _ in pairs]
                raised = together.learn([learner for _, learner in pairs], experiences)
                assert not any(raised)
                every.append([fill_row(*pair, index + 1, []) for pair in pairs])
            return [rows[0] for rows in every]

        return run

    return ready


def agree(ours: list[Row], theirs: list[Row]) -> str:
    """Return how far the accuracies of two matrices are apart, for the note.

    Raises:
        AssertionError: By more than two of a task's thousand test samples: it was not the same work.
    """
    assert len(ours) == len(theirs)
    pairs = [
        (a, b)
        for first, second in zip(ours, theirs, strict=True)
        for a, b in zip(first, second, strict=True)
    ]
    apart = max(abs(a - b) for a, b in pairs if a is not None and b is not None)
    assert apart <= 0.002, f"accuracies differ by {apart}"
    return f"accuracies agree to {apart:.4f}"


def one_thread() -> None:
    """Let torch use one thread, as clbench does by default."""
    torch.set_num_threads(1)
