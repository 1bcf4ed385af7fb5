"""Every scenario: assignments are complete, disjoint, seeded; wrong options get a sentence."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.errors import UsageError
from clbench.scenario import Labels, Plan, Task
from tests.toys import SCENARIOS, plan_of

TEN = Labels(np.arange(200) % 10, np.arange(50) % 10, 10)


@st.composite
def label_vectors(draw: st.DrawFn, least: int = 1) -> Labels:
    """Return labels of 2 to 7 classes in any order, each class at least ``least`` times."""
    classes = draw(st.integers(2, 7))
    splits = []
    for _ in range(2):
        counts = draw(st.lists(st.integers(least, least + 6), min_size=classes, max_size=classes))
        order = np.random.default_rng(draw(st.integers(0, 99)))
        splits.append(order.permutation(np.repeat(np.arange(classes), counts)))
    return Labels(splits[0], splits[1], classes)


@st.composite
def deals(draw: st.DrawFn, classes: int) -> dict[str, Any]:
    """Return options that deal the classes in some way."""
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["experiences"] = draw(st.integers(1, classes))
    else:
        cuts = draw(st.sets(st.integers(1, classes - 1)))
        edges = [0, *sorted(cuts), classes]
        options["sizes"] = [b - a for a, b in pairwise(edges)]
    order = draw(st.sampled_from(["natural", "shuffled", "list"]))
    listed = draw(st.permutations(range(classes)))
    options["class_order"] = listed if order == "list" else order
    return options


def same(a: Plan, b: Plan) -> bool:
    """Return whether two plans are equal to the last sample."""
    return repr_of(a) == repr_of(b)


def repr_of(plan: Plan) -> list[Any]:
    """Return all that a plan says, comparable."""
    tasks = [
        (t.train.tolist(), t.test.tolist(), t.unit_of_class.tolist(), t.shift) for t in plan.tasks
    ]
    return [tasks, plan.units, plan.class_order, plan.train_mask, plan.test_mask, plan.held_out]


def classes_in(task: Task, labels: Labels) -> list[int]:
    """Return the classes whose training samples are in a task."""
    return sorted(set(labels.train[task.train].tolist()))


@pytest.mark.parametrize("scenario", SCENARIOS)
@given(data=st.data(), labels=label_vectors(), seed=st.integers(0, 1000))
def test_every_sample_is_in_exactly_one_experience(
    scenario: str, data: st.DataObject, labels: Labels, seed: int
) -> None:
    options = data.draw(deals(labels.classes))
    plan = plan_of(scenario, labels, seed, **options)
    train = np.concatenate([task.train for task in plan.tasks])
    test = np.concatenate([task.test for task in plan.tasks])
    assert sorted(train) == list(range(len(labels.train)))
    assert sorted(test) == list(range(len(labels.test)))
    assert not plan.held_out
    for task in plan.tasks:
        assert len(task.train)
        assert set(labels.train[task.train]) == set(labels.test[task.test])


@pytest.mark.parametrize("scenario", SCENARIOS)
@given(data=st.data(), labels=label_vectors(), seed=st.integers(0, 1000))
def test_classes_are_dealt_in_order(
    scenario: str, data: st.DataObject, labels: Labels, seed: int
) -> None:
    options = data.draw(deals(labels.classes))
    plan = plan_of(scenario, labels, seed, **options)
    order = list(plan.class_order)
    assert sorted(order) == list(range(labels.classes))
    if options["class_order"] == "natural":
        assert order == sorted(order)
    elif options["class_order"] != "shuffled":
        assert order == list(options["class_order"])
    sizes = [len(classes_in(task, labels)) for task in plan.tasks]
    if "sizes" in options:
        assert sizes == options["sizes"]
    else:
        assert len(sizes) == options["experiences"]
        assert max(sizes) - min(sizes) <= 1
        assert sizes == sorted(sizes, reverse=True)  # the first get what is left over
    for task, size in zip(plan.tasks, sizes, strict=True):
        share, order = order[:size], order[size:]
        assert classes_in(task, labels) == sorted(share)
        if scenario == "domain-incremental":  # a label is the position in the task's class list
            assert [task.unit_of_class[c] for c in share] == list(range(size))
        else:
            assert [task.unit_of_class[c] for c in share] == share
        assert (task.unit_of_class >= 0).sum() == size
    assert plan.units == (max(sizes) if scenario == "domain-incremental" else labels.classes)


@pytest.mark.parametrize("scenario", SCENARIOS)
@given(labels=label_vectors(least=3), seed=st.integers(0, 1000), samples=st.integers(1, 30))
def test_a_seed_gives_the_same_plan_again(
    scenario: str, labels: Labels, seed: int, samples: int
) -> None:
    train, test = labels.train.copy(), labels.test.copy()
    options = {"experiences": 2, "validation": 0.3, "samples": samples}
    assert same(
        plan_of(scenario, labels, seed, **options), plan_of(scenario, labels, seed, **options)
    )
    assert (labels.train == train).all()
    assert (labels.test == test).all()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_another_seed_gives_another_order_of_classes_and_samples(scenario: str) -> None:
    shuffled = [plan_of(scenario, TEN, seed) for seed in range(5)]
    natural = [plan_of(scenario, TEN, seed, class_order="natural") for seed in range(5)]
    for a, b in combinations(range(5), 2):
        assert shuffled[a].class_order != shuffled[b].class_order
        assert natural[a].class_order == natural[b].class_order == tuple(range(10))
        first, second = natural[a].tasks[0].train, natural[b].tasks[0].train
        assert sorted(first) == sorted(second)
        assert first.tolist() != second.tolist()
    assert natural[0].tasks[0].train.tolist() != sorted(natural[0].tasks[0].train)


def test_all_scenarios_share_the_class_order_of_a_seed() -> None:
    assert len({plan_of(scenario, TEN, 3).class_order for scenario in SCENARIOS}) == 1


def test_uneven_deal() -> None:
    plan = plan_of("class-incremental", TEN, experiences=4, class_order="natural")
    assert [task.units for task in plan.tasks] == [(0, 1, 2), (3, 4, 5), (6, 7), (8, 9)]
    domain = plan_of("domain-incremental", TEN, experiences=4, class_order="natural")
    assert [task.units for task in domain.tasks] == [(0, 1, 2), (0, 1, 2), (0, 1), (0, 1)]


def test_hsu_split_labels_a_digit_by_its_parity() -> None:
    plan = plan_of("domain-incremental", TEN, class_order="natural")
    for task in plan.tasks:
        for digit in classes_in(task, TEN):
            assert task.unit_of_class[digit] == digit % 2


@pytest.mark.parametrize(
    ("scenario", "head", "masks", "tells_task", "shares_labels"),
    [
        ("class-incremental", "single", "seen", False, False),
        ("domain-incremental", "single", "all", False, True),
        ("task-incremental", "multi", "task", True, False),
    ],
)
def test_what_sets_the_scenarios_apart(
    scenario: str, head: str, masks: str, tells_task: bool, shares_labels: bool
) -> None:
    plan = plan_of(scenario, TEN)
    assert (plan.head, plan.train_mask, plan.test_mask) == (head, masks, masks)
    assert (plan.tells_task, plan.shares_labels) == (tells_task, shares_labels)


@pytest.mark.parametrize(
    ("options", "train_mask", "test_mask"),
    [
        ({}, "seen", "seen"),
        ({"head": "all"}, "all", "all"),
        ({"test_mask": "all"}, "seen", "all"),
        ({"head": "all", "train_mask": "seen"}, "seen", "all"),
        ({"head": "all", "test_mask": "seen"}, "all", "seen"),
    ],
)
def test_training_and_test_mask_follow_the_head_or_their_own_option(
    options: dict[str, Any], train_mask: str, test_mask: str
) -> None:
    plan = plan_of("class-incremental", TEN, **options)
    assert (plan.train_mask, plan.test_mask) == (train_mask, test_mask)


@pytest.mark.parametrize(
    ("scenario", "options", "words"),
    [
        ("class-incremental", {"experiences": 11}, ["experiences=11", "10 classes", "at most 10"]),
        ("task-incremental", {"experiences": 11}, ["experiences=11", "at most 10"]),
        ("domain-incremental", {"experiences": 11}, ["experiences=11", "at most 10"]),
        ("class-incremental", {"sizes": [4, 2]}, ["[4, 2]", "adds up to 6", "10 classes"]),
        ("class-incremental", {"sizes": [4, 8]}, ["[4, 8]", "adds up to 12"]),
        (
            "class-incremental",
            {"sizes": [4, 6], "experiences": 3},
            ["experiences=3", "contradicts", "2 entries"],
        ),
        ("class-incremental", {"boundaries": False}, ["boundaries=false", "online=true"]),
        ("domain-incremental", {"boundaries": False}, ["boundaries=false", "online=true"]),
        (
            "task-incremental",
            {"boundaries": False, "online": True},
            ["boundaries=false", "task id"],
        ),
        ("class-incremental", {"class_order": [0, 1]}, ["class_order", "0…9", "once"]),
        ("class-incremental", {"class_order": [0, *range(9)]}, ["class_order", "once"]),
        ("domain-incremental", {"class_order": list(range(1, 11))}, ["class_order"]),
        (
            "domain-incremental",
            {"class_order": [0, 1], "shift": "permuted"},
            ["class_order", "once"],
        ),
        ("task-incremental", {"class_order": [-1, *range(1, 10)]}, ["class_order"]),
        ("class-incremental", {"class_order": "random"}, ["class_order", "'shuffled'", "'random'"]),
        ("class-incremental", {"sizes": [10, 0]}, ["sizes", "greater than 0"]),
        ("class-incremental", {"experiences": 0}, ["experiences", "greater than 0"]),
        ("class-incremental", {"head": "multi"}, ["head", "'seen' or 'all'"]),
        ("task-incremental", {"head": "all"}, ["unknown parameter 'head'"]),
        ("class-incremental", {"validation": 0.999}, ["validation=0.999", "without samples"]),
        ("domain-incremental", {"angles": [1.0]}, ["angles", "shift=rotated"]),
        (
            "domain-incremental",
            {"shift": "rotated", "angles": [0.0, 9.0], "experiences": 3},
            ["angles", "2 entries", "experiences is 3"],
        ),
        (
            "domain-incremental",
            {"shift": "permuted", "sizes": [5, 5]},
            ["sizes", "shift=split", "shift=permuted"],
        ),
    ],
)
def test_wrong_options_get_a_sentence(
    scenario: str, options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        plan_of(scenario, TEN, **options)
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert caught.value.exit_code == 2


def test_sizes_that_agree_with_experiences_are_fine() -> None:
    plan = plan_of("class-incremental", TEN, sizes=[4, 6], experiences=2)
    assert [len(task.units) for task in plan.tasks] == [4, 6]
