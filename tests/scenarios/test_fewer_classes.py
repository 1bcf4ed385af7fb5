"""`classes`: a stream of so many classes of the dataset; the others are nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clbench.errors import UsageError
from tests.scenarios.test_plans import TEN, classes_in
from tests.toys import SCENARIOS, plan_of

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


@every_scenario
@pytest.mark.parametrize("base", [0, 3])
def test_the_stream_has_the_first_of_the_class_order(scenario: str, base: int) -> None:
    options: dict[str, Any] = {"base_classes": base} if base else {}
    for seed in range(3):
        order = plan_of(scenario, TEN, seed).class_order
        plan = plan_of(scenario, TEN, seed, classes=4, experiences=2, **options)
        assert plan.class_order == order[base : base + 4]
        rest = sorted(set(range(10)) - set(plan.class_order))
        for task in plan.tasks:
            assert (task.unit_of_class[rest] == -1).all()
            assert set(classes_in(task, TEN)) <= set(plan.class_order)
        trained = np.concatenate([task.train for task in plan.tasks])
        assert set(TEN.train[trained]) == set(plan.class_order)
        assert {u for task in plan.tasks for u in task.units} == set(range(plan.units))


def test_units_sizes_and_all_of_them() -> None:
    plan = plan_of("class-incremental", TEN, class_order="natural", classes=5, sizes=[2, 3])
    assert [task.units for task in plan.tasks] == [(0, 1), (2, 3, 4)]
    assert plan.units == 5
    every = plan_of("class-incremental", TEN, classes=10)
    assert every.class_order == plan_of("class-incremental", TEN).class_order


@every_scenario
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 11}, "classes=11 is more than the 10 classes of the dataset"),
        (
            {"classes": 8, "base_classes": 3},
            "classes=8 is more than the 7 classes of the dataset without its 3 base classes",
        ),
    ],
)
def test_more_classes_than_there_are(scenario: str, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of(scenario, TEN, experiences=2, **options)


def test_more_experiences_than_classes() -> None:
    with pytest.raises(UsageError, match="experiences=5 is more than the 4 classes of the stream"):
        plan_of("class-incremental", TEN, experiences=5, classes=4)
    with pytest.raises(UsageError, match=r"adds up to 3; the stream has 4 classes \(classes=4\)"):
        plan_of("class-incremental", TEN, sizes=[1, 2], classes=4)
