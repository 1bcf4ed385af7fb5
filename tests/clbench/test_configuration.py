"""Configurations as a user meets them: what a file may say, what wins over it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clbench.cli import main
from clbench.configuration import Configuration, Grid
from clbench.grid import Cell
from clbench.running import Call

ONE_RUN = 'scenario = "class-incremental"\nstrategy = "finetune"\n'

Cells = list[dict[str, Any]]


@pytest.fixture
def plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Cells]:
    """Return a function from a file's text and more arguments to the cells of a dry run."""
    monkeypatch.chdir(tmp_path)

    def dry_run(text: str, *arguments: str) -> Cells:
        Path("my.toml").write_text(text, "utf-8")
        assert main(["run", "--config", "my.toml", "--dry-run", "--json", *arguments]) == 0
        cells: Cells = json.loads(capsys.readouterr().out)
        return cells

    return dry_run


def told(cells: Cells, *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(cell[key] for key in keys) for cell in cells]


# What a file may say.


def test_a_file_without_grids_is_one_grid(plan: Callable[..., Cells]) -> None:
    text = """
        scenario = ["task-incremental", "class-incremental"]
        strategy = ["nearest", "finetune"]
        dataset = "digits"
        seeds = "0-1"
        order_seeds = 7
    """
    assert told(plan(text), "scenario", "strategy", "dataset", "seed") == [
        (scenario, strategy, "digits", seed)
        for scenario in ("task-incremental", "class-incremental")
        for strategy in ("nearest", "finetune")
        for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("seeds", "meant"), [('"0-2,5"', [0, 1, 2, 5]), ("3", [3]), ("[4, 1]", [4, 1])]
)
def test_seeds_are_text_a_number_or_a_list(
    seeds: str, meant: list[int], plan: Callable[..., Cells]
) -> None:
    assert [cell["seed"] for cell in plan(ONE_RUN + f"seeds = {seeds}")] == meant


def test_grids_inherit_and_override(plan: Callable[..., Cells]) -> None:
    text = """
        scenario = "class-incremental"
        seeds = "0-1"
        [[grid]]
        strategy = "nearest"
        [[grid]]
        strategy = "finetune"
        seeds = 5
        scenario = "task-incremental"
    """
    assert told(plan(text), "scenario", "strategy", "seed") == [
        ("class-incremental", "nearest", 0),
        ("class-incremental", "nearest", 1),
        ("task-incremental", "finetune", 5),
    ]


RUN_TWO = (
    ONE_RUN
    + """
description = "Two learning rates on two experiences"
results = "elsewhere"
threads = 1
device = "cpu"
[hyper_parameters]
epochs = 1
[hyper_parameters.finetune]
hidden = [16]
[options]
samples = 50
[options.class-incremental]
experiences = 2
[[grid]]
[[grid]]
hyper_parameters = { optimizer = "sgd", lr = 0.1 }
options = { samples = 60 }
"""
)


def test_settings_reach_the_run_and_the_tables_cover_all_grids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(RUN_TWO, "utf-8")
    assert main(["run", "--config", "./my.toml", "-q"]) == 0
    said = capsys.readouterr().out
    assert said.count("class-incremental on digits") == 1
    assert "finetune (optimizer=adam, lr=0.001, options.samples=50)" in said
    assert "finetune (optimizer=sgd, lr=0.1, options.samples=60)" in said
    paths = list((tmp_path / "elsewhere").rglob("*.json"))
    assert len(paths) == 2
    for path in paths:
        specification = json.loads(path.read_text("utf-8"))["specification"]
        assert specification["strategy"]["hyper_parameters"]["epochs"] == 1
        assert specification["strategy"]["hyper_parameters"]["hidden"] == [16]
        assert specification["scenario"]["options"]["experiences"] == 2
    assert main(["run", "--config", "my.toml", "--json", "-q"]) == 0
    assert told(json.loads(capsys.readouterr().out), "status") == [("found",), ("found",)]


def test_vary_multiplies_for_those_who_know_the_key(plan: Callable[..., Cells]) -> None:
    text = """
        scenario = ["class-incremental", "task-incremental"]
        strategy = ["finetune", "nearest"]
        [vary]
        lr = [0.1, 0.01, 0.001]
        options.class-incremental.head = ["seen", "all"]
    """
    cells = told(plan(text), "scenario", "strategy")
    counts = {pair: cells.count(pair) for pair in set(cells)}
    assert counts == {
        ("class-incremental", "finetune"): 6,
        ("class-incremental", "nearest"): 2,
        ("task-incremental", "finetune"): 3,
        ("task-incremental", "nearest"): 1,
    }


# What wins: command line, environment, file, default.


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Return what will hold how each call runs things."""
    seen: list[Call] = []

    def record(configuration: Configuration, said: Grid, call: Call) -> list[Cell]:
        seen.append(call)
        return []

    monkeypatch.setattr("clbench.running.plan", record)
    return seen


@pytest.mark.parametrize(
    ("key", "default", "written", "set_", "typed"),
    [
        ("device", "auto", "cpu", "cuda", "mps"),
        ("threads", 1, 2, 3, 4),
        ("data_dir", None, Path("written"), Path("set"), Path("typed")),
    ],
)
def test_command_line_over_environment_over_file_over_default(
    key: str,
    default: Any,
    written: Any,
    set_: Any,
    typed: Any,
    plan: Callable[..., Cells],
    calls: list[Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variable = {"data_dir": "CLBENCH_DATA"}.get(key, f"CLBENCH_{key.upper()}")
    monkeypatch.delenv(variable, raising=False)
    value = json.dumps(written if isinstance(written, int) else str(written))
    plan(ONE_RUN)
    plan(f"{key} = {value}\n" + ONE_RUN)
    monkeypatch.setenv(variable, str(set_))
    plan(f"{key} = {value}\n" + ONE_RUN)
    plan(ONE_RUN)
    plan(f"{key} = {value}\n" + ONE_RUN, f"--{key.replace('_', '-')}", str(typed))
    assert [getattr(call, key) for call in calls] == [default, written, set_, set_, typed]


def test_seeds_command_line_over_environment_over_grid_over_file_over_default(
    plan: Callable[..., Cells], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seeds(text: str, *arguments: str) -> list[int]:
        return [cell["seed"] for cell in plan(text, *arguments)]

    written, grid = ONE_RUN + "seeds = 1\n", "[[grid]]\nseeds = 2\n"
    assert seeds(ONE_RUN) == [0]
    assert seeds(written) == [1]
    assert seeds(written + grid) == [2]
    monkeypatch.setenv("CLBENCH_SEEDS", "3")
    assert seeds(written + grid) == [3]
    assert seeds(ONE_RUN) == [3]
    assert seeds(written + grid, "--seeds", "4-5") == [4, 5]
    assert seeds(written + grid, "--seed", "6") == [6]


def test_results_command_line_over_environment_over_file_over_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def folder(text: str, *arguments: str) -> str:
        Path("my.toml").write_text(text, "utf-8")
        assert main(["run", "--config", "my.toml", "--dry-run", *arguments]) == 0
        return capsys.readouterr().out.split()[1].partition("/digits")[0]

    written = 'results = "written"\n' + ONE_RUN
    assert folder(ONE_RUN) == "results"
    assert folder(written) == "written"
    monkeypatch.setenv("CLBENCH_RESULTS", "set")
    assert folder(written) == "set"
    assert folder(written, "--results", "typed") == "typed"
    assert folder(written, "--results", "~/typed") == str(Path.home() / "typed")


def test_the_environment_serves_without_a_configuration_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLBENCH_SEEDS", "8")
    monkeypatch.setenv("CLBENCH_RESULTS", str(tmp_path))
    arguments = ["--scenario", "class-incremental", "--strategy", "nearest"]
    assert main(["run", *arguments, "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert str(tmp_path) in planned
    assert "-s8.json" in planned


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("CLBENCH_THREADS", "0", "0 is not in the range"),
        ("CLBENCH_DEVICE", "tpu9", "try auto or cpu"),
        ("CLBENCH_SEEDS", "4-0", "'4-0' must rise"),
    ],
)
def test_wrong_values_in_the_environment_exit_2(
    variable: str,
    value: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["run", "--config", "class-incremental-digits", "--dry-run"]) == 2
    assert sentence in capsys.readouterr().err


def test_typed_settings_win_over_the_file_and_replace_what_varies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def files(text: str, *arguments: str) -> list[str]:
        Path("my.toml").write_text(text, "utf-8")
        assert main(["run", "--config", "my.toml", "--dry-run", *arguments]) == 0
        return capsys.readouterr().out.split()[1::2]

    plain = files(ONE_RUN, "-s", "lr=0.5", "-S", "experiences=2")
    written = ONE_RUN + "[hyper_parameters]\nlr = 0.1\n[options]\nexperiences = 5\n"
    assert files(written, "-s", "lr=0.5", "-S", "experiences=2") == plain
    scoped = ONE_RUN + "[hyper_parameters.finetune]\nlr = 0.1\n[options.class-incremental]\n"
    assert files(scoped + "experiences = 5", "-s", "lr=0.5", "-S", "experiences=2") == plain
    varied = ONE_RUN + "[vary]\nlr = [0.1, 0.2]\noptions.experiences = [2, 5]\n"
    assert len(files(varied)) == 4
    assert files(varied, "-s", "lr=0.5", "-S", "experiences=2") == plain
    assert files(varied, "-s", "finetune.lr=0.5", "-S", "experiences=2") == plain


TWO_GRIDS = """
scenario = ["class-incremental", "task-incremental"]
hyper_parameters = { lr = 0.1, memory_size = 100, replay = { replay_batch_size = 8 } }
[[grid]]
strategy = ["finetune", "nearest"]
[[grid]]
strategy = "replay"
scenario = "domain-incremental"
options = { shift = "permuted" }
"""


def test_scenario_and_strategy_select_and_dataset_replaces(
    tmp_path: Path, plan: Callable[..., Cells], capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(plan(TWO_GRIDS)) == 5
    assert told(plan(TWO_GRIDS, "--strategy", "nearest"), "scenario", "strategy") == [
        ("class-incremental", "nearest"),
        ("task-incremental", "nearest"),
    ]
    assert told(plan(TWO_GRIDS, "--scenario", "domain-incremental"), "strategy") == [("replay",)]
    typed = ["--strategy", "replay", "--strategy", "finetune", "--scenario", "task-incremental"]
    assert told(plan(TWO_GRIDS, *typed), "strategy") == [("finetune",)]
    mine = plan(TWO_GRIDS, "--dataset", "digits", "--dataset", "digits", "-s", "memory_size=50")
    assert len(mine) == 5


def test_a_file_that_names_no_strategy_takes_those_typed(plan: Callable[..., Cells]) -> None:
    text = 'scenario = "class-incremental"\nseeds = "0-1"\n'
    assert told(plan(text, "--strategy", "nearest"), "strategy", "seed") == [
        ("nearest", 0),
        ("nearest", 1),
    ]


def test_plugins_of_the_file_are_loaded(tmp_path: Path, plan: Callable[..., Cells]) -> None:
    source = '"""A plug-in."""\nfrom clbench import GradientStrategy, register\n\n\n'
    source += '@register("strategies", "from-file")\nclass Mine(GradientStrategy):\n    pass\n'
    Path(tmp_path, "mine.py").write_text(source, "utf-8")
    text = 'plugin = "mine.py"\nscenario = "class-incremental"\nstrategy = "from-file"\n'
    assert told(plan(text), "strategy", "status") == [("from-file", "planned")]


# What is refused.


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('strategi = "nearest"', "my.toml: unknown key 'strategi'. Did you mean 'strategy'?"),
        ("[[grid]]\ndevice = 'cpu'", "grid 1 of my.toml: unknown key 'device'"),
        ("device = ['cpu', 'cuda']", "my.toml: device must be a valid string"),
        ("threads = 'two'", "my.toml: threads must be a valid integer, not 'two'"),
        ("threads = true", "my.toml: threads must be a valid integer, not True"),
        ("threads = 0", "my.toml: threads must be greater than 0"),
        ("seeds = 1.5", "my.toml: seeds must be a valid integer or a valid string, not 1.5"),
        ("seeds = '4-0'", "my.toml: seeds: '4-0' must rise"),
        ("seeds = -1", "my.toml: seeds takes numbers and ranges"),
        ("seeds = []", "my.toml: seeds must have at least 1 item"),
        ("eval_samples = 3", "my.toml: --eval-samples needs --eval-every"),
        ("dataset = 3", "my.toml: dataset must be a valid string, not 3"),
        ("dataset = 'digit'", "my.toml: unknown dataset 'digit'. Did you mean 'digits'?"),
        ("[options]\nexperience = 2", "Did you mean 'experiences'?"),
        ("[options]\nexperiences = [2, 5]", "not [2, 5]; [vary] of a configuration"),
        ("[options]\nexperiences = 11", "my.toml: scenario 'class-incremental': experiences=11"),
        ("[options.task-incremental]\nsamples = 2", "unknown scenario 'task-incremental'"),
        (
            "[hyper_parameters]\nlr = [0.1, 0.2]",
            "lr must be a valid number, not [0.1, 0.2]; [vary]",
        ),
        ("[hyper_parameters]\nlr = '0.1'", "my.toml: strategy 'finetune': lr must be a valid"),
        ("[hyper_parameters.replay]\nlr = 0.1", "my.toml: unknown strategy 'replay'"),
        ("[vary]\nlr = 0.1", "my.toml: vary: lr must be a list of values to try, not 0.1"),
        ("[vary]\nlr = []", "my.toml: vary: lr must be a list of values to try, not []"),
        ("[vary]\noptions = [1]", "my.toml: vary: options must be a table"),
        ("[vary]\noptions.experience = [1]", "Did you mean 'experiences'?"),
        ("[vary]\nlrr = [1]", "Did you mean 'lr'?"),
        ("[vary]\nlr = [1, 1.0]", "my.toml names a run twice: finetune on class-incremental"),
        ("grid = []", "my.toml: grid must have at least 1 item"),
        ("[grid]\nseeds = 1", "a grid begins with [[grid]]"),
        ("[[grid]]\nstrategy = []", "grid 1 of my.toml: strategy must have at least 1 item"),
        ("[[grid]]\nseeds = 1\n[[grid]]\nstrategy = 'nerest'", "Did you mean 'nearest'?"),
        (
            "[[grid]]\nseeds = '0-3'\n[[grid]]\nstrategy = 'nearest'\n[[grid]]\nseeds = [9, 3]",
            "grid 1 of my.toml and grid 3 of my.toml name the same run:"
            " finetune on class-incremental digits, seed 3",
        ),
        ("plugin = 'missing.py'", "missing.py does not exist"),
        ("seeds = ", "configuration my.toml is not valid TOML"),
    ],
)
def test_a_wrong_file_exits_2_with_a_sentence_and_writes_nothing(
    text: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(ONE_RUN + text, "utf-8")
    assert main(["run", "--config", "my.toml"]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert not said.out
    assert list(tmp_path.iterdir()) == [tmp_path / "my.toml"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--strategy", "joint"],
            "my.toml: the configuration has no strategy 'joint'; it has finetune, nearest",
        ),
        (["--scenario", "task-increment"], "Did you mean 'task-incremental'?"),
        (
            ["--scenario", "domain-incremental", "--strategy", "nearest"],
            "my.toml: no grid has such a scenario with such a strategy",
        ),
        (["-s", "epoch=1"], "Did you mean 'epochs'?"),
        (["-s", "optimizer=sgd", "-s", "optimiser=sgd"], "Did you mean 'optimizer'?"),
    ],
)
def test_what_does_not_fit_the_file_exits_2(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(TWO_GRIDS, "utf-8")
    assert main(["run", "--config", "my.toml", "--dry-run", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_grid_without_scenario_or_strategy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text("[[grid]]\nstrategy = 'nearest'\n[[grid]]\n", "utf-8")
    assert main(["run", "--config", "my.toml", "--scenario", "class-incremental"]) == 2
    assert "grid 2 of my.toml: no strategy is named" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing.toml", "configuration missing.toml cannot be read: No such file"),
        ("folder/missing", "configuration folder/missing cannot be read"),
        ("folder.toml", "configuration folder.toml cannot be read: Is a directory"),
        ("bytes.toml", "configuration bytes.toml is not a text file in UTF-8"),
        ("class-incremental-digit", "Did you mean 'class-incremental-digits'?"),
        ("mine", "A file of your own ends in .toml"),
    ],
)
@pytest.mark.parametrize("command", [["run", "--config"], ["show", "config"]])
def test_a_file_that_cannot_be_read_exits_2(
    command: list[str],
    name: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.toml").mkdir()
    Path("bytes.toml").write_bytes(b"\xff\xfe")
    assert main([*command, name]) == 2
    assert sentence in capsys.readouterr().err


def test_the_example_of_the_documentation_runs(plan: Callable[..., Cells]) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "configurations.md"
    example = page.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    assert len(plan(example)) == 2 * (5 * 4 + 10 * 2)
