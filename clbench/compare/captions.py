"""The sentences above and below the tables: why they are several, what is tested, what is defined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clbench.compare.collection import CATALOGUE
from clbench.compare.comparability import REFERENCE
from clbench.compare.scores import higher_is_better
from clbench.compare.tables import GAP_METRIC, Settings, Table
from clbench.statistics import EXACT_FROM, EXACT_TO
from clbench.words import OVER_EPISODES, definition, over_episodes, protocol_line, spaced

_INTERVALS = {
    "t": "mean ± half a 95 % t interval over n seeds",
    "bootstrap": "mean [95 % percentile bootstrap interval over n seeds]",
    "iqm": "interquartile mean [95 % percentile bootstrap interval over n seeds]",
}


def protocols(table: Table) -> list[str]:
    """Return a line per scenario of the table."""
    return [f"{name}. {protocol_line(run.specification)}" for name, run in table.scenarios.items()]


def heading(tables: Sequence[Table]) -> list[str]:
    """Return why there are several tables; nothing for one."""
    if len(tables) < 2:
        return []
    names = dict.fromkeys(name for table in tables for name in table.facets)
    apart = [n for n in names if len({table.facets.get(n, "") for table in tables}) > 1]
    lines = [
        f"{len(tables)} tables, since only comparable rows share one; these differ in"
        f" {' and '.join([', '.join(apart[:-1]), apart[-1]] if apart[1:] else apart)}."
    ]
    repeated = sorted(set(_repeated(tables)))
    if repeated:
        lines.append(
            f"In several tables: {', '.join(repeated)}, which keep no memory of a set size, do not"
            " count epochs, or are the reference."
        )
    return lines


def _repeated(tables: Sequence[Table]) -> Iterator[str]:
    seen: dict[int, str] = {}
    for table in tables:
        for row in table.rows:
            for runs in row.runs.values():
                if id(runs[0]) in seen:
                    yield row.strategy
                seen[id(runs[0])] = row.strategy


def footer(tables: Sequence[Table], settings: Settings, mark: str) -> list[str]:
    """Return what the numbers mean; ``mark`` is how the format shows what is best."""
    tests = _tests(tables, settings, mark)
    return [*_numbers(tables, settings), *tests, *_definitions(settings)]


def _numbers(tables: Sequence[Table], settings: Settings) -> Iterator[str]:
    cells = [cell for table in tables for cell in table.cells.values()]
    yield (
        f"Metrics in %: {_INTERVALS[settings.interval]}; no interval and no test from one seed;"
        " – not defined; blank: not run."
    )
    alone = [cell.finished[0] for cell in cells if len(cell.finished) == 1]
    if any(over_episodes(run.record["metrics"] or {}) for run in alone):
        yield OVER_EPISODES
    if any(cell.others for cell in cells):
        yield "n: seeds that finished, of those that were run; failed and skipped ones are named."
    if any(cell.gap for cell in cells):
        yield (
            f"gap to {REFERENCE}: its {spaced(GAP_METRIC)} minus the row's, paired over the seeds."
        )
    if settings.variance:
        yield (
            "Standard deviations: components of variance, where the order seeds are crossed with"
            " the others."
        )
    yield (
        "passes: epochs over an experience (– if not by epochs). memory: exemplars and policy."
        " seconds: training and evaluation."
    )


def _tests(tables: Sequence[Table], settings: Settings, mark: str) -> Iterator[str]:
    scores = [s for table in tables for c in table.cells.values() for s in c.scores.values()]
    marked = any(score.best for score in scores)
    if marked:
        yield (
            f"{mark}: the best of its column and every row that a test does not tell from it at 5 %;"
            f" {REFERENCE}, the reference, takes no part."
        )
        if not all(map(higher_is_better, settings.metrics[1:])):
            yield "What should be low is not marked beside others: who learns nothing forgets nothing."
    if marked or any(score.difference for score in scores):
        yield (
            "Tests and p: that the mean difference over common seeds is 0, two-sided; exact"
            f" sign-flip test for {EXACT_FROM} to {EXACT_TO} seeds, else (or where so few seeds"
            " cannot reach 5 %) paired t test; Holm's correction for the rows of a column."
        )


def _definitions(settings: Settings) -> Iterator[str]:
    for name in settings.metrics:
        if name in CATALOGUE:
            yield definition(CATALOGUE[name])
        else:
            yield f"{name}: as its result files give it; clbench has no definition of it."
