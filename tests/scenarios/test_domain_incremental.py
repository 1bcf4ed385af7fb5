"""Domains by permutation and rotation: every class in each, the first permuted one as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clbench.scenario import Plan
from clbench.shifts import Permutation, Rotation, Shift
from tests.scenarios.test_plans import TEN
from tests.toys import plan_of, stream_of, toy_dataset

IMAGE = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)


def domains(seed: int = 0, **options: Any) -> Plan:
    """Return a domain-incremental plan over ten classes."""
    return plan_of("domain-incremental", TEN, seed, **options)


@pytest.mark.parametrize("shift", ["permuted", "rotated"])
@given(experiences=st.integers(1, 12), seed=st.integers(0, 1000))
def test_every_domain_has_every_sample_and_class(shift: str, experiences: int, seed: int) -> None:
    plan = domains(seed, shift=shift, experiences=experiences)
    assert len(plan.tasks) == experiences
    assert plan.units == 10
    for task in plan.tasks:
        assert sorted(task.train) == list(range(200))
        assert sorted(task.test) == list(range(50))
        assert task.unit_of_class.tolist() == list(range(10))


@pytest.mark.parametrize("shift", ["permuted", "rotated"])
def test_domains_are_shuffled_each_in_its_own_order(shift: str) -> None:
    plan = domains(shift=shift, experiences=3)
    assert len({tuple(task.train.tolist()) for task in plan.tasks}) == 3


def test_the_first_permuted_domain_is_left_as_it_is() -> None:
    plan = domains(shift="permuted", experiences=4)
    changed = [task.shift.apply(IMAGE) for task in plan.tasks]
    assert torch.equal(changed[0], IMAGE)
    assert len({tuple(x.flatten().tolist()) for x in changed}) == 4


def test_permutations_depend_on_the_seed_alone() -> None:
    seen = set()
    for seed in range(4):
        first, again = (domains(seed, shift="permuted", experiences=3) for _ in range(2))
        for a, b in zip(first.tasks, again.tasks, strict=True):
            assert torch.equal(a.shift.apply(IMAGE), b.shift.apply(IMAGE))
        seen |= {tuple(task.shift.apply(IMAGE).flatten().tolist()) for task in first.tasks[1:]}
    assert len(seen) == 8


def test_the_permutation_of_a_domain_does_not_depend_on_how_many_there_are() -> None:
    few, many = (domains(shift="permuted", experiences=n) for n in (3, 6))
    assert [t.shift for t in few.tasks] == [t.shift for t in many.tasks[:3]]


@given(experiences=st.integers(1, 25), seed=st.integers(0, 10_000))
def test_drawn_angles_lie_each_in_its_own_sector(experiences: int, seed: int) -> None:
    plan = domains(seed, shift="rotated", experiences=experiences)
    for t, task in enumerate(plan.tasks):
        assert isinstance(task.shift, Rotation)
        assert 180 * t / experiences <= task.shift.degrees < 180 * (t + 1) / experiences


def test_drawn_angles_are_seeded() -> None:
    angles = [str([task.shift for task in domains(s, shift="rotated").tasks]) for s in (0, 1, 0)]
    assert angles[0] == angles[2] != angles[1]


def test_given_angles_are_taken_and_set_the_number_of_experiences() -> None:
    plan = domains(shift="rotated", angles=[0.0, 45, -90.0])
    assert [task.shift for task in plan.tasks] == [Rotation(0), Rotation(45), Rotation(-90)]
    assert len(domains(shift="rotated", angles=[0.0, 45.0], experiences=2).tasks) == 2


def test_a_split_domain_is_not_changed() -> None:
    assert {type(task.shift) for task in domains().tasks} == {Shift}


@pytest.mark.parametrize("shift", ["permuted", "rotated"])
def test_training_and_test_images_of_a_domain_are_shifted_alike(shift: str) -> None:
    data = toy_dataset(shape=(6, 6))
    stream = stream_of("domain-incremental", data, shift=shift, experiences=3)
    test = stream.test_set(3)
    for t, task in enumerate(stream.plan.tasks):
        (experience,) = stream.deliver(t)
        assert torch.equal(experience.x, task.shift.apply(data.x_train[task.train]))
        assert torch.equal(experience.y, data.y_train[task.train])
        expected = task.shift.apply(data.x_test)
        asked = test.x[test.task == t]
        assert sorted(asked.flatten(1).tolist()) == sorted(expected.flatten(1).tolist())


def test_permuting_keeps_the_pixels_of_each_domain() -> None:
    stream = stream_of("domain-incremental", shift="permuted", experiences=3)
    (first,), (second,) = stream.deliver(0), stream.deliver(1)
    assert isinstance(stream.plan.tasks[1].shift, Permutation)
    np.testing.assert_array_equal(
        np.sort(first.x.numpy(), axis=None), np.sort(second.x.numpy(), axis=None)
    )
