"""Progress on stderr: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from tqdm import tqdm

from clbench.evaluator import Progress, Row, Silent
from clbench.grid import Cell


class Display:
    """Shows how far a grid is."""

    def __init__(self, cells: list[Cell], *, quiet: bool, verbose: bool) -> None:
        planned = [cell for cell in cells if cell.status == "planned"]
        self._quiet, self._verbose = quiet, verbose
        self._total, self._number = len(planned), 0
        found = sum(cell.status == "found" for cell in cells)
        if found and not quiet:
            click.echo(f"{found} of {len(cells)} results are there already.", err=True)

    @contextmanager
    def run(self, cell: Cell) -> Iterator[Progress]:
        """Yield what to tell of one run's progress; say afterwards how it ended."""
        self._number += 1
        if self._quiet:
            yield Silent()
            return
        spec = cell.specification
        names = [spec[key]["name"] for key in ("dataset", "scenario", "strategy")]
        title = f"[{self._number}/{self._total}] {' '.join(names)} seed {spec['seed']}"
        begun = time.perf_counter()
        if sys.stderr.isatty():
            with tqdm(desc=title, unit=" steps", leave=False, file=sys.stderr) as bar:
                yield _Bar(bar)
        else:
            yield _Lines(title if self._verbose or self._total == 1 else None)
        click.echo(f"{title}: {_ending(cell)} ({time.perf_counter() - begun:.1f} s)", err=True)
        if self._verbose and cell.record and cell.record["status"] == "failed":
            click.echo(cell.record["error"]["traceback"], err=True)


def _ending(cell: Cell) -> str:
    if cell.record is None or cell.record["status"] == "failed":
        return f"failed: {cell.reason}"
    accuracy = cell.record["metrics"]["average_accuracy"]
    return "ok" if accuracy is None else f"average accuracy {100 * accuracy:.2f} %"


class _Bar:
    """A bar that counts steps and names the last row's mean accuracy."""

    def __init__(self, bar: tqdm[NoReturn]) -> None:
        self._bar = bar

    def step(self) -> None:
        self._bar.update()

    def experience(self, learnt: int, of: int, row: Row) -> None:
        self._bar.set_postfix_str(_words(learnt, of, row))


class _Lines(Silent):
    """A line per experience."""

    def __init__(self, title: str | None) -> None:
        self._title = title

    def experience(self, learnt: int, of: int, row: Row) -> None:
        if self._title and learnt:
            click.echo(f"{self._title}: {_words(learnt, of, row)}", err=True)


def _words(learnt: int, of: int, row: Row) -> str:
    known = [cell for cell in row if cell is not None]
    mean = f", accuracy so far {100 * sum(known) / len(known):.2f} %" if known else ""
    return f"experience {learnt}/{of}{mean}"
