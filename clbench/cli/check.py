"""``clbench check``: does a strategy keep the contract?"""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import Any

import click

from clbench.assignments import parse_assignment
from clbench.cli.options import complete, load_plugins, plugin_option, table_width
from clbench.errors import UsageError
from clbench.importing import import_torch


@click.command("check")
@click.argument("strategy", shell_complete=complete("strategies"))
@click.option(
    "-s",
    "--set",
    "hyper_parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="Hyper-parameter. Others are shrunk; the check `learns` has the defaults (or Strategy.quick).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@plugin_option
def check_command(
    strategy: str, hyper_parameters: tuple[str, ...], as_json: bool, plugins: tuple[str, ...]
) -> int:
    """Check that a strategy keeps the contract, on a few digits: a line per promise.

    Learns, repeats under a seed, resumes, keeps to its memory, sees no test data, … in each scenario that it takes part
    in. Exit code 1 if a promise is broken. STRATEGY is a name, or my.py:MyMethod.
    """
    import_torch()
    load_plugins(plugins)
    from clbench.conformance.toys import Subject
    from clbench.conformance.verdicts import Verdict, taken_part_in, verdicts
    from clbench.specify import strategy_class

    kind, _ = strategy_class(strategy)
    given = dict(parse_assignment(text, "-s") for text in hyper_parameters)
    kind.Parameters.parse(given, f"strategy {strategy!r}")
    subject = Subject(kind, given)
    scenarios, against = taken_part_in(subject)
    if not scenarios:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in against.items())
        raise UsageError(f"strategy {strategy!r} takes part in none of the scenarios ({reasons})")
    if not as_json:
        _say_where(strategy, scenarios, against)
    found: list[Verdict] = []
    for verdict in verdicts(subject, scenarios):
        found.append(verdict)
        if not as_json:
            _say(verdict)
    if as_json:
        document = {"strategy": strategy, "scenarios": scenarios, "not_in": against}
        click.echo(json.dumps(document | {"checks": [asdict(v) for v in found]}, indent=1))
    return 1 if any(verdict.status == "failed" for verdict in found) else 0


def _say_where(strategy: str, scenarios: list[str], against: dict[str, str]) -> None:
    click.echo(f"{strategy} in {', '.join(scenarios)}")
    for name, reason in against.items():
        click.echo(f"not in {name}: {reason}")


def _say(verdict: Any) -> None:
    mark = {"ok": "ok     ", "failed": "FAILED ", "skipped": "skipped"}[verdict.status]
    click.echo(f"{mark}  {verdict.name:<13}  {verdict.promise}")
    if verdict.reason:
        indent = " " * 9
        width = max(40, table_width())
        click.echo(
            textwrap.fill(verdict.reason, width, initial_indent=indent, subsequent_indent=indent)
        )
