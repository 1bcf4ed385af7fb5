"""Benchmarks both ways: a stream of ours for Avalanche's own scripts, and one of Avalanche's as data of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from numpy.typing import NDArray

from clbench.avalanche.experience import avalanche_dataset
from clbench.dataset import Arrays, assemble
from clbench.episode_stream import EpisodeStream
from clbench.errors import UsageError, about
from clbench.registry import resolve
from clbench.scenario import plan_stream
from clbench.seeds import Seeds
from clbench.specify import labels_of
from clbench.stream import Stream


def to_avalanche(stream: Stream | EpisodeStream) -> Any:
    """Return a stream as a benchmark of Avalanche, with a ``train_stream`` and a ``test_stream``.

    Images are normalised float32 in main memory, targets are output units, and the task label is the experience's
    number in a task-incremental stream, else 0. Masks cannot be told: Avalanche's networks have all units compete.

    Args:
        stream: From `clbench.make_stream`. With ``validation`` the test stream holds the samples that were held out.

    Raises:
        UsageError: It is one of episodes.
    """
    if not isinstance(stream, Stream):
        raise UsageError(
            "Avalanche has no episodes; only a stream of experiences can be its benchmark"
        )
    test = stream.test_set(len(stream))
    train_sets, test_sets = [], []
    for index, task in enumerate(stream.plan.tasks):
        label = index if stream.info.tells_task else 0
        x, y = stream.gather(task)
        train_sets.append(avalanche_dataset(stream.info.normalise(x), y, label))
        own = test.task == index
        test_sets.append(avalanche_dataset(stream.info.normalise(test.x[own]), test.y[own], label))
    benchmark = benchmark_from_datasets(train=train_sets, test=test_sets)
    return with_task_labels(with_classes_timeline(benchmark))


def from_avalanche(
    benchmark: Any, *, task_id: bool = False, seed: int = 0, device: str = "cpu", **options: Any
) -> Stream:
    """Return a benchmark of Avalanche as a stream of ours, under the scenario ``given``.

    Args:
        benchmark: With a ``train_stream`` and a ``test_stream``: as many test experiences as training ones, or one
            for all.
        task_id: Tell the task id, in training and at test.
        seed: Order, initialisation, training and memory seed.
        device: Where the images lie.
        **options: More options of the scenario, such as ``samples``.

    Raises:
        UsageError: The benchmark or an option does not fit.
        DataError: Its images or labels do not.
    """
    data = assemble("avalanche", arrays_of(benchmark))
    kind = resolve("scenarios", "given").target
    chosen = kind.Options.parse({"task_id": task_id, **options}, "scenario 'given'")
    seeds = Seeds.of(seed)
    with about("scenario 'given'"):
        plan = plan_stream(kind(), labels_of(data), chosen, seeds.order)
    return Stream(data, plan, chosen, scenario="given", seeds=seeds, device=torch.device(device))


def arrays_of(benchmark: Any) -> Arrays:
    """Return the images of a benchmark as its evaluation transforms leave them, with experience numbers.

    Raises:
        UsageError: It is not a benchmark with a training and a test stream, or their lengths differ.
    """
    if not (hasattr(benchmark, "train_stream") and hasattr(benchmark, "test_stream")):
        raise UsageError(
            f"a benchmark of Avalanche has a train_stream and a test_stream; this is a"
            f" {type(benchmark).__name__}"
        )
    train, test = list(benchmark.train_stream), list(benchmark.test_stream)
    if len(test) not in (1, len(train)):
        raise UsageError(
            f"the benchmark has {len(train)} training and {len(test)} test experiences; there must"
            " be as many, or one for all"
        )
    x_train, y_train, e_train = _pooled(train)
    x_test, y_test, e_test = _pooled(test)
    if len(test) < len(train):
        e_test[:] = -1
    names = np.unique(y_train)
    if not np.isin(y_test, names).all():
        raise UsageError("the benchmark has test samples of classes without a training sample")
    channels = x_train.shape[1]
    return Arrays(
        x_train,
        np.searchsorted(names, y_train),
        x_test,
        np.searchsorted(names, y_test),
        tuple(str(name) for name in names),
        mean=(0.0,) * channels,  # its transforms have normalised the images
        std=(1.0,) * channels,
        experience_train=e_train,
        experience_test=e_test,
    )


def _pooled(experiences: Sequence[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the images, labels and experience numbers of a stream, one experience after the other."""
    xs, ys, numbers = [], [], []
    for index, experience in enumerate(experiences):
        for sample in experience.dataset.eval():
            if not isinstance(sample[0], torch.Tensor):
                raise UsageError(
                    "the benchmark's images must be tensors once transformed, not"
                    f" {type(sample[0]).__name__}; end eval_transform with ToTensor()"
                )
            xs.append(sample[0].numpy())
            ys.append(int(sample[1]))
            numbers.append(index)
    return np.stack(xs), np.array(ys), np.array(numbers)
