from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from clbench import results
from clbench.errors import ResultsError
from clbench.metrics import METRICS
from clbench.specification import canonical, result_path, run_hash

SPECIFICATION: dict[str, Any] = {
    "dataset": {"name": "npz:/home/me/my data.npz", "hash": "abc"},
    "scenario": {"name": "class-incremental", "version": 1, "options": {}},
    "strategy": {"name": "my.py:Mine", "version": 1, "hyper_parameters": {"lr": 0.1}},
    "seed": 3,
    "protocol": {"evaluation": 1},
}
RECORD: dict[str, Any] = dict.fromkeys(results.KEYS, None) | {
    "status": "ok",
    "matrix": [[None], [0.5]],
    "metrics": dict.fromkeys(METRICS) | {"average_accuracy": 0.5},
    "budget": dict.fromkeys(results.BUDGET, 1),
}


def changed(**parts: Any) -> dict[str, Any]:
    return {**SPECIFICATION, **parts}


def test_the_hash_covers_all_but_the_seed_and_the_path_of_the_data() -> None:
    base = run_hash(SPECIFICATION)
    assert len(base) == 12
    assert run_hash(changed(seed=4)) == base
    assert run_hash(changed(dataset={"name": "npz:elsewhere.npz", "hash": "abc"})) == base
    assert run_hash(changed(dataset={"name": "npz:/home/me/my data.npz", "hash": "abd"})) != base
    for part in ("scenario", "strategy"):
        assert run_hash(changed(**{part: {**SPECIFICATION[part], "version": 2}})) != base
    assert run_hash(changed(protocol={"evaluation": 2})) != base


def test_the_path_stays_below_the_folder(tmp_path: Path) -> None:
    path = result_path(tmp_path, SPECIFICATION)
    relative = path.relative_to(tmp_path)
    assert relative.parts[:3] == ("npz--home-me-my-data.npz", "class-incremental", "my.py-Mine")
    assert relative.name == f"{run_hash(SPECIFICATION)}-s3.json"
    sly = changed(strategy={"name": "..", "version": 1})
    assert ".." not in result_path(tmp_path, sly).relative_to(tmp_path).parts


def test_key_order_does_not_change_the_hash() -> None:
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"a": math.nan})


def test_round_trip_with_non_finite_numbers_as_null(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    results.write(
        path,
        RECORD | {"metrics": RECORD["metrics"] | {"x": math.inf, "y": math.nan}},
        tmp_path,
    )
    read = results.read(path)
    assert read is not None
    assert read["metrics"] == RECORD["metrics"] | {"x": None, "y": None}
    assert list((tmp_path / results.WORK).iterdir()) == []
    assert list(results.files(tmp_path)) == [path]


def test_a_failed_write_leaves_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.json"
    results.write(path, RECORD, tmp_path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResultsError, match="No space left"):
        results.write(path, RECORD | {"status": "failed"}, tmp_path)
    assert path.read_bytes() == before
    assert list((tmp_path / results.WORK).iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"status": "ok"}', "\x00\xff", json.dumps(RECORD | {"metrics": []})]
)
def test_damaged_files_are_no_results(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(text, "utf-8")
    assert results.read(path) is None


@pytest.mark.parametrize(("part", "key"), [("metrics", "forgetting"), ("budget", "working_bytes")])
def test_what_an_older_version_stored_is_not_enough(tmp_path: Path, part: str, key: str) -> None:
    path = tmp_path / "b.json"
    results.write(path, RECORD, tmp_path)
    assert results.read(path) == RECORD
    older = {name: value for name, value in RECORD[part].items() if name != key}
    results.write(path, RECORD | {part: older}, tmp_path)
    assert results.read(path) is None


def test_writability_is_checked_without_a_trace(tmp_path: Path) -> None:
    results.check_writable(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text(json.dumps({}))
    with pytest.raises(ResultsError, match="cannot be written"):
        results.check_writable(tmp_path / "file" / "below")
