"""The committed results say what the README says they say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from clbench.metrics import compute_all
from clbench.specification import result_path
from clbench.statistics import mean_interval

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
FILES = sorted(REFERENCE.rglob("*.json"))


def accuracies(dataset: str, strategy: str) -> dict[int, float]:
    """Return the average accuracy of each seed on the class-incremental stream."""
    folder = REFERENCE / dataset / "class-incremental" / strategy
    records = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    return {r["specification"]["seed"]: r["metrics"]["average_accuracy"] for r in records}


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(REFERENCE)) for p in FILES])
def test_a_committed_result_is_whole(path: Path) -> None:
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    assert record["status"] == "ok"
    assert result_path(REFERENCE, record["specification"]) == path
    assert record["metrics"] == pytest.approx(compute_all(record["matrix"]))
    assert record["provenance"]["command"].startswith("clbench run ")
    assert not record["provenance"]["commit"].endswith("-dirty")


ROWS = re.findall(
    r"^\| `(\w+)` \| ([\d.]+) ± ([\d.]+) \|.*<!-- (\w+) -->$",
    (ROOT / "README.md").read_text("utf-8"),
    re.MULTILINE,
)


def test_the_readme_has_both_tables() -> None:
    assert len(ROWS) == 10


@pytest.mark.parametrize(
    ("strategy", "mean", "half", "dataset"), ROWS, ids=[f"{row[3]}-{row[0]}" for row in ROWS]
)
def test_the_readme_quotes_the_files(strategy: str, mean: str, half: str, dataset: str) -> None:
    found = accuracies(dataset, strategy)
    assert sorted(found) == list(range(10))
    exact, exact_half = mean_interval(list(found.values()))
    assert exact_half is not None
    assert f"{100 * exact:.1f}" == mean
    assert f"{100 * exact_half:.1f}" == half


def test_metanet_clears_the_nearest_neighbour_on_mnist() -> None:
    """Paired over seeds, on the identical exemplars."""
    ours, nearest = accuracies("mnist", "metanet"), accuracies("mnist", "nearest")
    mean, half = mean_interval([ours[seed] - nearest[seed] for seed in range(10)])
    assert half is not None
    assert mean - half > 0
