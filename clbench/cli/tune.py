"""``clbench tune``: choosing hyper-parameters on validation data."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from clbench.assignments import parse_assignment, parse_seeds
from clbench.cli.options import begin, call_of, complete, execution_options, table
from clbench.errors import UsageError, unknown

if TYPE_CHECKING:
    from clbench.grid import Cell
    from clbench.running import Call
    from clbench.tuning import Search, Settings, Trial


@click.command("tune")
@click.option(
    "--scenario",
    required=True,
    metavar="NAME",
    shell_complete=complete("scenarios"),
    help="Scenario. See `clbench list scenarios`.",
)
@click.option(
    "--strategy",
    required=True,
    metavar="NAME",
    shell_complete=complete("strategies"),
    help="Strategy. A name, or my.py:MyMethod.",
)
@click.option(
    "--dataset",
    default="digits",
    show_default=True,
    metavar="NAME",
    shell_complete=complete("datasets"),
    help="Dataset. Also npz:FILE and folder:DIR|ZIP.",
)
@click.option(
    "--vary",
    "varied",
    multiple=True,
    metavar="KEY=[A,B]",
    help="Hyper-parameter with the values to try; repeatable, every combination is a trial.",
)
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="KEY=[LOW,HIGH]",
    help="Hyper-parameter to search between two numbers; for --search optuna.",
)
@click.option("--search", type=click.Choice(["grid", "optuna"]), default="grid", show_default=True)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Trials of --search optuna; a grid's are its combinations.",
)
@click.option(
    "--max-trials",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="More are refused: every strategy of a table should have had the same number.",
)
@click.option("--metric", default="average_accuracy", show_default=True, help="What to compare.")
@click.option(
    "--seeds",
    default="100-104",
    show_default=True,
    metavar="100-104",
    help="Seeds; those below 100 are for the final runs.",
)
@click.option(
    "-s",
    "--set",
    "hyper_parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Hyper-parameter that all trials have in common.",
)
@click.option(
    "-S",
    "--scenario-set",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Scenario option; validation=0.1 unless said otherwise.",
)
@execution_options
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.toml",
    help="Write the choice as a configuration for `clbench run --config`, all trials in comments.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def tune_command(**given: Any) -> int:
    """Choose hyper-parameters on held-out training data, never on test data.

    Each trial is run with `-S validation=…` and kept as a result; a second call finds what is there.
    """
    begin(given)
    from clbench import metrics, results
    from clbench.tuning import best

    if given["metric"] not in metrics.METRICS:
        raise UsageError(unknown("metric", given["metric"], metrics.METRICS))
    maximise = metrics.METRICS[given["metric"]].higher_is_better
    results.check_writable(given["results"])
    trials = _tried(given, _search(given, maximise))
    chosen = best(trials, given["metric"], maximise)
    if chosen is not None and given["output"] is not None:
        _write(chosen, trials, given)
    click.echo(
        _as_json(trials, chosen, given) if given["as_json"] else _words(trials, chosen, given)
    )
    return 1 if any(cell.status == "failed" for trial in trials for cell in trial.cells) else 0


def _search(given: dict[str, Any], maximise: bool) -> Search:
    """Return the search, its honesty checked."""
    from clbench.tuning import GridSearch, OptunaSearch, check_size

    values = _assigned("--vary", given["varied"], given)
    ranges = _assigned("--range", given["ranges"], given)
    for key in [*values, *ranges]:
        if key in _fixed(given) or (key in values and key in ranges):
            raise UsageError(f"{key} is given in two places; it is either chosen or fixed")
    for key, value in values.items():
        if not isinstance(value, list) or not value:
            raise UsageError(f"--vary {key} takes a list of values, as {key}=[0.1,0.01]")
    for key, value in ranges.items():
        numbers = isinstance(value, list) and all(type(v) in (int, float) for v in value)
        if not numbers or len(value) != 2 or not value[0] < value[1]:
            raise UsageError(f"--range {key} takes two rising numbers, as {key}=[1e-5,1e-1]")
    if not values and not ranges:
        raise UsageError("nothing to choose: give --vary KEY=[A,B]")
    optuna = given["search"] == "optuna"
    if not optuna and (ranges or given["trials"]):
        raise UsageError("--range and --trials need --search optuna; a grid takes --vary")
    if optuna and not given["trials"]:
        raise UsageError("--search optuna needs --trials")
    search: Search = (
        OptunaSearch(values, ranges, given["trials"], maximise) if optuna else GridSearch(values)
    )
    check_size(parse_seeds(given["seeds"]), len(search), given["max_trials"])
    return search


def _tried(given: dict[str, Any], search: Search) -> list[Trial]:
    """Run what the search suggests, batch by batch."""
    from clbench.running import run_all
    from clbench.tuning import Trial

    call = call_of(given, given["plugins"])
    trials: list[Trial] = []
    while batch := search.suggest():
        new = [Trial(settings, _cells(given, settings, call)) for settings in batch]
        run_all([cell for trial in new for cell in trial.cells], call)
        search.tell([trial.score(given["metric"]) for trial in new])
        trials += new
    return trials


def _cells(given: dict[str, Any], settings: Settings, call: Call) -> list[Cell]:
    from clbench.configuration import Configuration, Grid
    from clbench.running import plan
    from clbench.tuning import check_honest

    options = dict(parse_assignment(text, "-S") for text in given["options"])
    typed = Grid(
        dataset=[given["dataset"]],
        scenario=[given["scenario"]],
        strategy=[given["strategy"]],
        seeds=[*parse_seeds(given["seeds"])],
        options={"validation": 0.1} | options,
        hyper_parameters={**_fixed(given), **settings},
    )
    cells = plan(Configuration(), typed, call)
    check_honest(cells)
    for cell in cells:
        if cell.status == "skipped":
            raise UsageError(f"{given['strategy']} on {given['scenario']}: {cell.reason}")
    return cells


def _fixed(given: dict[str, Any]) -> dict[str, Any]:
    """Return the hyper-parameters that all trials have in common."""
    return _assigned("-s", given["hyper_parameters"], given)


def _assigned(option: str, texts: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an option, without the strategy's name before the key; none twice."""
    found: dict[str, Any] = {}
    for text in texts:
        key, value = parse_assignment(text, option)
        key = key.removeprefix(f"{given['strategy']}.")
        if key in found:
            raise UsageError(f"{option} {key} is given twice")
        found[key] = value
    return found


def _write(chosen: Trial, trials: list[Trial], given: dict[str, Any]) -> None:
    from clbench import results
    from clbench.tuning import as_configuration

    text = as_configuration(chosen, trials, given["metric"], _fixed(given), given["plugins"])
    results.write_text(given["output"], text, given["output"].absolute().parent)


def _as_json(trials: list[Trial], chosen: Trial | None, given: dict[str, Any]) -> str:
    metric = given["metric"]
    return json.dumps(
        {
            "metric": metric,
            "trials": [
                {
                    "settings": dict(trial.settings),
                    "score": trial.score(metric),
                    "scores": trial.scores(metric),
                    "status": sorted({cell.status for cell in trial.cells}),
                }
                for trial in trials
            ],
            "chosen": None if chosen is None else dict(chosen.settings),
        },
        indent=1,
        ensure_ascii=False,
    )


def _words(trials: list[Trial], chosen: Trial | None, given: dict[str, Any]) -> str:
    from clbench.tuning import said
    from clbench.words import counted

    metric = given["metric"]
    rows = [
        {
            "name": ("* " if trial is chosen else "  ") + said(trial.settings),
            "summary": trial.words(metric),
        }
        for trial in trials
    ]
    head = (
        f"{given['strategy']} on {given['scenario']} {given['dataset']}: {metric} in % on held-out"
        f" training data, seeds {given['seeds']}, {counted(len(trials), 'trial')}"
    )
    if chosen is None:
        return f"{head}\n{table(rows)}\nEvery trial failed; nothing is chosen."
    return f"{head}\n{table(rows)}\nThe choice (*), once on test data:\n  {_final(chosen, given)}"


def _final(chosen: Trial, given: dict[str, Any]) -> str:
    """Return the command that runs the choice on test data."""
    from clbench.words import in_words

    words = ["clbench", "run"]
    if given["output"] is not None:
        words += ["--config", str(given["output"])]
    else:
        words += ["--scenario", given["scenario"], "--strategy", given["strategy"]]
        words += ["--dataset", given["dataset"], "--seeds", "0-9"]
        settings = {**_fixed(given), **chosen.settings}
        words += [w for k, v in settings.items() for w in ("-s", f"{k}={in_words(v)}")]
        options = [o for o in given["options"] if parse_assignment(o, "-S")[0] != "validation"]
        words += [w for option in options for w in ("-S", option)]
        words += [w for plugin in given["plugins"] for w in ("--plugin", plugin)]
    source = click.get_current_context().get_parameter_source("data_dir")
    if source is ParameterSource.COMMANDLINE:  # what the environment says, it will say again
        words += ["--data-dir", str(given["data_dir"])]
    return shlex.join(words)
