"""Choosing hyper-parameters: what is tried, what is chosen, what is refused, what is recorded."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench import results
from clbench.cli import main
from clbench.errors import UsageError
from clbench.grid import Cell
from clbench.tuning import GridSearch, OptunaSearch, Trial, best, check_size

TUNE = ["tune", "--scenario", "class-incremental", "-q", "--seeds", "100-101", "-Ssamples=60"]
REPLAY = [*TUNE, "--strategy", "replay", "-sepochs=2"]


def trial(*scores: float | None, **settings: Any) -> Trial:
    """Return a trial with a run for each score; None for a run that failed."""
    cells = []
    for seed, score in enumerate(scores):
        status = "failed" if score is None else "ok"
        cell = Cell(
            {"seed": seed}, Path(), status=status, reason="too bad" if score is None else None
        )
        cell.record = {"metrics": {"average_accuracy": score, "forgetting": score}}
        cells.append(cell)
    return Trial(settings, cells)


def test_the_best_mean_wins_and_a_failure_disqualifies() -> None:
    trials = [trial(0.5, 0.7, a=1), trial(0.9, None, a=2), trial(0.6, 0.6, a=3), trial(0.1, a=4)]
    assert best(trials, "average_accuracy", maximise=True) is trials[0]  # the first of equals
    assert best(trials, "forgetting", maximise=False) is trials[3]
    assert best([trials[1]], "average_accuracy", maximise=True) is None
    assert trials[1].words("average_accuracy") == "too bad"
    assert trials[0].words("average_accuracy") == "60.00 ± 127.06"  # t(1, .975) · sd / √2
    assert trials[3].words("average_accuracy") == "10.00"


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=3, unique=True), max_size=3))
def test_a_grid_is_every_combination_once(values: list[list[int]]) -> None:
    named = {f"k{i}": listed for i, listed in enumerate(values)}
    search = GridSearch(named)
    batch = [tuple(settings.items()) for settings in search.suggest()]
    expected = 1
    for listed in values:
        expected *= len(listed)
    assert len(search) == len(batch) == len(set(batch)) == expected
    assert all(settings[i][1] in listed for settings in batch for i, listed in enumerate(values))
    search.tell([None] * len(batch))
    assert search.suggest() == []


def test_a_value_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--vary lr names a value twice: \[1, 1.0\]"):
        GridSearch({"lr": [1, 1.0]})


def test_optuna_is_seeded_stays_in_range_and_finds_the_top() -> None:
    def run() -> list[float]:
        search = OptunaSearch({"kind": ["a", "b"]}, {"lr": (1e-4, 1.0), "n": (1, 9)}, 30, True)
        scores = []
        while batch := search.suggest():
            (settings,) = batch
            assert 1e-4 <= settings["lr"] <= 1
            assert settings["n"] in range(1, 10)
            assert type(settings["n"]) is int
            scores.append(settings["n"] - (settings["kind"] == "a"))
            search.tell([None if len(scores) == 1 else scores[-1]])
        return scores

    first = run()
    assert first == run()
    assert len(first) == 30
    assert sum(first[-10:]) > sum(first[:10])


def test_final_seeds_and_too_many_trials_are_refused() -> None:
    check_size([100, 101], 12, most=12)
    with pytest.raises(UsageError, match="choose with seeds from 100 on, not 99"):
        check_size([100, 99], 1, most=12)
    with pytest.raises(UsageError, match="13 trials are more than 12"):
        check_size([100], 13, most=12)


def test_the_command_chooses_on_validation_and_writes_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "best.toml"
    command = [*REPLAY, "--results", str(tmp_path / "r"), "--output", str(written)]
    assert main([*command, "--vary", "lr=[1e-6, 0.01]", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["chosen"] == {"lr": 0.01}
    assert [t["settings"] for t in printed["trials"]] == [{"lr": 1e-6}, {"lr": 0.01}]
    records = [results.read(path) for path in results.files(tmp_path / "r")]
    assert len(records) == 4
    for record in records:
        assert record is not None
        assert record["specification"]["protocol"]["evaluated_on"] == "validation"
        assert record["specification"]["scenario"]["options"]["validation"] == 0.1
    text = written.read_text("utf-8")
    assert "# * lr=0.01: " in text
    assert "#   lr=1e-06: " in text
    chosen = tomllib.loads(text)
    assert chosen["hyper_parameters"] == {"epochs": 2, "lr": 0.01}
    assert chosen["options"]["samples"] == 60
    assert "validation" not in chosen["options"]
    ran = ["run", "--config", str(written), "--seed", "0", "--results", str(tmp_path / "r"), "-q"]
    assert main([*ran, "--json"]) == 0
    (cell,) = json.loads(capsys.readouterr().out)
    record = results.read(Path(cell["file"]))
    assert record is not None
    assert record["specification"]["protocol"]["evaluated_on"] == "test"


def test_a_trial_that_fails_is_shown_and_not_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*REPLAY, "--results", str(tmp_path), "-soptimizer=sgd", "--vary", "lr=[1e30, 0.1]"]
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert "  lr=1e+30  the loss became NaN or infinite" in printed
    assert "* lr=0.1 " in printed
    final = printed.splitlines()[-1]
    assert final.startswith("  clbench run --scenario class-incremental --strategy replay")
    assert final.endswith("-s epochs=2 -s optimizer=sgd -s lr=0.1 -S samples=60")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "nothing to choose: give --vary KEY=[A,B]"),
        (["--vary", "lr=0.1"], "--vary lr takes a list of values, as lr=[0.1,0.01]"),
        (["--vary", "lr=[]"], "--vary lr takes a list of values"),
        (["--vary", "lrr=[1]"], "unknown parameter 'lrr'. Did you mean 'lr'?"),
        (["--vary", "lr=[-1.0]"], "lr must be greater than 0"),
        (["--vary", "lr=[1]", "--seeds", "5"], "choose with seeds from 100 on, not 5"),
        (["--vary", "lr=[1]", "-Svalidation=0"], "validation must be above 0"),
        (["--vary", "lr=[1]", "-Sclass-incremental.validation=0"], "validation must be above 0"),
        (["--vary", "lr=[1]", "--vary", "replay.lr=[2]"], "--vary lr is given twice"),
        (["--vary", "lr=[1]", "-sreplay.lr=2"], "lr is given in two places"),
        (["--vary", "lr=[1]", "--metric", "acc"], "unknown metric 'acc'"),
        (["--vary", "lr=[1]", "--trials", "3"], "--range and --trials need --search optuna"),
        (["--vary", "lr=[1]", "--search", "optuna"], "--search optuna needs --trials"),
        (["--range", "lr=[1,0]", "--search", "optuna"], "--range lr takes two rising numbers"),
        (["--vary", "lr=[1]", "--max-trials", "0"], "0 is not in the range x>=1"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*REPLAY, "--results", str(tmp_path), *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(results.files(tmp_path))


def test_a_strategy_that_cannot_learn_the_stream_is_refused_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = ["-Sonline=true", "-Sboundaries=false", "--vary", "lr=[0.1]"]
    assert main([*TUNE, "--strategy", "ewc", "--results", str(tmp_path), *hidden]) == 2
    assert "ewc on class-incremental: needs boundaries" in capsys.readouterr().err


def test_the_printed_command_and_the_configuration_run_as_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from clbench import GradientStrategy, register\n"
        "@register('strategies', 'mine')\n"
        "class Mine(GradientStrategy):\n    pass\n"
    )
    written = tmp_path / "my best.toml"
    command = [*TUNE, "--strategy", "mine", "--plugin", str(plugin), "--results", str(tmp_path)]
    command += ["--vary", "mine.hidden=[[8, 8]]", "-sepochs=1"]
    assert main(command) == 0
    final = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert main([*final[1:], "--dry-run", "--results", str(tmp_path)]) == 0
    assert final[-6:-2] == ["-s", "hidden=[8,8]", "-S", "samples=60"]
    assert main([*command, "--data-dir", "some where"]) == 0
    final = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert final[-2:] == ["--data-dir", "some where"]
    assert main([*command, "--output", str(written)]) == 0
    final = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert main([*final[1:], "--dry-run", "--results", str(tmp_path)]) == 0
    assert tomllib.loads(written.read_text("utf-8"))["plugin"] == [str(plugin)]
