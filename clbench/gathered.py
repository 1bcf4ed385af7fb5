"""`Results`: runs gathered in memory, as a pandas frame, as the tables of the command line, and as records."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import pandas as pd

from clbench.compare import markup, text, tidy
from clbench.compare.collection import counted_once, read_run
from clbench.compare.comparability import groups
from clbench.compare.scores import DEFAULT_METRICS
from clbench.compare.tables import Settings, Table, compare, with_companions
from clbench.errors import ResultsError
from clbench.grid import Cell
from clbench.metrics import METRICS
from clbench.present import tables
from clbench.results import BUDGET, Record
from clbench.statistics import Interval
from clbench.words import counted, in_words


class Results(Sequence[Cell]):
    """Runs and how they ended: a sequence of cells, each with its specification, status, record and file.

    ``print(results)`` shows what ``clbench run`` prints. Two may be added.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._cells = tuple(cells)

    @overload
    def __getitem__(self, place: int) -> Cell: ...
    @overload
    def __getitem__(self, place: slice) -> Results: ...
    def __getitem__(self, place: int | slice) -> Cell | Results:
        found = self._cells[place]
        return found if isinstance(found, Cell) else Results(found)

    def __len__(self) -> int:
        return len(self._cells)

    def __add__(self, others: Results) -> Results:
        return Results([*self, *others])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row per run, tidy.

        Columns: ``dataset, scenario, strategy, seed``, ``status`` (``ok``, ``found``, ``skipped``, ``failed`` or
        ``planned``), ``reason``, every metric (a fraction; NaN where it is not defined), the budget, ``file``, then
        ``options.…`` and ``hyper_parameters.…``, lists in them as text, and named seeds that were set, as
        ``order_seed``.
        """
        frame = pd.DataFrame([_row(cell) for cell in self])
        numbers = [name for name in (*METRICS, *BUDGET) if name in frame]
        return frame.astype(dict.fromkeys(numbers, float))

    @property
    def records(self) -> list[Record]:
        """What the result files hold, of the runs that have one."""
        return [cell.record for cell in self if cell.record is not None]

    @property
    def failed(self) -> Results:
        """The runs that failed; ``reason`` says why, ``record["error"]["traceback"]`` where."""
        return Results(cell for cell in self if cell.status == "failed")

    def compare(
        self,
        *metrics: str,
        baseline: str | None = None,
        interval: Interval = "t",
        variance: bool = False,
    ) -> Comparison:
        """Return the tables of ``clbench compare``: only comparable rows share one.

        Args:
            *metrics: Average accuracy, forgetting and learning accuracy if there is none.
            baseline: A strategy that all others are tested against, paired over the seeds.
            interval: ``"t"``, ``"bootstrap"`` or ``"iqm"``.
            variance: Split the variance due to the class order from the rest.

        Raises:
            UsageError: A metric or the baseline is unknown.
            ResultsError: None of the runs has a result.
        """
        runs = [read_run(cell.path) for cell in self if cell.record is not None]
        if not runs:
            raise ResultsError("there is nothing to compare: none of the runs has a result")
        chosen = with_companions(metrics or DEFAULT_METRICS)
        settings = Settings(chosen, baseline, interval, variance)
        return Comparison(compare(groups(counted_once(runs).runs), settings), settings)

    def __str__(self) -> str:
        return tables(self)

    def __repr__(self) -> str:
        ends = Counter(cell.status for cell in self)
        told = ", ".join(f"{number} {status}" for status, number in ends.items())
        return f"Results({counted(len(self), 'run')}: {told})" if self else "Results(0 runs)"

    def _repr_html_(self) -> str:
        """Return the tables for a notebook."""
        return f"<pre>{html.escape(str(self) or repr(self))}</pre>"


@dataclass(frozen=True, repr=False)
class Comparison:
    """Tables of comparable rows. ``print`` shows what ``clbench compare`` prints; a notebook shows Markdown."""

    tables: Sequence[Table]
    settings: Settings

    @property
    def frame(self) -> pd.DataFrame:
        """A row per table, strategy, scenario and metric, as ``clbench compare --format csv`` has them."""
        rows = [
            {"table": number, "setting": table.title, **record}
            for number, table in enumerate(self.tables, 1)
            for record in tidy.records(table)
        ]
        return pd.DataFrame(rows)

    def markdown(self) -> str:
        """Return the tables as Markdown."""
        return markup.markdown(self.tables, self.settings)

    def latex(self) -> str:
        """Return the tables as LaTeX, for the package booktabs."""
        return markup.latex(self.tables, self.settings)

    def __str__(self) -> str:
        return text.terminal(self.tables, self.settings)

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return self.markdown()


def _row(cell: Cell) -> dict[str, Any]:
    """Return a run as a row of the frame."""
    spec, summary, record = cell.specification, cell.summary(), cell.record or {}
    keys = ("dataset", "scenario", "strategy", "seed", "status", "reason")
    return {
        **{key: summary[key] for key in keys},
        **dict.fromkeys(METRICS),
        **(record.get("metrics") or {}),
        **dict.fromkeys(BUDGET),
        **(record.get("budget") or {}),
        "file": summary["file"],
        **_told("options", spec["scenario"]["options"]),
        **_told("hyper_parameters", spec["strategy"]["hyper_parameters"]),
        **{f"{name}_seed": seed for name, seed in spec["protocol"]["named_seeds"].items()},
    }


def _told(table: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return settings as columns; a list as text, which can be grouped by."""
    return {
        f"{table}.{key}": in_words(value) if isinstance(value, (list, dict)) else value
        for key, value in values.items()
    }
