"""Benchmarks both ways, and Avalanche's own metrics beside ours."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import clbench
from clbench import metrics
from clbench.dataset import load
from clbench.errors import DataError, UsageError
from clbench.evaluator import Outcome, run_stream
from clbench.runner import run_one
from clbench.specify import specify
from clbench.stream import Stream
from tests.clbench.avalanche.small import digits, prepared
from tests.toys import SCENARIOS, scenario_named, toy_dataset

SOURCE = """
import torch
from avalanche.benchmarks import benchmark_from_datasets
from torch.utils.data import TensorDataset
from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute


def part(classes, count, seed):
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor(classes).repeat(count)
    x = torch.rand(len(y), 1, 4, 4, generator=generator) + y.view(-1, 1, 1, 1)
    return AvalancheDataset([TensorDataset(x, y)], data_attributes=[DataAttribute(y.tolist(), "targets")])


def split():
    return benchmark_from_datasets(
        train=[part([3, 7], 20, 0), part([1, 5], 20, 1), part([2, 9], 20, 2)],
        test=[part([3, 7, 1, 5, 2, 9], 5, 3)],
    )


def uneven():
    return benchmark_from_datasets(train=[part([0, 1], 5, 0)] * 3, test=[part([0, 1], 5, 1)] * 2)


def broken():
    raise RuntimeError("no network")


nothing = 3
"""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_stream_is_a_benchmark(scenario: str) -> None:
    stream = digits(scenario)
    benchmark = clbench.to_avalanche(stream)
    assert len(benchmark.train_stream) == len(benchmark.test_stream) == 2
    for index, experience in enumerate(benchmark.train_stream):
        (ours,) = stream.deliver(index)
        x, y, task = zip(*experience.dataset, strict=True)
        torch.testing.assert_close(torch.stack(x), stream.info.normalise(ours.x))
        assert list(y) == ours.y.tolist()
        assert set(task) == {index if scenario == "task-incremental" else 0}
        assert experience.task_label == task[0]
        assert experience.classes_in_this_experience == set(y)
    counts = [len(experience.dataset) for experience in benchmark.test_stream]
    assert counts == stream.test_counts


def test_its_own_script_learns_it() -> None:
    from avalanche.models import SimpleMLP
    from avalanche.training.supervised import Naive

    benchmark = clbench.to_avalanche(digits("task-incremental"))
    model = SimpleMLP(num_classes=10, input_size=64, hidden_size=8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Naive(model=model, optimizer=optimizer, evaluator=None, train_mb_size=20)
        for experience in benchmark.train_stream:
            theirs.train(experience)
        theirs.eval(benchmark.test_stream)
    assert theirs.clock.train_iterations == 6


def their_metrics(stream: Stream, strategy: Any) -> tuple[list[list[float]], float]:
    """Return the accuracies that Avalanche itself finds after each experience, and its forgetting."""
    from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics
    from avalanche.training.plugins import EvaluationPlugin

    benchmark, rows, learner = clbench.to_avalanche(stream), [], strategy.learner
    evaluator = EvaluationPlugin(
        accuracy_metrics(experience=True), forgetting_metrics(experience=True, stream=True)
    )
    place = learner.plugins.index(learner.evaluator)
    learner.plugins[place] = learner.evaluator = evaluator
    for index in range(len(stream)):
        for experience in stream.deliver(index):
            strategy.learn(experience)
        found = learner.eval(benchmark.test_stream)
        top = [v for k, v in sorted(found.items()) if k.startswith("Top1_Acc_Exp/eval")]
        rows.append(top)
    (forgetting,) = (v for k, v in found.items() if k.startswith("StreamForgetting"))
    return rows, forgetting


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["Naive", "Replay"])
def test_our_accuracy_and_forgetting_are_avalanches_own(name: str) -> None:
    """On a domain-incremental stream, where nothing is masked."""
    hyper = {"hidden": [32], "epochs": 4, "lr": 0.01}
    stream, outcome = digits("domain-incremental", experiences=3), Outcome()
    run_stream(stream, prepared(name, stream, **hyper), outcome)
    rows, forgetting = their_metrics(stream, prepared(name, stream, **hyper))
    assert len(rows[0]) == 3
    for ours, theirs in zip(outcome.matrix[1:], rows, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert metrics.METRICS["forgetting_first"].compute(outcome.matrix) == pytest.approx(
        forgetting, abs=1e-6
    )
    assert forgetting != 0


@pytest.mark.parametrize(
    ("scenario", "head"), [("class-incremental", "seen"), ("domain-incremental", "all")]
)
def test_there_and_back_again(scenario: str, head: str) -> None:
    stream = digits(scenario)
    back = clbench.from_avalanche(clbench.to_avalanche(stream))
    assert back.plan.test_mask == head
    assert back.test_counts == stream.test_counts
    for index in range(2):
        (ours,), (theirs,) = stream.deliver(index), back.deliver(index)
        assert sorted(ours.y.tolist()) == sorted(theirs.y.tolist())
        expected = stream.info.normalise(ours.x).sum((1, 2, 3)).sort().values
        torch.testing.assert_close(theirs.x.sum((1, 2, 3)).sort().values, expected)


def test_the_task_id_is_told_on_demand() -> None:
    benchmark = clbench.to_avalanche(digits("task-incremental"))
    told = clbench.from_avalanche(benchmark, task_id=True)
    assert told.info.tells_task
    assert told.plan.head == "multi"
    domains = clbench.to_avalanche(digits("domain-incremental"))
    with pytest.raises(UsageError, match="task_id=true needs experiences without a class in comm"):
        clbench.from_avalanche(domains, task_id=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with benchmarks."""
    path = tmp_path / "own.py"
    path.write_text(SOURCE, "utf-8")
    return path


def test_a_benchmark_from_a_file_runs(file: Path) -> None:
    specification, reason = specify(
        dataset=f"avalanche:{file}:split",
        scenario="given",
        strategy="finetune",
        hyper_parameters={"hidden": [8], "epochs": 2},
    )
    assert reason is None
    assert specification["scenario"]["options"]["experiences"] == 3
    record = run_one(specification)
    assert record["status"] == "ok", record.get("error")
    assert [sum(v is not None for v in row) for row in record["matrix"]] == [0, 1, 2, 3]
    again = load(f"avalanche:{file}:split")  # from the cache
    assert again.experience_train is not None
    assert again.hash == specification["dataset"]["hash"]


def test_its_classes_can_be_dealt_anew(file: Path) -> None:
    specification, _ = specify(
        dataset=f"avalanche:{file}:split",
        scenario="task-incremental",
        strategy="finetune",
        options={"experiences": 2},
    )
    assert specification["scenario"]["options"]["experiences"] == 2


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("uneven", UsageError, "3 training and 2 test experiences"),
        ("nothing", UsageError, "has a train_stream and a test_stream; this is a int"),
        ("broken", DataError, "could not be made with data in .*: RuntimeError: no network"),
    ],
)
def test_what_is_no_benchmark_is_told(
    file: Path, name: str, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        load(f"avalanche:{file}:{name}")


def test_misspelt_benchmarks_are_told() -> None:
    with pytest.raises(
        UsageError, match=r"benchmark of Avalanche 'SplitMNITS'\. Did you mean 'Split"
    ):
        load("avalanche:SplitMNITS")


def test_other_data_have_no_experiences() -> None:
    from clbench.specify import labels_of

    given = scenario_named("given")
    with pytest.raises(UsageError, match="needs data that come as a stream"):
        given().plan(labels_of(toy_dataset()), given.Options.parse({}, ""), 0)


def test_episodes_are_no_benchmark() -> None:
    stream = clbench.make_stream("episodic", ways=3, test_episodes=10)
    with pytest.raises(UsageError, match="Avalanche has no episodes"):
        clbench.to_avalanche(stream)
