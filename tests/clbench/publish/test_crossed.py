"""Two hyper-parameters crossed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clbench.compare.collection import Run
from clbench.errors import ResultsError
from clbench.publish.crossed import markdown
from clbench.seeds import Seeds
from tests.clbench.compare.records import record


def runs(*of: tuple[float, int, int, float], **others: Any) -> list[Run]:
    """Return runs from temperature, memory size, seed and accuracy of the one task that counts."""
    made = []
    for temperature, size, seed, accuracy in of:
        hyper = {"temperature": temperature, "memory_size": size, **others}
        found = record("metanet", seed, hyper_parameters=hyper)
        found["metrics"]["average_accuracy"] = accuracy
        made.append(Run(Path("a.json"), found, Seeds.of(seed)))
    return made


def test_a_cell_is_the_mean_over_its_seeds_and_says_how_many() -> None:
    of = [(1.0, 20, 0, 0.4), (1.0, 20, 1, 0.5), (0.1, 1000, 0, 0.9)]
    assert markdown(runs(*of), "temperature", "memory_size").splitlines() == [
        "| temperature \\ memory_size | 20 | 1,000 |",
        "| ---: | ---: | ---: |",
        "| 0.1 | – | 90.0 (1) |",
        "| 1 | 45.0 ± 63.5 (2) | – |",
    ]


def test_runs_that_differ_in_more_share_no_table() -> None:
    mixed = runs((1.0, 20, 0, 0.4)) + runs((0.1, 20, 0, 0.4), lr=0.5)
    with pytest.raises(ResultsError, match="differ in more than temperature, memory_size"):
        markdown(mixed, "temperature", "memory_size")
