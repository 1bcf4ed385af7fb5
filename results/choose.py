"""Choose the hyper-parameters of a table's rows on validation data, with the same number of trials for each.

``uv run python results/choose.py digits-online [--results DIR]`` reads ``choices/digits-online.toml``, tries what it
lists with `clbench tune` on each of its ``scenarios`` (all three continual ones where it names none), and writes
``configs/table-digits-online.toml`` and ``tables/chosen-digits-online.md``. Trials are results: a second call finds
what is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

FOLDER = Path(__file__).resolve().parent
SCENARIOS = ("domain-incremental", "task-incremental", "class-incremental")
Found = dict[tuple[str, str], dict[str, Any]]
"""What `clbench tune` said, by scenario and strategy."""


@click.command()
@click.argument("name")
@click.argument("more", nargs=-1)
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"))
def main(name: str, more: tuple[str, ...], results: Path) -> None:
    """Choose for the table NAME; trials are kept in the results folder.

    `clbench tune` is given MORE, as in ``-- --compile``.
    """
    table = tomllib.loads((FOLDER / "choices" / f"{name}.toml").read_text("utf-8"))
    found = {
        (scenario, strategy): tune(table, scenario, strategy, search, results, more)
        for scenario in table.get("scenarios", SCENARIOS)
        for strategy, search in table["search"].items()
    }
    configuration = FOLDER / "configs" / f"table-{name}.toml"
    configuration.write_text(as_configuration(table, found), "utf-8")
    (FOLDER / "tables" / f"chosen-{name}.md").write_text(as_markdown(table, found), "utf-8")


def tune(
    table: dict[str, Any],
    scenario: str,
    strategy: str,
    search: dict[str, Any],
    results: Path,
    more: Sequence[str] = (),
) -> dict[str, Any]:
    """Return all trials and the choice; nothing is tried where nothing is to be chosen."""
    if "vary" not in search:
        return {"trials": [], "chosen": {}}
    words = ["tune", "--scenario", scenario, "--strategy", strategy, "--dataset", table["dataset"]]
    words += ["--seeds", table["seeds"], "--results", str(results), "--json"]
    for option, settings in (
        ("-S", table["options"]),
        ("-s", search.get("fixed", {})),
        ("--vary", search["vary"]),
    ):
        words += [w for key, value in settings.items() for w in (option, f"{key}={toml(value)}")]
    call = [sys.executable, "-m", "clbench", *words, *more]
    done = subprocess.run(call, check=False, stdout=subprocess.PIPE)
    if done.returncode not in (0, 1):  # 1: a trial failed, and the others chose
        done.check_returncode()
    found: dict[str, Any] = json.loads(done.stdout)
    if found["chosen"] is None:
        raise click.ClickException(f"every trial of {strategy} on {scenario} failed")
    return found


def as_configuration(table: dict[str, Any], found: Found) -> str:
    """Return the configuration that runs the choices on test data."""
    lines = [
        "# Made by results/choose.py; do not edit.",
        f"description = {toml('The table: ' + table['title'])}",
        f"dataset = {toml(table['dataset'])}",
        f"seeds = {toml(table['final_seeds'])}",
        f"options = {toml(table['options'])}",
    ]
    for (scenario, strategy), trials in found.items():
        settings = {**table["search"][strategy].get("fixed", {}), **trials["chosen"]}
        lines += ["", "[[grid]]", f"scenario = {toml(scenario)}", f"strategy = {toml(strategy)}"]
        lines += [f"hyper_parameters = {toml(settings)}"] if settings else []
    return "\n".join(lines) + "\n"


def as_markdown(table: dict[str, Any], found: Found) -> str:
    """Return every trial's score, the chosen one bold."""
    lines = [
        f"# What was chosen: {table['title']}",
        "",
        "Made by `results/choose.py`; do not edit. Average accuracy in % on held-out training data"
        f" (`-S validation=0.1`), mean over seeds {table['seeds']}; the best is taken.",
    ]
    for strategy, search in table["search"].items():
        fixed = search.get("fixed")
        lines += ["", f"## {strategy}" + (f", with {said(fixed)}" if fixed else ""), ""]
        lines += _scores(strategy, found) if "vary" in search else ["Nothing to choose."]
    return "\n".join(lines) + "\n"


def _scores(strategy: str, found: Found) -> list[str]:
    """Return a table of trials × scenarios."""
    scenarios = dict.fromkeys(scenario for scenario, _ in found)
    columns = [found[scenario, strategy] for scenario in scenarios]
    rows = ["| | " + " | ".join(scenarios) + " |", "|---|" + "---:|" * len(scenarios)]
    for trials in zip(*(column["trials"] for column in columns), strict=True):
        cells = [
            f"**{100 * t['score']:.2f}**" if t["settings"] == c["chosen"] else _score(t["score"])
            for t, c in zip(trials, columns, strict=True)
        ]
        rows.append(f"| {said(trials[0]['settings'])} | " + " | ".join(cells) + " |")
    return rows


def _score(score: float | None) -> str:
    return "failed" if score is None else f"{100 * score:.2f}"


def said(settings: dict[str, Any]) -> str:
    """Return settings in words."""
    return ", ".join(f"`{key}={toml(value)}`" for key, value in settings.items())


def toml(value: Any) -> str:
    """Return a value as TOML, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(entry)}" for key, entry in value.items()) + " }"
    return json.dumps(value)


if __name__ == "__main__":
    main()
