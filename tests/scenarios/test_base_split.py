"""`base_classes`: a base split has classes of its own; experiences, units and tests are of the others alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.errors import UsageError
from clbench.scenario import DisjointOptions, Labels, Plan, Scenario, plan_stream
from tests.scenarios.test_plans import TEN, classes_in, label_vectors, repr_of
from tests.toys import SCENARIOS, plan_of, scenario_named

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


@every_scenario
@given(data=st.data(), labels=label_vectors(least=2), seed=st.integers(0, 1000))
def test_the_stream_is_complete_without_the_base_classes(
    scenario: str, data: st.DataObject, labels: Labels, seed: int
) -> None:
    if labels.classes < 3:
        return
    count = data.draw(st.integers(2, labels.classes - 1))
    left = labels.classes - count
    experiences = data.draw(st.integers(1, left))
    options: dict[str, Any] = {"base_classes": count, "experiences": experiences}
    shift = data.draw(st.sampled_from(["split", "permuted", "rotated"]))
    options |= {"shift": shift} if scenario == "domain-incremental" else {}
    plan = plan_of(scenario, labels, seed, **options)
    assert plan.base is not None
    base, rest = set(classes_in(plan.base, labels)), set(plan.class_order)
    assert len(base) == count
    assert base | rest == set(range(labels.classes))
    assert not base & rest
    for task in plan.tasks:
        assert set(labels.train[task.train]) | set(labels.test[task.test]) <= rest
        assert (task.unit_of_class[sorted(base)] == -1).all()
        assert (plan.base.unit_of_class[sorted(rest)] == -1).all()
    trained = np.concatenate([task.train for task in plan.tasks])
    assert set(trained) == set(np.flatnonzero(np.isin(labels.train, list(rest))))
    assert {u for task in plan.tasks for u in task.units} == set(range(plan.units))
    if scenario != "domain-incremental":
        assert plan.units == left
        assert sum(len(task.units) for task in plan.tasks) == left
    assert plan.base.units == tuple(range(count))
    assert sorted(plan.base.train) == np.flatnonzero(np.isin(labels.train, list(base))).tolist()
    assert len(plan.base.test) == 0


@every_scenario
def test_the_base_classes_are_the_first_of_the_class_order(scenario: str) -> None:
    for seed in range(3):
        order = plan_of(scenario, TEN, seed).class_order
        plan = plan_of(scenario, TEN, seed, base_classes=4, experiences=3)
        assert plan.base is not None
        assert classes_in(plan.base, TEN) == sorted(order[:4])
        assert plan.class_order == order[4:]
        again = plan_of(scenario, TEN, seed, base_classes=4, experiences=3)
        assert again.base is not None
        assert again.base.train.tolist() == plan.base.train.tolist()
        assert plan.base.train.tolist() != sorted(plan.base.train)


def test_units_follow_the_order_of_the_dataset() -> None:
    order = [9, 0, 5, 7, 1, 2, 3, 4, 6, 8]
    for scenario in ("class-incremental", "task-incremental"):
        plan = plan_of(scenario, TEN, class_order=order, base_classes=3, sizes=[2, 5])
        assert [task.units for task in plan.tasks] == [(0, 5), (1, 2, 3, 4, 6)]
        assert plan.tasks[0].unit_of_class[[7, 1]].tolist() == [5, 0]
    plan = plan_of("domain-incremental", TEN, class_order=order, base_classes=3, shift="permuted")
    assert plan.tasks[1].unit_of_class.tolist() == [-1, 0, 1, 2, 3, -1, 4, 5, 6, -1]


@every_scenario
def test_validation_is_held_out_of_the_base_split_too(scenario: str) -> None:
    options: dict[str, Any] = {"base_classes": 4, "experiences": 2}
    whole = plan_of(scenario, TEN, **options).base
    part = plan_of(scenario, TEN, validation=0.25, samples=3, **options).base
    assert whole is not None
    assert part is not None
    assert set(part.train) < set(whole.train)
    assert np.bincount(TEN.train[part.train])[classes_in(whole, TEN)].tolist() == [15] * 4


@every_scenario
def test_without_one_nothing_changes_and_nothing_is_recorded(scenario: str) -> None:
    plan = plan_of(scenario, TEN, base_classes=0)
    assert plan.base is None
    assert repr_of(plan) == repr_of(plan_of(scenario, TEN))
    options = scenario_named(scenario).Options
    assert "base_classes" not in options.parse({}, "scenario").specified()
    assert options.parse({"base_classes": 4}, "scenario").specified()["base_classes"] == 4


@every_scenario
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_classes": 1}, ["base_classes=1", "at least 2"]),
        ({"base_classes": 10}, ["base_classes=10", "leave a class", "has 10"]),
        ({"base_classes": -1}, ["base_classes must", "-1"]),
        ({"base_classes": 6}, ["experiences=5", "4 classes", "6 base classes", "at most 4"]),
        ({"base_classes": 4, "sizes": [5, 5]}, ["adds up to 10", "4 base classes", "6 classes"]),
    ],
)
def test_what_does_not_fit_gets_a_sentence(
    scenario: str, options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        plan_of(scenario, TEN, **options)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_scenario_that_leaves_no_class_out_is_refused() -> None:
    class Everything(Scenario):
        Options = DisjointOptions

        def plan(self, labels: Labels, options: Any, seed: int) -> Plan:
            return plan_of("class-incremental", labels, seed)

    with pytest.raises(UsageError, match="base_classes must be 0"):
        plan_stream(Everything(), TEN, DisjointOptions.parse({"base_classes": 4}, "x"), 0)
