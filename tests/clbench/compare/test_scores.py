from __future__ import annotations

from typing import Any

import pytest

from clbench.compare.scores import by_unit, cell, defined, higher_is_better, paired, split_deviation
from clbench.seeds import Seeds
from tests.clbench.compare.records import failed, record, runs_of


def crossed(orders: range, others: range) -> dict[Seeds, float]:
    """Return ten times the order plus the rest, in %, for every pair of seeds."""
    return {Seeds.of(s, order=o): (10 * o + s) / 100 for o in orders for s in others}


def test_plain_seeds_are_units() -> None:
    values = {Seeds.of(seed): seed / 10 for seed in (3, 1, 2)}
    assert by_unit(values) == {1: 0.1, 2: 0.2, 3: 0.3}
    assert by_unit({Seeds.of(4): 0.5}) == {4: 0.5}
    assert by_unit({}) == {}


def test_runs_that_share_a_class_order_are_averaged_first() -> None:
    """Of 2 orders × 3 other seeds remain 2 units: .01 and .11."""
    assert by_unit(crossed(range(2), range(3))) == pytest.approx({0: 0.01, 1: 0.11})


def test_with_one_class_order_the_other_seeds_are_the_units() -> None:
    values = {Seeds.of(seed, order=7): float(seed) for seed in range(4)}
    assert by_unit(values) == {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0}


def test_initialisations_crossed_with_plain_seeds() -> None:
    values = {Seeds.of(s, init=i): s + i / 10 for s in range(2) for i in (0, 4)}
    assert by_unit(values) == pytest.approx({0: 0.2, 1: 1.2})


def test_pairs_need_all_seeds_the_same() -> None:
    ours = {Seeds.of(seed): 0.5 + seed / 10 for seed in range(4)}
    theirs = {Seeds.of(seed): 0.5 for seed in (1, 2, 9)} | {Seeds.of(3, init=8): 0.0}
    assert paired(ours, theirs) == pytest.approx([0.1, 0.2])
    assert paired(ours, {}) == []


def test_pairs_of_crossed_seeds() -> None:
    ours = crossed(range(3), range(2))
    theirs = {seeds: value - seeds.order / 10 for seeds, value in ours.items()}
    assert paired(ours, theirs) == pytest.approx([0.0, 0.1, 0.2])


def test_deviations_need_a_full_cross() -> None:
    """Orders 0 and 1 lie .10 apart, the other seeds .01: sd .10/√2 and .01/√2."""
    parts = split_deviation(crossed(range(2), range(2)))
    assert parts == pytest.approx((0.1 / 2**0.5, 0.01 / 2**0.5))
    assert split_deviation({Seeds.of(s): 0.1 for s in range(5)}) is None
    values = crossed(range(2), range(2))
    del values[Seeds.of(0, order=1)]
    assert split_deviation(values) is None


def test_a_metric_that_some_runs_lack_has_no_mean() -> None:
    runs = runs_of(record(seed=0), record(seed=1, metrics={"average_accuracy": None}))
    assert defined(runs, "average_accuracy") == {}
    assert set(defined(runs, "learning_accuracy")) == {Seeds.of(0), Seeds.of(1)}
    found = cell(runs, ["average_accuracy", "forgetting"], "t")
    assert found.scores["average_accuracy"].estimate is None
    assert found.scores["forgetting"].estimate is not None


def test_costs_are_means_and_failures_are_kept_apart() -> None:
    budgets: list[dict[str, Any]] = [{"steps": 10}, {"steps": 20, "memory_bytes": None}]
    runs = runs_of(
        *(record(seed=seed, budget=budget) for seed, budget in enumerate(budgets)),
        failed("replay", 2, "it broke"),
    )
    found = cell(runs, ["average_accuracy"], "t")
    assert found.n == 2
    assert [run.reason for run in found.others] == ["it broke"]
    assert found.costs["steps"] == 15
    assert found.costs["seconds"] == 2.0
    assert found.costs["memory_bytes"] is None


def test_directions() -> None:
    assert higher_is_better("average_accuracy")
    assert not higher_is_better("forgetting_as_pycil")
    assert higher_is_better("a metric of a plug-in")
