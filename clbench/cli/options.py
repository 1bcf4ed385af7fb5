"""Options that several commands share, and the completion of names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from clbench import registry

plugin_option = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE.py|MODULE",
    help="Load a plug-in first; repeatable.",
)


def load_plugins(plugins: tuple[str, ...]) -> None:
    """Import each plug-in, which registers what it brings."""
    for plugin in plugins:
        registry.load_plugin(plugin)


def complete(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return a completion callback for names of a kind; it reads entry-point metadata only."""

    def names(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
        found = [name for name in registry.names(kind) if name.startswith(typed)]
        return [CompletionItem(name, help=registry.summary(kind, name)) for name in found]

    return names


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows of strings as aligned columns, the first wide enough for its longest name."""
    width = max((len(row["name"]) for row in rows), default=0)
    return "\n".join(f"  {row['name']:<{width}}  {row['summary']}".rstrip() for row in rows)
