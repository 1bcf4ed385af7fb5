"""Options that several commands share, and the completion of names."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from clbench import config_files, registry
from clbench.executor import fork_workers
from clbench.importing import import_torch
from clbench.plugins import load_plugins

if TYPE_CHECKING:
    from clbench.running import Call

__all__ = ["load_plugins"]  # for the commands that load them and run nothing

F = TypeVar("F", bound=Callable[..., Any])

plugin_option = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE.py|MODULE",
    help="Load a plug-in first; repeatable.",
)


class Folder(click.Path):
    """A folder, whose ``~`` is the user's home wherever it was written."""

    def convert(self, *arguments: Any) -> Path:
        """Return the path."""
        return Path(os.fsdecode(super().convert(*arguments))).expanduser()


_EXECUTION = (
    click.option(
        "--device",
        default="auto",
        show_default=True,
        envvar="CLBENCH_DEVICE",
        show_envvar=True,
        help="auto, cpu, cuda, cuda:1, mps.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        envvar="CLBENCH_THREADS",
        show_envvar=True,
        help="CPU threads of a run; recorded, since other counts give other bits.",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Worker processes; each run has --threads threads whatever their number.",
    ),
    click.option(
        "--together",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Seeds of a run whose networks learn as one stack, where the strategy can: for a GPU.",
    ),
    click.option(
        "--capture",
        is_flag=True,
        help="Take training steps as CUDA graphs, where the strategy can: for small networks.",
    ),
    click.option(
        "--compile",
        is_flag=True,
        help="Let torch compile what a step calls again and again, where the strategy says: for long runs of mann.",
    ),
    click.option(
        "--results",
        type=Folder(),
        default="results",
        show_default=True,
        envvar="CLBENCH_RESULTS",
        show_envvar=True,
        help="Results folder.",
    ),
    click.option(
        "--data-dir",
        type=Folder(),
        envvar="CLBENCH_DATA",
        show_envvar=True,
        help="Data folder.  [default: your user's]",
    ),
    plugin_option,
    click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
    click.option(
        "-v", "--verbose", is_flag=True, help="Tracebacks and every experience on stderr."
    ),
)


def execution_options(command: F) -> F:
    """Add what every command takes that runs something: where, how many at once, into which folder."""
    for option in reversed(_EXECUTION):
        command = option(command)
    return command


def begin(given: dict[str, Any]) -> None:
    """Import torch; where workers are to run, so does at the same time the process that they come from."""
    if given["jobs"] > 1 and not given.get("dry_run"):
        fork_workers()
    import_torch()


def call_of(given: dict[str, Any], plugins: tuple[str, ...]) -> Call:
    """Return how a command is to run things, from the options of `execution_options` and ``force``."""
    from clbench.running import Call

    said = {key: given[key] for key in Call.model_fields if key in given}
    return Call(**{**said, "plugins": plugins})


def complete(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return a completion callback for names of a kind; it reads entry-point metadata only."""

    def names(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
        found = [name for name in registry.names(kind) if name.startswith(typed)]
        return [CompletionItem(name, help=registry.summary(kind, name)) for name in found]

    return names


def complete_configuration(
    _: click.Context, __: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Return the shipped configurations that begin so, else the shell's own files."""
    found = [name for name in config_files.shipped() if name.startswith(typed)]
    named = [CompletionItem(name, help=config_files.summary(name)) for name in found]
    return named or [CompletionItem(typed, type="file")]


def table_width() -> int:
    """Return the width for tables on stdout: the terminal's, else 100 columns."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows of strings as aligned columns, the first wide enough for its longest name."""
    width = max((len(row["name"]) for row in rows), default=0)
    return "\n".join(f"  {row['name']:<{width}}  {row['summary']}".rstrip() for row in rows)
