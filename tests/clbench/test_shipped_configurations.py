"""The configurations shipped with clbench are found, described, valid, and say what they claim."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from clbench import config_files
from clbench.cli import main
from clbench.configuration import Grid, load
from clbench.expansion import expand
from clbench.scenario import Labels, Scenario
from clbench.shifts import Rotation
from clbench.specify import dataset_of, scenario_class, strategy_class

RESULTS = Path(__file__).resolve().parents[2] / "results"


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "configs", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["configs"]
    assert [row["name"] for row in rows] == list(config_files.shipped())
    assert "hsu2018-split-mnist" in config_files.shipped()
    for row in rows:
        assert row["summary"] == config_files.summary(row["name"])
        assert len(row["summary"].splitlines()) == 1
        assert main(["show", "config", row["name"]]) == 0
        assert row["summary"] in capsys.readouterr().out


@pytest.mark.parametrize("name", config_files.shipped())
def test_every_shipped_configuration_plans(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--dry-run", "--json", "--seed", "0", "--dataset", "digits"]
    options = load(name).common.options
    if name == "omniglot-metanet" or name.startswith("table-omniglot"):  # 20 ways; 500 classes
        arguments[-1] = "omniglot"
        if "CLBENCH_DATA" not in os.environ:
            pytest.skip(
                "CLBENCH_DATA is not set; digits have neither so many classes nor alphabets"
            )
    elif "ways" in options:  # half of ten classes are for training
        arguments += ["-S", "ways=5"]
    if "then" in options:
        arguments += ["-S", "then=digits"]
    assert main(["run", "--config", name, *arguments]) == 0
    statuses = {cell["status"] for cell in json.loads(capsys.readouterr().out)}
    assert statuses <= {"planned", "found"}


@pytest.mark.parametrize(
    ("folder", "configurations"),
    [
        ("reference/digits", ["class-incremental-digits"]),
        ("reference/mnist", ["class-incremental-mnist", "memory-mnist"]),
        ("reference/mnist-32", ["hsu2018-split-mnist", "hsu2018-regularisation"]),
        ("table/digits", ["table-digits-online", "table-digits-offline"]),
        ("table/mnist", ["table-mnist-online", "table-mnist-offline"]),
        ("table/omniglot", ["table-omniglot-online", "table-omniglot-offline"]),
        ("regularisers/digits", ["table-digits-avalanche"]),
        ("reference/mnist-raw", ["mer-rotations", "mer-permutations"]),
    ],
)
def test_configurations_name_the_committed_results(
    folder: str, configurations: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    results, dataset = folder.split("/")
    if dataset != "digits" and "CLBENCH_DATA" not in os.environ:
        pytest.skip("CLBENCH_DATA is not set; MNIST's hash is that of its data")
    named = set()
    for name in configurations:
        arguments = [
            "run",
            "--config",
            name,
            "--results",
            str(RESULTS / results),
            "--dry-run",
            "--json",
        ]
        assert main(arguments) == 0
        cells = json.loads(capsys.readouterr().out)
        assert {cell["status"] for cell in cells} == {"found"}
        named |= {cell["file"] for cell in cells}
    assert named == {str(path) for path in (RESULTS / folder).rglob("*.json")}


def test_hsu2018_is_the_protocol_of_the_paper() -> None:
    """Hsu et al. 2018: natural order, domain label digit mod 2, seen in training and all at test."""
    requests = expand(load("hsu2018-split-mnist"), Grid())
    labels = dataset_of("digits", None)
    given = Labels(labels.y_train.numpy(), labels.y_test.numpy(), 10)
    for request in requests:
        assert request.seeds == list(range(10))
        kind, _ = scenario_class(request.scenario)
        assert issubclass(kind, Scenario)
        plan = kind().plan(given, kind.Options.parse(request.options, ""), seed=3)
        assert plan.class_order == tuple(range(10))
        assert len(plan.tasks) == 5
        for position, task in enumerate(plan.tasks):
            units: dict[int, Any] = {c: u for c, u in enumerate(task.unit_of_class) if u >= 0}
            pair = (2 * position, 2 * position + 1)
            is_domain = request.scenario == "domain-incremental"
            assert units == {digit: digit % 2 if is_domain else digit for digit in pair}
        masks = {
            "task-incremental": ("task", "task"),
            "domain-incremental": ("all", "all"),
            "class-incremental": ("seen", "all"),
        }
        assert (plan.train_mask, plan.test_mask) == masks[request.scenario]
    learners = {}
    for request in requests:
        known = strategy_class(request.strategy)[0].Parameters
        hyper = known.parse(request.hyper_parameters, "strategy").model_dump()
        assert (hyper["hidden"], hyper["batch_size"], hyper["epochs"]) == ([400, 400], 128, 4)
        learners[request.strategy, hyper["optimizer"]] = hyper
    assert learners["finetune", "adam"]["lr"] == 0.001
    assert learners["finetune", "sgd"]["lr"] == 0.01
    assert learners["replay", "adam"]["memory_size"] == 1100
    assert learners["replay", "adam"]["memory_policy"] == "balanced"
    assert learners["replay", "adam"]["mixing"] == "data"
    assert not learners["joint", "adam"]["warm_start"]


@pytest.mark.parametrize(
    ("name", "rates"),
    [("mer-rotations", [0.0003, 0.1, 0.01, 5]), ("mer-permutations", [0.003, 0.03, 0.03, 10])],
)
def test_mer_is_the_protocol_of_the_paper(name: str, rates: list[float]) -> None:
    """Riemer et al. 2019: 20 tasks of 1,000 images, one by one; rates of the authors' scripts for 200 memories."""
    labels = dataset_of("digits", None)
    given = Labels(labels.y_train.numpy(), labels.y_test.numpy(), 10)
    requests = expand(load(name), Grid())
    for request in requests:
        kind, _ = scenario_class(request.scenario)
        assert issubclass(kind, Scenario)
        options = kind.Options.parse(request.options, "")
        assert (options.samples, options.online, options.batch_size) == (1000, True, 1)
        plan = kind().plan(given, options, seed=3)
        assert len(plan.tasks) == 20
        for t, task in enumerate(plan.tasks):
            if name == "mer-rotations":
                assert isinstance(task.shift, Rotation)
                assert 9 * t <= task.shift.degrees < 9 * (t + 1)
    learners: dict[Any, dict[str, Any]] = {}
    for request in requests:
        known = strategy_class(request.strategy)[0].Parameters
        hyper = known.parse(request.hyper_parameters, "strategy").model_dump()
        assert (hyper["hidden"], hyper["initialisation"]) == ([100, 100], "xavier")
        assert (hyper["optimizer"], hyper.get("memory_size", 200)) == ("sgd", 200)
        assert hyper.get("memory_policy", "reservoir") == "reservoir"
        key = request.strategy, hyper.get("algorithm"), hyper.get("variant")
        learners.setdefault(key, hyper)
    online, paper = learners["finetune", None, None], learners["mer", 1, "paper"]
    assert [online["lr"], paper["lr"], paper["beta"], paper["batches_per_example"]] == rates
    assert (paper["gamma"], paper["replay_batch_size"]) == (1.0, 10)
    assert learners["replay", None, None]["replay_batch_size"] == 10
    assert len(learners) == (6 if name == "mer-rotations" else 4)
