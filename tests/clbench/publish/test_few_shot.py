"""A paper's few-shot numbers beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clbench.compare.collection import Run
from clbench.errors import ResultsError
from clbench.publish.few_shot import FewShotPaper, markdown
from clbench.seeds import Seeds

PAPER = FewShotPaper.parse(
    {
        "source": "A paper",
        "dataset": "omniglot",
        "part": [
            {
                "title": "Five ways",
                "row": [
                    {
                        "name": "whole",
                        "strategy": "metanet",
                        "hyper_parameters": {"ablation": "default"},
                        "options": {"ways": 5},
                        "paper": 98.95,
                    },
                    {"name": "nearest", "strategy": "nearest", "options": {"ways": 5}},
                ],
            }
        ],
    },
    "paper.toml",
)


def run(hyper_parameters: dict[str, Any], accuracy: float, **options: int) -> Run:
    record = {
        "status": "ok",
        "specification": {
            "dataset": {"name": "omniglot"},
            "scenario": {"name": "episodic", "options": {"ways": 5, "episodes": 6000, **options}},
            "strategy": {"name": "metanet", "hyper_parameters": hyper_parameters},
        },
        "metrics": {"average_accuracy": accuracy, "ci95": 0.0042, "episodes": 1000},
        "budget": {"train_seconds": 120.0},
    }
    return Run(Path("a.json"), record, Seeds.of(0))


def test_each_row_is_answered_by_the_run_it_names() -> None:
    runs = [run({}, 0.95), run({"ablation": "nearest-key"}, 0.5), run({}, 0.9, ways=20)]
    told = markdown(PAPER, runs)
    assert "| whole | 98.95 | 95.00 ± 0.42 | 1,000 | 6,000 | 2 |" in told
    assert "| nearest | – | not run | – | – | – |" in told


def test_two_runs_for_one_row_are_an_error() -> None:
    with pytest.raises(ResultsError, match="whole is answered by 2 runs"):
        markdown(PAPER, [run({}, 0.95), run({}, 0.96)])
