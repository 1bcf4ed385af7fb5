"""The ``clbench`` command. Importing it imports neither torch nor pandas; the sub-commands do, when they run."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import click

from clbench import __version__
from clbench.cli.check import check_command
from clbench.cli.compare import compare_command
from clbench.cli.listing import list_command, show_command
from clbench.cli.new import new_command
from clbench.cli.plot import plot_command
from clbench.cli.report import report_command
from clbench.cli.run import run_command
from clbench.cli.tune import tune_command
from clbench.errors import ClbenchError, PluginWarning

_EPILOG = """
Example: clbench run --scenario class-incremental --strategy metanet

Shell completion: eval "$(_CLBENCH_COMPLETE=bash_source clbench)" (or zsh_source, fish_source).
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="clbench")
def cli() -> None:
    """Continual-learning benchmarks that compare honestly."""


cli.add_command(run_command)
cli.add_command(tune_command)
cli.add_command(check_command)
cli.add_command(new_command)
cli.add_command(compare_command)
cli.add_command(plot_command)
cli.add_command(report_command)
cli.add_command(list_command)
cli.add_command(show_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: all well; 1: a run failed, or data or results cannot be used; 2: wrong usage; 130: interrupted.
    """
    try:
        with warnings.catch_warnings():
            _tell_of_plugins()
            code = cli.main(arguments, prog_name="clbench", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ClbenchError as error:
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _tell_of_plugins() -> None:
    """Show a `PluginWarning` as one line, and always; all others as Python would."""
    usual = warnings.showwarning

    def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            click.echo(f"Warning: {message}", err=True)
        else:
            usual(message, category, *where, **more)

    warnings.simplefilter("always", PluginWarning)
    warnings.showwarning = show
