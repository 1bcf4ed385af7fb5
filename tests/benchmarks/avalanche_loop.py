"""The work of the loop rows by Avalanche: `SplitMNIST`, `Naive`, accuracy and forgetting metrics, no logger.

Avalanche gets clbench's class order, initial weights, optimiser and order of samples (its loader does not shuffle, its
experiences are permuted instead), and larger test batches than its default of 1. Its evaluation of the
whole test stream, before the first experience and after each, fills the same matrix, which must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from clbench.avalanche.importing import import_avalanche
from clbench.dataset import data_folder
from clbench.errors import ClbenchError
from clbench.scoring import CHUNK, Row
from clbench.stream import Stream
from tests.benchmarks import row
from tests.benchmarks.bare import sequential
from tests.benchmarks.loop import WHAT
from tests.benchmarks.measure import Figure, NotRun, Settings, alternate
from tests.benchmarks.split import Work, agree, clbench_side, work_of


def measure(settings: Settings, batch_size: int) -> Figure:
    """Return Avalanche's time over clbench's."""
    work = work_of(settings, batch_size)
    sides = avalanche_side(work), clbench_side(work)
    compared = alternate(*sides, settings.repeats, settings.device)
    return compared.figure(agree(*compared.results))


def avalanche_side(work: Work) -> Callable[[], Callable[[], list[Row]]]:
    """Return training and evaluation by Avalanche.

    Raises:
        NotRun: Avalanche cannot be imported here.
    """
    try:
        import_avalanche()
    except ClbenchError as error:
        raise NotRun(str(error)) from error

    def ready() -> Callable[[], list[Row]]:
        from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics
        from avalanche.training.plugins import EvaluationPlugin
        from avalanche.training.supervised import Naive

        stream, learner = work.learner()
        benchmark = _benchmark(work, stream)
        orders = [_order(e, stream, learner.generator) for e in benchmark.train_stream]

        class InOrder(Naive):  # type: ignore[misc]
            def train_dataset_adaptation(self, **_: Any) -> None:
                order = orders[self.experience.current_experience]
                self.adapted_dataset = self.experience.dataset.subset(order)

        network = sequential(learner.network)
        strategy = InOrder(
            model=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=work.lr, fused=True),
            train_mb_size=work.batch_size,
            train_epochs=1,
            eval_mb_size=CHUNK,
            device=work.device,
            evaluator=EvaluationPlugin(
                accuracy_metrics(experience=True, stream=True),
                forgetting_metrics(experience=True, stream=True),
                loggers=[],
            ),
        )

        def run() -> list[Row]:
            rows = [_accuracies(strategy.eval(benchmark.test_stream))]
            for experience in benchmark.train_stream:
                strategy.train(experience, shuffle=False)
                rows.append(_accuracies(strategy.eval(benchmark.test_stream)))
            return rows

        return run

    return ready


def _benchmark(work: Work, stream: Stream) -> Any:
    """Return Avalanche's `SplitMNIST` in clbench's class order; of digits, the stream itself."""
    if work.dataset != "mnist":
        from clbench.avalanche.benchmarks import to_avalanche

        return to_avalanche(stream)
    from avalanche.benchmarks.classic import SplitMNIST

    order = list(stream.plan.class_order)
    return SplitMNIST(len(stream), fixed_class_order=order, dataset_root=data_folder(None))


def _order(experience: Any, stream: Stream, generator: torch.Generator) -> list[int]:
    """Return where the samples lie in Avalanche's experience, in the order in which clbench will take them."""
    task = stream.plan.tasks[experience.current_experience]
    y = stream.gather(task)[1].cpu().numpy()
    order = torch.randperm(len(y), generator=generator, device=generator.device).cpu().numpy()
    labels = np.array([int(label) for label in experience.dataset.targets])
    if np.array_equal(labels, y):
        return order.tolist()  # type: ignore[no-any-return]
    # SplitMNIST has one class after the other, each in the order of the data set.
    rank = {label: place for place, label in enumerate(dict.fromkeys(labels.tolist()))}
    theirs = np.lexsort((task.train, [rank[label] for label in y.tolist()]))
    assert np.array_equal(labels, y[theirs])
    return np.argsort(theirs)[order].tolist()  # type: ignore[no-any-return]


def _accuracies(metrics: dict[str, float]) -> Row:
    """Return the accuracy on each experience's test set."""
    found = {name: value for name, value in metrics.items() if name.startswith("Top1_Acc_Exp/")}
    return [found[name] for name in sorted(found)]


ROWS = tuple(
    row.Row(
        name=f"avalanche-{size}",
        what=f"{WHAT}{size}",
        against="Avalanche 0.6: SplitMNIST, Naive, accuracy and forgetting metrics",
        goal=row.Goal(bound, at_least=True, unit="× faster"),
        measure=partial(measure, batch_size=size),
    )
    for size, bound in ((128, 3.0), (10, 1.7))
)
