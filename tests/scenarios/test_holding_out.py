"""`samples` and `validation`: fewer training samples, and a share of them in the place of the test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clbench.errors import UsageError
from clbench.evaluator import Outcome, run_stream
from clbench.scenario import Labels
from clbench.stream import Stream
from tests.scenarios.test_plans import TEN, label_vectors
from tests.toys import SCENARIOS, Spy, numbered_dataset, plan_of, stream_of

TRAIN, TEST = (10, 20, 10, 20), (5, 5, 5, 5)
SHIFTS = ("split", "permuted", "rotated")


@pytest.mark.parametrize("scenario", SCENARIOS)
@given(labels=label_vectors(least=4), seed=st.integers(0, 1000), samples=st.integers(1, 40))
def test_samples_are_drawn_without_repetition(
    scenario: str, labels: Labels, seed: int, samples: int
) -> None:
    whole = plan_of(scenario, labels, seed, experiences=2)
    fewer = plan_of(scenario, labels, seed, experiences=2, samples=samples)
    for everything, some in zip(whole.tasks, fewer.tasks, strict=True):
        assert len(some.train) == min(samples, len(everything.train))
        assert len(set(some.train.tolist())) == len(some.train)
        assert set(some.train.tolist()) <= set(everything.train.tolist())
        assert some.test.tolist() == everything.test.tolist()


def test_which_samples_are_drawn_depends_on_the_seed() -> None:
    options = {"class_order": "natural", "samples": 10}
    drawn = [plan_of("class-incremental", TEN, s, **options).tasks[0].train for s in range(4)]
    assert len({tuple(sorted(positions.tolist())) for positions in drawn}) == 4


@pytest.mark.parametrize("scenario", SCENARIOS)
@given(
    labels=label_vectors(least=4),
    seed=st.integers(0, 1000),
    share=st.floats(0.05, 0.5),
    experiences=st.integers(1, 2),
)
def test_validation_is_held_out_by_class(
    scenario: str, labels: Labels, seed: int, share: float, experiences: int
) -> None:
    whole = plan_of(scenario, labels, seed, experiences=experiences)
    plan = plan_of(scenario, labels, seed, experiences=experiences, validation=share)
    assert plan.held_out
    assert plan.class_order == whole.class_order
    for everything, task in zip(whole.tasks, plan.tasks, strict=True):
        train, held = task.train.tolist(), task.test.tolist()
        assert not set(train) & set(held)
        assert sorted([*train, *held]) == sorted(everything.train.tolist())
        for label in set(labels.train[everything.train].tolist()):
            total = int((labels.train == label).sum())
            count = int((labels.train[held] == label).sum())
            assert 1 <= count < total
            assert abs(count - share * total) <= 1  # stratified, up to rounding


@pytest.mark.parametrize(
    ("least", "share", "held"), [(2, 0.01, 1), (2, 0.5, 1), (3, 0.8, 2), (1, 0.1, 0), (2, 0.9, 0)]
)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_class_is_held_out_and_kept_or_the_share_is_refused(
    scenario: str, least: int, share: float, held: int
) -> None:
    """Class 2 has few samples; ``held`` 0 means that it cannot be on both sides."""
    train = np.repeat(np.arange(4), [40, 40, least, 40])
    labels = Labels(train, np.arange(4), 4)
    options: dict[str, Any] = {"experiences": 2, "validation": share}
    if not held:
        with pytest.raises(UsageError) as caught:
            plan_of(scenario, labels, **options)
        words = (f"validation={share}", "class 2", "without samples to train on", f"has {least}")
        assert all(word in str(caught.value) for word in words), caught.value
        return
    tasks = plan_of(scenario, labels, **options).tasks
    assert sum((train[task.test] == 2).sum() for task in tasks) == held
    assert sum((train[task.train] == 2).sum() for task in tasks) == least - held


def test_validation_is_seeded_and_shared_by_all_domains() -> None:
    options = {"shift": "permuted", "experiences": 3, "validation": 0.2}
    held = []
    for seed in range(3):
        tasks = plan_of("domain-incremental", TEN, seed, **options).tasks
        sets = {tuple(sorted(task.test.tolist())) for task in tasks}
        assert len(sets) == 1  # no image is trained on in one domain and tested on in another
        held.append(sets.pop())
    assert len(set(held)) == 3


def test_samples_leave_the_validation_alone() -> None:
    few = plan_of("class-incremental", TEN, validation=0.2, samples=3)
    whole = plan_of("class-incremental", TEN, validation=0.2)
    for some, everything in zip(few.tasks, whole.tasks, strict=True):
        assert len(some.train) == 3
        assert some.test.tolist() == everything.test.tolist()


def stream_with_validation(scenario: str, shift: str) -> Stream:
    """Return a stream of numbered images, 0…59 for training, 60…79 for test."""
    data = numbered_dataset(TRAIN, TEST)
    options: dict[str, Any] = {"shift": shift} if scenario == "domain-incremental" else {}
    return stream_of(scenario, data, validation=0.2, **options)


@pytest.mark.parametrize(
    ("scenario", "shift"),
    [("class-incremental", ""), ("task-incremental", "")]
    + [("domain-incremental", shift) for shift in ("split", "permuted")],
)
def test_the_matrix_comes_from_validation_and_test_images_stay_untouched(
    scenario: str, shift: str
) -> None:
    """Each image is filled with its number, which neither shift changes."""
    stream = stream_with_validation(scenario, shift)
    spy = Spy()
    spy.setup(stream.info)
    outcome = Outcome()
    run_stream(stream, spy, outcome)
    learnt = {int(x[0, 0, 0]) for e in spy.learnt for x in e.x}
    asked = {int(x[0, 0, 0]) for batch, _ in spy.asked for x in batch}
    assert learnt | asked == set(range(60))
    assert not learnt & asked
    assert len(asked) == 12
    assert outcome.matrix[-1].count(None) == 0


def test_without_validation_test_images_are_asked_and_never_learnt() -> None:
    stream = stream_of("class-incremental", numbered_dataset(TRAIN, TEST))
    spy = Spy()
    spy.setup(stream.info)
    run_stream(stream, spy, Outcome())
    assert {int(x[0, 0, 0]) for e in spy.learnt for x in e.x} == set(range(60))
    assert {int(x[0, 0, 0]) for batch, _ in spy.asked for x in batch} == set(range(60, 80))


def test_validation_labels_belong_to_their_images() -> None:
    data = numbered_dataset(TRAIN, TEST)
    stream = stream_of("class-incremental", data, validation=0.2)
    test = stream.test_set(len(stream))
    assert torch.equal(test.y, data.y_train[test.x[:, 0, 0, 0].long()])
    assert np.bincount(test.y.numpy()).tolist() == [2, 4, 2, 4]
