"""Strategies × scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clbench.compare.collection import Run
from clbench.errors import ResultsError
from clbench.publish.overview import markdown
from clbench.seeds import Seeds
from tests.clbench.compare.records import record


def run(strategy: str, scenario: str, accuracy: float, seed: int = 0, **hyper: Any) -> Run:
    found = record(strategy, seed, scenario=scenario, hyper_parameters=hyper)
    found["metrics"]["average_accuracy"] = accuracy
    return Run(Path("a.json"), found, Seeds.of(seed))


def test_each_pair_has_its_own_setting_and_the_best_of_the_leading_column_comes_first() -> None:
    columns = {
        "task": [run("finetune", "task-incremental", 0.8, lr=0.1)],
        "class": [
            run("finetune", "class-incremental", 0.2, lr=0.2),
            run("replay", "class-incremental", 0.8, seed=0),
            run("replay", "class-incremental", 0.9, seed=1),
        ],
    }
    assert markdown(columns, "class").splitlines() == [
        "| strategy | task | class |",
        "| --- | ---: | ---: |",
        "| replay | – | 85.00 ± 63.53 |",
        "| finetune | 80.00 | 20.00 |",
    ]
    assert markdown(columns, "task", decimals=1).splitlines()[2:] == [
        "| finetune | 80.0 | 20.0 |",
        "| replay | – | 85.0 ± 63.5 |",
    ]


def test_two_settings_of_a_pair_are_no_overview() -> None:
    runs = [run("replay", "task-incremental", 0.8, lr=lr) for lr in (0.1, 0.2)]
    with pytest.raises(ResultsError, match="replay has several settings on task-incremental"):
        markdown({"task": runs}, "task")
