"""A paper's accuracy by presentation beside ours."""

from __future__ import annotations

from pathlib import Path

from clbench.compare.collection import Run
from clbench.publish.presentations import Presentations, markdown
from clbench.seeds import Seeds

PAPER = Presentations.parse(
    {
        "source": "A paper",
        "dataset": "omniglot",
        "presentations": [1, 3],
        "row": [
            {
                "name": name,
                "strategy": "mann",
                "hyper_parameters": {"addressing": name},
                "options": {"protocol": "presentations"},
                "paper": paper,
            }
            for name, paper in (("lrua", [36.4, 91.0]), ("ntm", []))
        ],
    },
    "paper.toml",
)


def test_two_lines_a_method_each_at_the_presentations_the_paper_tells() -> None:
    record = {
        "status": "ok",
        "specification": {
            "dataset": {"name": "omniglot"},
            "scenario": {
                "name": "episodic",
                "options": {"protocol": "presentations", "episodes": 9600},
            },
            "strategy": {"name": "mann", "hyper_parameters": {"addressing": "lrua"}},
        },
        "by_presentation": [0.3, 0.6, 0.7],
        "budget": {"train_seconds": 120.0},
    }
    told = markdown(PAPER, [Run(Path("a.json"), record, Seeds.of(0))]).splitlines()
    assert told[2:] == [
        "| lrua | paper | 36.4 | 91.0 | – | – |",
        "|  | ours | 30.0 | 70.0 | 9,600 | 2 |",
        "| ntm | paper | – | – | – | – |",
        "|  | ours | not run | – | – | – |",
    ]
