"""``clbench list`` and ``clbench show``."""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from typing import Any

import click

from clbench import anytime, config_files, metrics, registry
from clbench.cli.options import (
    complete,
    complete_configuration,
    load_plugins,
    plugin_option,
    table,
)
from clbench.errors import ClbenchError, UsageError

_KINDS = [*registry.KINDS, "metrics", "configs"]
_METRICS: dict[str, metrics.Metric[Any]] = {**metrics.METRICS, **anytime.METRICS}


@click.command("list")
@click.argument("kinds", nargs=-1, type=click.Choice(_KINDS))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--check", is_flag=True, help="Import everything and say what fails, and why.")
@plugin_option
def list_command(
    kinds: tuple[str, ...], as_json: bool, check: bool, plugins: tuple[str, ...]
) -> int:
    """List scenarios, strategies, datasets, metrics and configurations."""
    load_plugins(plugins)
    found = {kind: _rows(kind) for kind in kinds or _KINDS}
    failures = _check(found) if check else 0
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        click.echo("\n\n".join(f"{kind}\n{table(rows)}" for kind, rows in found.items()))
    return 1 if failures else 0


def _rows(kind: str) -> list[dict[str, Any]]:
    if kind == "metrics":
        return [
            {"name": m.name, "summary": f"{m.definition} ({m.paper})"} for m in _METRICS.values()
        ]
    if kind == "configs":
        return [
            {"name": name, "summary": config_files.summary(name)} for name in config_files.shipped()
        ]
    return [
        {"name": name, "summary": registry.summary(kind, name)} for name in registry.names(kind)
    ]


def _check(found: dict[str, list[dict[str, Any]]]) -> int:
    """Import every entry, note how that went in its row, and return how many failed."""
    failures = 0
    for kind in registry.KINDS:
        for row in found.get(kind, []):
            try:
                registry.resolve(kind, row["name"])
                row["error"] = None
            except ClbenchError as error:
                failures += 1
                row["error"] = str(error)
                row["summary"] = f"FAILS: {error}"
    return failures


@click.group("show")
def show_command() -> None:
    """Show what a strategy or scenario is and which options it takes."""


@show_command.command("strategy")
@click.argument("name", shell_complete=complete("strategies"))
@plugin_option
def show_strategy(name: str, plugins: tuple[str, ...]) -> None:
    """Show a strategy's hyper-parameters, paper and needs."""
    load_plugins(plugins)
    from clbench.specify import strategy_class

    named = registry.resolve("strategies", name).target
    if isinstance(named, type) and issubclass(named, registry.Prefix):
        click.echo(_documentation(named))
        return
    found, _ = strategy_class(name)
    click.echo(found.documentation or _documentation(found))
    if found.paper:
        click.echo(f"\nPaper: {found.paper}")
    if found.needs_boundaries:
        click.echo("\nNeeds to know where experiences begin.")
    click.echo(f"\nHyper-parameters (set with -s name=value), version {found.version}:\n")
    click.echo(_parameters(found.Parameters.table()))


@show_command.command("scenario")
@click.argument("name", shell_complete=complete("scenarios"))
@plugin_option
def show_scenario(name: str, plugins: tuple[str, ...]) -> None:
    """Show a scenario and its options."""
    load_plugins(plugins)
    from clbench.specify import scenario_class

    found, _ = scenario_class(name)
    click.echo(_documentation(found))
    click.echo(f"\nOptions (set with -S name=value), version {found.version}:\n")
    click.echo(_parameters(found.Options.table()))


@show_command.command("dataset")
@click.argument("name", shell_complete=complete("datasets"))
@plugin_option
def show_dataset(name: str, plugins: tuple[str, ...]) -> None:
    """Show what a dataset is and where it comes from."""
    load_plugins(plugins)
    from clbench.dataset import dataset_class

    click.echo(_documentation(dataset_class(name).target))


@show_command.command("metric")
@click.argument("name")
def show_metric(name: str) -> None:
    """Show a metric's definition and its paper."""
    if name not in _METRICS:
        from clbench.errors import unknown

        raise UsageError(unknown("metric", name, _METRICS))
    metric = _METRICS[name]
    direction = "higher" if metric.higher_is_better else "lower"
    click.echo(f"{metric.name}: {metric.definition}; {direction} is better.\n{metric.paper}")


@show_command.command("config")
@click.argument("name", shell_complete=complete_configuration)
def show_configuration(name: str) -> None:
    """Show a configuration as it is written."""
    click.echo(config_files.source(name).rstrip())


def _documentation(found: type) -> str:
    module = sys.modules[found.__module__]
    return inspect.cleandoc(module.__doc__ or found.__doc__ or found.__name__)


def _parameters(rows: list[dict[str, str]]) -> str:
    if not rows:
        return "  none"
    blocks = []
    for row in rows:
        head = f"  {row['name']} = {row['default']}  ({row['type']})"
        blocks.append(head + "\n" + textwrap.indent(textwrap.fill(row["meaning"], 90), " " * 6))
    return "\n".join(blocks)
