"""The Python API: the same runs, files, tables and sentences as the command line's."""

from __future__ import annotations

import json
import linecache
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clbench.strategies.nearest import Nearest
from clbench.strategies.replay import Replay

import clbench
from clbench.cli import main
from clbench.errors import ResultsError, UsageError
from clbench.results import Record

STREAM = {"samples": 30, "experiences": 2}
FAST = {"epochs": 1, "hidden": [8]}
METHOD = """
from torch.nn.functional import cross_entropy

import clbench


class Mine(clbench.GradientStrategy):
    def loss(self, network, batch):
        return {factor} * cross_entropy(network(batch.x), batch.y)
"""
Run = Callable[..., clbench.Results]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return `clbench.run` on a small stream in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def small(*arguments: Any, **keywords: Any) -> clbench.Results:
        said: dict[str, Any] = {"options": STREAM, "device": "cpu", "quiet": True} | keywords
        return clbench.run("class-incremental", *arguments, **said)

    return small


def at_a_prompt(source: str, cell: str) -> Any:
    """Return the class ``Mine`` as a notebook defines it."""
    linecache.cache[cell] = (len(source), None, source.splitlines(keepends=True), cell)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, cell, "exec"), names)
    return names["Mine"]


def same_in_shell(capsys: pytest.CaptureFixture[str], *strategies: str) -> list[dict[str, Any]]:
    words = ["run", "--scenario", "class-incremental", "--device", "cpu", "-q", "--json"]
    words += [f"-S{key}={value}" for key, value in STREAM.items()]
    words += [f"-s{key}={value}" for key, value in FAST.items()]
    words += [word for name in strategies for word in ("--strategy", name)]
    main(words)
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


# One way for both.


def test_the_command_line_finds_what_python_ran(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.py").write_text(METHOD.format(factor=1), "utf-8")
    results = run(["finetune", "mine.py:Mine"], hyper_parameters=FAST)
    assert [cell.status for cell in results] == ["ok", "ok"]
    found = same_in_shell(capsys, "finetune", "mine.py:Mine")
    assert [cell["status"] for cell in found] == ["found", "found"]
    assert [cell["file"] for cell in found] == list(results.frame["file"])
    assert [cell["metrics"] for cell in found] == [record["metrics"] for record in results.records]
    assert [cell.status for cell in run(["finetune"], hyper_parameters=FAST)] == ["found"]


def test_wrong_usage_is_the_same_sentence(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError) as raised:
        run("finetun")
    assert main(["run", "--scenario", "class-incremental", "--strategy", "finetun"]) == 2
    assert capsys.readouterr().err == f"Error: {raised.value}\n"
    assert "Did you mean 'finetune'?" in str(raised.value)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"seeds": []}, "seeds must have at least 1 item"),
        ({"seeds": -1}, "numbers and ranges"),
        (
            {"threads": 0},
            "threads must be greater than 0, not 0",
        ),
        ({"jobs": "two"}, "jobs must be a valid integer, not 'two'"),
        ({"device": "tpu9"}, "try auto or cpu"),
        ({"named_seeds": {"ordr": 1}}, "unknown key 'ordr_seeds'. Did you mean 'order_seeds'"),
        ({"hyper_parameters": {"memory_sise": 1}}, "Did you mean 'memory_size'"),
        ({"hyper_parameters": {"replay": {"lr": 1}}}, "unknown strategy 'replay'"),
        ({"config": "hsu"}, "unknown configuration 'hsu'"),
    ],
)
def test_wrong_values_are_refused_before_anything_runs(
    run: Run, keywords: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        run("nearest", **keywords)
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (None, [0]),
        (3, [3]),
        (np.int64(3), [3]),
        (range(3), [0, 1, 2]),
        ((4, 2), [4, 2]),
        (np.arange(2), [0, 1]),
        ("0-1,7", [0, 1, 7]),
    ],
)
def test_seeds_in_every_way(run: Run, seeds: Any, expected: list[int]) -> None:
    planned = run("nearest", seeds=seeds, dry_run=True)
    assert list(planned.frame["seed"]) == expected
    assert set(planned.frame["status"]) == {"planned"}
    assert not Path("results").exists()


def test_settings_as_python_has_them(run: Run) -> None:
    planned = run(
        [Replay, Nearest],
        hyper_parameters={"epochs": np.int64(2), "hidden": (16, 8), Nearest: {"memory_size": 20}},
        vary={"lr": [0.1, 0.01], "options": {"head": ("seen", "all")}},
        named_seeds={"order": "0-1"},
        dry_run=True,
    ).frame
    assert planned["strategy"].value_counts().to_dict() == {"replay": 8, "nearest": 4}
    replay = planned[planned["strategy"] == "replay"]
    assert set(replay["hyper_parameters.hidden"]) == {"[16,8]"}
    assert set(replay["hyper_parameters.epochs"]) == {2}
    assert len(replay.groupby(["hyper_parameters.lr", "options.head", "order_seed"])) == 8
    assert set(planned["hyper_parameters.memory_size"]) == {200, 20}


def test_given_over_environment_over_file_over_default(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("my.toml").write_text('strategy = "nearest"\nresults = "written"\nseeds = 1', "utf-8")

    def place(**keywords: Any) -> tuple[str, int]:
        (cell,) = run(config="my.toml", dry_run=True, **keywords)
        return cell.path.relative_to(Path.cwd()).parts[0], cell.specification["seed"]

    assert place() == ("written", 1)
    monkeypatch.setenv("CLBENCH_RESULTS", "set")
    monkeypatch.setenv("CLBENCH_SEEDS", "2")
    monkeypatch.setenv("CLBENCH_THREADS", "2")
    assert place() == ("set", 2)
    assert place(results="given", seeds=3) == ("given", 3)


# Classes.


def test_a_class_of_a_file_is_run_as_the_file_is_now(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(".")
    Path("edited_mine.py").write_text(METHOD.format(factor=1), "utf-8")
    from edited_mine import Mine  # type: ignore[import-not-found]

    (first,) = run(Mine, hyper_parameters=FAST)
    (found,) = run("edited_mine.py:Mine", hyper_parameters=FAST)
    Path("edited_mine.py").write_text(METHOD.format(factor=50), "utf-8")
    (edited,) = run(Mine, hyper_parameters={**FAST, "optimizer": "sgd"})
    (again,) = run(Mine, hyper_parameters=FAST)
    assert first.specification["strategy"]["name"] == "edited_mine.py:Mine"
    assert (found.status, again.status, edited.status) == ("found", "ok", "ok")
    sources = [cell.specification["strategy"]["source"] for cell in (first, edited, again)]
    assert sources[0] != sources[1] == sources[2]


def test_a_class_of_a_prompt_is_always_run_anew(run: Run) -> None:
    mine = at_a_prompt(METHOD.format(factor=1), "<cell 1>")
    first, again = (run(mine, hyper_parameters=FAST)[0] for _ in range(2))
    other = at_a_prompt(METHOD.format(factor=50), "<cell 2>")
    (changed,) = run(other, hyper_parameters=FAST)
    assert first.specification["strategy"]["name"] == "__main__:Mine"
    assert (first.status, again.status, changed.status) == ("ok", "ok", "ok")
    assert first.path == again.path != changed.path
    assert record_of(first)["matrix"] == record_of(again)["matrix"]


def test_what_cannot_be_named_is_refused(run: Run) -> None:
    class Local(Nearest):  # type: ignore[misc]
        pass

    unseen = at_a_prompt(METHOD.format(factor=1), "<cell 3>")
    with pytest.raises(UsageError, match="where worker processes cannot find it; put it"):
        run(unseen, jobs=2)
    del linecache.cache["<cell 3>"]
    with pytest.raises(UsageError, match="has no source to hash; put it in a file"):
        run(unseen)
    with pytest.raises(UsageError, match="Local must stand at the top level of its file"):
        run(Local)
    with pytest.raises(UsageError, match="a strategy is given by its name or its class, not as"):
        run(Nearest(Nearest.Parameters()))


LIGHT = """
import sys

import clbench

dir(clbench)
assert not {"torch", "pandas", "numpy"} & set(sys.modules)
"""
RUN_MINE = """
results = clbench.run("class-incremental", Mine, hyper_parameters={"epochs": 1}, device="cpu")
print(repr(results), results[0].specification["strategy"]["name"])
"""


def test_a_worker_that_imports_a_script_does_not_run_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(UsageError, match='call it under `if __name__ == "__main__":`'):
        run("nearest")


def test_a_script_runs_its_own_class_and_is_not_imported_again(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(LIGHT + METHOD.format(factor=1) + RUN_MINE, "utf-8")
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Results(1 run: 1 ok) script.py:Mine\n"


BROKEN = """
import clbench


class Mine(clbench.GradientStrategy):
    def loss(self, network, batch):
        return None


try:
    clbench.evaluate(Mine, clbench.make_stream("class-incremental", device="cpu"))
except clbench.errors.ClbenchError as error:
    print(error)
print(clbench.run("class-incremental", Mine, device="cpu", quiet=True)[0].reason)
"""


def test_the_file_of_a_script_is_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(BROKEN, "utf-8")
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    line = 1 + BROKEN.splitlines().index("    def loss(self, network, batch):")
    evaluated, ran = done.stdout.splitlines()
    assert evaluated == ran
    assert ran.startswith("loss must return a scalar tensor")
    assert ran.endswith(f"(script.py:{line})")


def test_a_mapping_under_the_own_name_of_a_class(run: Run) -> None:
    Path("mine.py").write_text(METHOD.format(factor=1), "utf-8")
    for name in ("Mine", "mine.py:Mine"):
        planned = run(["mine.py:Mine", "finetune"], hyper_parameters={name: FAST}, dry_run=True)
        assert list(planned.frame["hyper_parameters.epochs"]) == [1, 10]
    with pytest.raises(UsageError, match=r"unknown strategy 'Yours'\. Allowed: mine\.py:Mine\.$"):
        run(["mine.py:Mine", "mine.py:Mine"], hyper_parameters={"Yours": FAST})
    Path("other.py").write_text(METHOD.format(factor=2), "utf-8")
    with pytest.raises(UsageError, match="unknown strategy 'Mine'"):
        run(["mine.py:Mine", "other.py:Mine"], hyper_parameters={"Mine": FAST}, dry_run=True)


# Results.


def record_of(cell: Any) -> Record:
    assert cell.record is not None
    return dict(cell.record)


def test_the_frame_has_a_row_per_run_with_its_numbers(run: Run) -> None:
    results = run(["nearest", "metanet-frozen"], seeds=range(2))
    frame = results.frame
    assert list(frame.columns[:6]) == [
        "dataset",
        "scenario",
        "strategy",
        "seed",
        "status",
        "reason",
    ]
    assert list(frame["status"]) == ["ok", "ok", "skipped", "skipped"]
    for row, record in zip(frame.to_dict("records"), results.records, strict=False):
        for name, value in {**record["metrics"], **record["budget"]}.items():
            assert row[name] == value or (np.isnan(row[name]) and value is None), name
    assert frame["average_accuracy"].dtype == frame["steps"].dtype == float
    assert frame["average_accuracy"].isna().tolist() == [False, False, True, True]
    assert repr(results) == "Results(4 runs: 2 ok, 2 skipped)"


def test_a_failing_run_is_a_row_and_an_interrupt_is_not(run: Run) -> None:
    failing = METHOD.format(factor=1).replace("return", "raise {}('no'); return")
    broken = at_a_prompt(failing.format("ValueError"), "<cell 4>")
    results = run(["nearest", broken])
    (failed,) = results.failed
    assert (len(results), failed.status, failed.reason) == (2, "failed", "ValueError: no")
    assert "ValueError: no" in record_of(failed)["error"]["traceback"]
    stopped = at_a_prompt(failing.format("KeyboardInterrupt"), "<cell 5>")
    with pytest.raises(KeyboardInterrupt):
        run(["nearest", stopped])


def test_tables_are_those_of_the_command_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(["nearest", "finetune"], seeds=range(3), hyper_parameters=FAST)
    words = ["run", "--scenario", "class-incremental", "--seeds=0-2", "-shidden=[8]", "-sepochs=1"]
    words += ["--strategy=nearest", "--strategy=finetune", "-Ssamples=30", "-Sexperiences=2", "-q"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{results}\n"
    assert "<pre>class-incremental on digits" in results._repr_html_()
    compared = results.compare(baseline="nearest")
    assert main(["compare", "results", "--baseline", "nearest"]) == 0
    assert capsys.readouterr().out == str(compared)
    assert main(["compare", "--baseline", "nearest", "--format", "markdown"]) == 0
    assert capsys.readouterr().out == compared._repr_markdown_()
    assert set(compared.frame["baseline"].dropna()) == {"nearest"}


def test_results_are_read_back_and_added(run: Run) -> None:
    results = run(["nearest"], seeds=range(2))
    read = clbench.read("results")
    assert {cell.status for cell in read} == {"found"}
    assert sorted(read.frame["file"]) == sorted(results.frame["file"])
    assert str((results + read).compare()) == str(read.compare())
    assert len(results + read[:1]) == 3
    Path("results/other.json").write_text("{}", "utf-8")
    with pytest.warns(UserWarning, match=r"left out .*other.json"):
        clbench.read("results")
    with pytest.raises(ResultsError, match="does not exist"):
        clbench.read("elsewhere")
    with pytest.raises(ResultsError, match="nothing to compare"):
        run("nearest", seeds=9, dry_run=True).compare()
