"""Retained accuracy and backward transfer beside a paper's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clbench.compare.collection import Run
from clbench.errors import ResultsError
from clbench.publish.retained import Retained, markdown
from clbench.seeds import Seeds
from tests.clbench.compare.records import record

PAPER = Retained.parse(
    {
        "source": "A paper",
        "dataset": "digits",
        "shifts": {"rotated": "Rotations", "permuted": "Permutations"},
        "row": [
            {"name": "MER", "strategy": "mer", "hyper_parameters": {"algorithm": 1},
             "paper": {"rotated": ["77.42", "-5.60"]}},
            {"name": "online", "strategy": "finetune"},
            {"name": "variant", "strategy": "mer", "hyper_parameters": {"algorithm": 2}, "shifts": ["permuted"]},
        ],
    },
    "paper.toml",
)  # fmt: skip


def run(seed: int, accuracy: float, shift: str = "rotated", **hyper: Any) -> Run:
    found = record("mer", seed, scenario="domain-incremental", options={"shift": shift},
                   hyper_parameters={"algorithm": 1, **hyper})  # fmt: skip
    found["specification"]["dataset"]["name"] = "digits"
    found["metrics"] |= {"average_accuracy": accuracy, "backward_transfer_interference": -0.05}
    found["budget"]["train_seconds"] = 60.0 + seed
    return Run(Path("a.json"), found, Seeds.of(seed))


def test_a_table_a_stream_with_what_was_not_run() -> None:
    told = markdown(PAPER, [run(0, 0.7), run(1, 0.8), run(0, 0.6, "permuted")]).splitlines()
    assert told[4:6] == [
        "| MER | 77.42 | -5.60 | 75.00 ± 63.53 | -5.00 ± 0.00 | 2 | 60 |",
        "| online | – | – | not run | – | – | – |",
    ]
    assert "| MER | – | – | 60.00 | -5.00 | 1 | 60 |" in told
    assert [line for line in told if "variant" in line] == told[-1:]


def test_two_runs_for_a_row_are_refused() -> None:
    with pytest.raises(ResultsError, match="MER is answered by several runs"):
        markdown(PAPER, [run(0, 0.7), run(0, 0.7, lr=0.5)])
