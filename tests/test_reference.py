"""The committed results are whole, and clear what they must; `test_build` compares them with the documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clbench.metrics import compute_all
from clbench.specification import result_path
from clbench.statistics import mean_interval

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
FILES = sorted(
    path
    for folder in ("reference", "table", "regularisers")
    for path in (ROOT / "results" / folder).rglob("*.json")
)


def accuracies(dataset: str, strategy: str) -> dict[int, float]:
    """Return the average accuracy of each seed on the class-incremental stream, with 200 exemplars."""
    folder = REFERENCE / dataset / "class-incremental" / strategy
    records = [json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")]
    return {
        r["specification"]["seed"]: r["metrics"]["average_accuracy"]
        for r in records
        if r["specification"]["strategy"]["hyper_parameters"]["memory_size"] == 200
    }


ROWS = sorted({path.parent / path.name.partition("-s")[0] for path in FILES})
"""Files but for their seed and suffix."""
of_every_row = pytest.mark.parametrize(
    "row", ROWS, ids=[str(row.relative_to(ROOT)) for row in ROWS]
)


def seeds_of(row: Path) -> dict[int, Path]:
    """Return the file of each seed."""
    found = row.parent.glob(f"{row.name}-s*.json")
    return {int(path.stem.rpartition("-s")[2]): path for path in found}


@of_every_row
def test_a_committed_row_is_whole(row: Path) -> None:
    for path in seeds_of(row).values():
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        assert record["status"] == "ok", path
        assert result_path(path.parents[3], record["specification"]) == path
        computed = compute_all(record["matrix"])
        stored = {name: record["metrics"][name] for name in computed}
        assert stored == pytest.approx(computed), path
        assert record["provenance"]["command"].startswith("clbench run "), path
        assert not record["provenance"]["commit"].endswith("-dirty"), path


@of_every_row
def test_no_seed_of_a_committed_row_is_missing(row: Path) -> None:
    found = seeds_of(row)
    assert set(found) == set(range(len(found)))
    record = json.loads(found[0].read_text("utf-8"))
    over_episodes = record["metrics"].get("episodes", 0) >= 1000  # then one seed has an interval
    assert len(found) > 1 or over_episodes


def test_metanet_clears_the_nearest_neighbour_on_mnist() -> None:
    """Paired over seeds, on the identical exemplars."""
    ours, nearest = accuracies("mnist", "metanet"), accuracies("mnist", "nearest")
    mean, half = mean_interval([ours[seed] - nearest[seed] for seed in range(10)])
    assert half is not None
    assert mean - half > 0
