from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from clbench.compare.collection import collect, printable
from clbench.errors import ResultsError
from clbench.seeds import Seeds
from tests.clbench.compare.records import failed, record, store


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, "utf-8", errors="surrogatepass")


def without(key: str) -> dict[str, Any]:
    one = record()
    del one["specification"][key]
    return one


def damaged(hyper_parameters: dict[str, Any]) -> dict[str, Any]:
    one = record()
    one["specification"]["strategy"]["hyper_parameters"] |= hyper_parameters
    return one


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "damaged, not JSON"),
        ('{"status": "ok", ', "damaged, not JSON"),
        ("[" * 100_000, "damaged, not JSON"),
        ([1, 2], "not a result: the whole"),
        ({"name": "package", "version": "1.0"}, "not a result: status: field required"),
        (record(status="planned"), "not a result: status"),
        (without("protocol"), "not a result: specification.protocol: field required"),
        (record(seed=-1), "not a result: specification.seed"),
        (record(matrix=[["0.5"]]), "not a result: matrix.0.0"),
        (record(protocol={"named_seeds": {"weather": 3}}), "specification.protocol.named_seeds"),
        (damaged({"memory_size": "big"}), "hyper_parameters.memory_size: input should be"),
        (record(metrics={"ci95": 0.1, "episodes": "many"}), "metrics.episodes: input should be"),
        (record(metrics={"average_accuracy": 10**400}), "damaged, a number beyond 1e+100"),
        (record(matrix=[[-1e300]]), "damaged, a number beyond 1e+100"),
        (f'{{"seed": {"9" * 5000}}}', "damaged, a number beyond 1e+100"),
    ],
    ids=[
        "empty",
        "cut",
        "deep",
        "list",
        "foreign",
        "status",
        "older",
        "seed",
        "cell",
        "named",
        "memory",
        "episodes",
        "metric",
        "large",
        "digits",
    ],
)
def test_what_is_no_result_is_named_and_left_out(tmp_path: Path, content: Any, reason: str) -> None:
    store(tmp_path, [record(seed=3)])
    put(tmp_path / "sub" / "other.json", content)
    found = collect([tmp_path])
    assert [run.seeds.order for run in found.runs] == [3]
    (sentence,) = found.ignored
    assert str(tmp_path / "sub" / "other.json") in sentence
    assert reason in sentence


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    store(tmp_path, [record()])
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    assert "damaged" in collect([tmp_path]).ignored[0]


def test_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=f"no results below {tmp_path}"):
        collect([tmp_path])
    put(tmp_path / "a.json", {})
    with pytest.raises(ResultsError, match=r"left out: .*a.json: not a result"):
        collect([tmp_path])
    with pytest.raises(ResultsError, match=r"nowhere does not exist"):
        collect([tmp_path / "nowhere"])


def test_scratch_files_are_not_looked_at(tmp_path: Path) -> None:
    store(tmp_path, [record()])
    put(tmp_path / ".work" / "half.json", "{")
    assert collect([tmp_path]).ignored == ()


def test_overlapping_folders_are_read_once(tmp_path: Path) -> None:
    store(tmp_path / "reference", [record()])
    found = collect([tmp_path, tmp_path / "reference", tmp_path])
    assert (len(found.runs), found.repeated) == (1, 0)


def test_a_run_found_twice_counts_once_and_the_newest_is_kept(tmp_path: Path) -> None:
    old = record(cells=(0.9, 0.5, 0.5))
    new = record(provenance={"started": "2026-02-01T00:00:00+00:00"})
    store(tmp_path / "b", [old])
    store(tmp_path / "a", [new])
    found = collect([tmp_path])
    assert (len(found.runs), found.repeated, found.contradicting) == (1, 1, 1)
    assert found.runs[0].metric("average_accuracy") == pytest.approx(0.75)


def test_a_finished_run_beats_a_later_failure(tmp_path: Path) -> None:
    late = failed("replay", 0, "no memory", provenance={"started": "2026-03-01T00:00:00+00:00"})
    store(tmp_path / "a", [record()])
    store(tmp_path / "b", [late])
    (run,) = collect([tmp_path]).runs
    assert run.finished


def test_named_seeds_that_come_to_the_same_are_the_same_run(tmp_path: Path) -> None:
    every = {"order": 4, "init": 4, "train": 4, "memory": 4}
    store(tmp_path, [record(seed=4), record(seed=0, protocol={"named_seeds": every})])
    store(tmp_path, [record(seed=4, protocol={"named_seeds": {"order": 1}})])
    seeds = {run.seeds for run in collect([tmp_path]).runs}
    assert seeds == {Seeds.of(4), Seeds.of(4, order=1)}


def test_metrics_as_stored_else_of_the_matrix(tmp_path: Path) -> None:
    told = {"average_accuracy": 0.123, "forgetting": math.nan, "stability_gap": True}
    store(tmp_path, [record(metrics=told)])
    (run,) = collect([tmp_path]).runs
    assert run.metric("average_accuracy") == 0.123
    assert run.metric("forgetting") is None
    assert run.metric("learning_accuracy") == pytest.approx(0.85)
    assert run.metric("forgetting_as_mammoth") == pytest.approx(0.2)
    assert run.metric("stability_gap") is None
    assert run.metric("anything") is None


def test_an_older_budget_has_no_such_entry(tmp_path: Path) -> None:
    store(tmp_path, [record(budget={"train_seconds": None, "steps": "many"})])
    (run,) = collect([tmp_path]).runs
    assert run.cost("seconds") is None
    assert run.cost("steps") is None
    assert run.cost("peak_bytes") is None
    assert run.cost("parameters") == 100


def test_non_finite_numbers_are_undefined(tmp_path: Path) -> None:
    text = json.dumps(record()).replace('"average_accuracy": 0.75', '"average_accuracy": Infinity')
    assert "Infinity" in text
    put(tmp_path / "x.json", text)
    (run,) = collect([tmp_path]).runs
    assert run.metric("average_accuracy") is None


def test_no_string_of_a_file_steers_the_terminal(tmp_path: Path) -> None:
    one = record("evil\x1b[31m\nname\u202e", dataset={"name": "\x9b2J\ud800", "hash": "abc"})
    put(tmp_path / "x.json", one)
    (run,) = collect([tmp_path]).runs
    assert run.specification["strategy"]["name"] == r"evil\x1b[31m\nname\u202e"
    assert run.specification["dataset"]["name"] == r"\x9b2J\ud800"
    assert printable("Größe ± 1 – 漢字") == "Größe ± 1 – 漢字"
