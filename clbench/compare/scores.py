"""The numbers of one row on one scenario, and what a seed stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clbench.compare.collection import CATALOGUE, Run
from clbench.seeds import Seeds
from clbench.statistics import Estimate, Interval, crossed_deviations, estimate, outliers

DEFAULT_METRICS = ("average_accuracy", "forgetting", "learning_accuracy")
COSTS = (
    "steps",
    "samples_seen",
    "seconds",
    "memory_examples",
    "memory_bytes",
    "working_bytes",
    "parameters",
)
_NAMED_SEEDS = ("order", "init", "train", "memory")


@dataclass(frozen=True)
class Difference:
    """A row minus another, paired over the seeds they have in common."""

    estimate: Estimate
    p: float | None = None
    """Adjusted by Holm for the rows of the column; None from a single seed."""
    test: str | None = None


@dataclass
class Score:
    """One metric of one row on one scenario."""

    values: Mapping[Seeds, float]
    """Of every run; empty where the metric is not defined in each."""
    units: Mapping[int, float]
    """Of every independent unit, by seed, see `by_unit`."""
    estimate: Estimate | None
    outliers: tuple[int, ...]
    """Seeds of units."""
    best: bool = False
    level: bool = False
    """Not the best, and not told from it by a paired test."""
    difference: Difference | None = None
    """To the baseline."""


@dataclass
class Cell:
    """One row on one scenario."""

    finished: tuple[Run, ...]
    others: tuple[Run, ...]
    """Failed and skipped runs."""
    scores: dict[str, Score]
    costs: dict[str, float | None] = field(default_factory=dict)
    """Means over the runs."""
    gap: Estimate | None = None
    """The reference's average accuracy minus the row's, paired."""

    @property
    def n(self) -> int:
        """How many independent units the runs are, see `by_unit`."""
        return len(by_unit({run.seeds: 0.0 for run in self.finished}))


def cell(runs: Sequence[Run], metrics: Sequence[str], interval: Interval) -> Cell:
    """Return the numbers of one row on one scenario."""
    finished = tuple(run for run in runs if run.finished)
    others = tuple(run for run in runs if not run.finished)
    scores = {metric: _score(finished, metric, interval) for metric in metrics}
    return Cell(finished, others, scores, {name: _mean_cost(finished, name) for name in COSTS})


def _score(runs: Sequence[Run], metric: str, interval: Interval) -> Score:
    values = defined(runs, metric)
    if not values:
        return Score({}, {}, None, ())
    units = by_unit(values)
    seeds, per_unit = list(units), list(units.values())
    odd = tuple(seeds[position] for position in outliers(per_unit))
    return Score(values, units, estimate(per_unit, interval), odd)


def _mean_cost(runs: Sequence[Run], name: str) -> float | None:
    values = [run.cost(name) for run in runs]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def defined(runs: Sequence[Run], metric: str) -> dict[Seeds, float]:
    """Return a metric of each run; empty if it is undefined in any, since a mean of the rest would mislead."""
    values = {run.seeds: run.metric(metric) for run in runs}
    known = {seeds: value for seeds, value in values.items() if value is not None}
    return known if len(known) == len(values) else {}


def by_unit(values: Mapping[Seeds, float]) -> dict[int, float]:
    """Return one value per independent unit, by its seed.

    With plain seeds every run is a unit. Where named seeds are crossed, runs that share, say, the class order are not
    independent: they are averaged first, and n counts the class orders. The unit is the first of the order, init,
    train and memory seed that varies.
    """
    name = next((n for n in _NAMED_SEEDS if len({getattr(s, n) for s in values}) > 1), "order")
    shares: dict[int, list[float]] = {}
    for seeds in sorted(values, key=_numbers):
        shares.setdefault(getattr(seeds, name), []).append(values[seeds])
    return {unit: sum(share) / len(share) for unit, share in shares.items()}


def _numbers(seeds: Seeds) -> tuple[int, ...]:
    return tuple(getattr(seeds, name) for name in _NAMED_SEEDS)


def paired(ours: Mapping[Seeds, float], theirs: Mapping[Seeds, float]) -> list[float]:
    """Return our value minus theirs, unit by unit, over the runs whose seeds are all the same."""
    common = {seeds: value - theirs[seeds] for seeds, value in ours.items() if seeds in theirs}
    return list(by_unit(common).values())


def split_deviation(values: Mapping[Seeds, float]) -> tuple[float, float] | None:
    """Return the standard deviation due to the class order and that due to all other seeds.

    None unless the order seed is fully crossed with at least two settings of the others.
    """
    orders = sorted({seeds.order for seeds in values})
    others = sorted({_numbers(seeds)[1:] for seeds in values})
    cells = {(seeds.order, _numbers(seeds)[1:]): value for seeds, value in values.items()}
    if min(len(orders), len(others)) < 2 or len(cells) < len(orders) * len(others):
        return None
    return crossed_deviations([[cells[order, other] for other in others] for order in orders])


def higher_is_better(metric: str) -> bool:
    """Return whether more of a metric is better; of one that is not ours we assume it."""
    return metric not in CATALOGUE or CATALOGUE[metric].higher_is_better
