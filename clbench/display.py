"""Progress on stderr: a bar for each run on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
from tqdm import tqdm

from clbench.grid import Cell
from clbench.scoring import Row


class Display:
    """Shows how far a sweep is; a `clbench.executor.Watcher`."""

    def __init__(self, planned: list[Cell], *, quiet: bool, verbose: bool) -> None:
        self._cells, self._quiet, self._verbose = planned, quiet, verbose
        self._bars: dict[int, tqdm[Any]] = {}
        self._begun: dict[int, float] = {}
        self._terminal = sys.stderr.isatty() and not quiet

    def started(self, number: int) -> None:
        """Begin a bar in the first free line."""
        self._begun[number] = time.perf_counter()
        if self._terminal and number not in self._bars:
            taken = {abs(bar.pos) for bar in self._bars.values()}
            line = next(i for i in range(len(taken) + 1) if i not in taken)
            title = self._title(number)
            self._bars[number] = tqdm(
                desc=title, unit=" steps", leave=False, file=sys.stderr, position=line
            )

    def steps(self, number: int, count: int) -> None:
        """Count on."""
        if self._terminal:
            self._bars[number].update(count)

    def experience(self, number: int, learnt: int, of: int, row: Row) -> None:
        """Show the row's mean accuracy."""
        if self._terminal:
            self._bars[number].set_postfix_str(_words(learnt, of, row))
        elif learnt and (self._verbose or len(self._cells) == 1):
            self.say(f"{self._title(number)}: {_words(learnt, of, row)}")

    def trained(self, number: int, episodes: int, of: int, accuracy: float | None) -> None:
        """Show how far meta-training is."""
        words = f"{episodes:,} of {of:,} training episodes"
        words += "" if accuracy is None else f", {100 * accuracy:.2f} % on validation"
        if self._terminal:
            self._bars[number].set_postfix_str(words)
        elif self._verbose or len(self._cells) == 1:
            self.say(f"{self._title(number)}: {words}{self._since(number, 0)}")

    def ended(self, number: int, cell: Cell) -> None:
        """Replace the bar by a line that says how the run ended."""
        if number in self._bars:
            self._bars.pop(number).close()
        self.say(f"{self._title(number)}: {_ending(cell)}{self._since(number, 1)}")
        if self._verbose and cell.record and cell.status == "failed":
            self.say(cell.record["error"]["traceback"])

    def say(self, line: str) -> None:
        """Write a line above the bars."""
        if self._quiet:
            return
        with tqdm.external_write_mode(file=sys.stderr):
            click.echo(line, err=True)

    def close(self) -> None:
        """Take the bars away."""
        for bar in self._bars.values():
            bar.close()

    def _since(self, number: int, digits: int) -> str:
        """Return how long ago a run began; nothing of one that began with another, as a stack's do."""
        begun = self._begun.get(number)
        return "" if begun is None else f" ({time.perf_counter() - begun:.{digits}f} s)"

    def _title(self, number: int) -> str:
        spec = self._cells[number].specification
        names = [spec[key]["name"] for key in ("dataset", "scenario", "strategy")]
        return f"[{number + 1}/{len(self._cells)}] {' '.join(names)} seed {spec['seed']}"


def _ending(cell: Cell) -> str:
    if cell.record is None or cell.status == "failed":
        return f"failed: {cell.reason}"
    resumed = cell.record["provenance"].get("resumed_at")
    trained_by = cell.record["provenance"].get("meta_trained_by")
    words = "found" if cell.status == "found" else "ok"
    accuracy = cell.record["metrics"]["average_accuracy"]
    if accuracy is not None:
        words = f"average accuracy {100 * accuracy:.2f} %"
    if cell.status == "found":
        return f"{words}, made by another process"
    words += f", meta-trained by {trained_by['run']}" if trained_by else ""
    return words + (f", resumed after {_place(resumed[-1])}" if resumed else "")


def _place(resumed: dict[str, Any]) -> str:
    if "episodes" in resumed:
        return f"{resumed['episodes']:,} training episodes"
    return f"experience {resumed['experience']}"


def _words(learnt: int, of: int, row: Row) -> str:
    known = [cell for cell in row if cell is not None]
    mean = f", accuracy so far {100 * sum(known) / len(known):.2f} %" if known else ""
    return f"experience {learnt}/{of}{mean}"
