"""The stream: labels, heads, masks, what is told to whom, and hidden boundaries."""

from __future__ import annotations

import inspect
from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest
import torch

from clbench.evaluator import Outcome, run_stream
from clbench.experience import Experience, Normalise, StreamInfo, masked
from clbench.seeds import Seeds
from tests.toys import SCENARIOS, Spy, numbered_dataset, stream_of, toy_dataset

NATURAL: dict[str, Any] = {"class_order": "natural", "sizes": [1, 2, 1]}
SEEN = ["0000", "1000", "1110", "1111"]


def bits(mask: torch.Tensor) -> str:
    """Return a mask of units as a word."""
    return "".join(str(int(unit)) for unit in mask)


def watched(scenario: str, **options: Any) -> Spy:
    """Return a spy that went through a whole stream."""
    stream = stream_of(scenario, **options)
    spy = Spy()
    spy.setup(stream.info)
    run_stream(stream, spy, Outcome())
    return spy


# Heads and masks.


@pytest.mark.parametrize(
    ("options", "train_seen", "test_seen"),
    [
        ({}, True, True),
        ({"head": "all"}, False, False),
        ({"test_mask": "all"}, True, False),
        ({"train_mask": "all"}, False, True),
        ({"head": "all", "train_mask": "seen"}, True, False),
    ],
)
def test_class_incremental_masks(
    options: dict[str, Any], train_seen: bool, test_seen: bool
) -> None:
    stream = stream_of("class-incremental", **NATURAL, **options)
    train = [bits(e.mask) for index in range(3) for e in stream.deliver(index)]
    assert train == (SEEN[1:] if train_seen else ["1111"] * 3)
    for learnt in range(4):
        expected = SEEN[learnt] if test_seen else "1111"
        assert [bits(mask) for mask in stream.test_masks(learnt)] == [expected] * 3
    defined = [stream.defined_tasks(learnt) for learnt in range(4)]
    assert defined == ([0, 1, 2, 3] if test_seen else [3] * 4)


def test_task_incremental_masks_are_the_tasks_units_always() -> None:
    stream = stream_of("task-incremental", **NATURAL)
    units = ["1000", "0110", "0001"]
    assert [bits(e.mask) for index in range(3) for e in stream.deliver(index)] == units
    for learnt in range(4):
        assert [bits(mask) for mask in stream.test_masks(learnt)] == units
        assert stream.defined_tasks(learnt) == 3


@pytest.mark.parametrize("options", [{"sizes": [2, 2]}, {"shift": "permuted"}])
def test_domain_incremental_masks_nothing(options: dict[str, Any]) -> None:
    stream = stream_of("domain-incremental", **options)
    assert all(e.mask.all() for index in range(2) for e in stream.deliver(index))
    for learnt in range(3):
        assert stream.test_masks(learnt).all()
        assert stream.defined_tasks(learnt) == 2


def test_masks_follow_the_class_order() -> None:
    stream = stream_of("class-incremental", class_order=[2, 0, 3, 1], sizes=[2, 2])
    assert [bits(e.mask) for index in range(2) for e in stream.deliver(index)] == ["1010", "1111"]


def test_masked_leaves_minus_infinity_where_nothing_competes() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    one = masked(logits, torch.tensor([False, True, True]))
    assert one.argmax(1).tolist() == [2, 2]
    assert one[0].tolist() == [-torch.inf, 1.0, 2.0]
    each = masked(logits, torch.tensor([[True, True, False], [True, False, False]]))
    assert each.argmax(1).tolist() == [0, 0]
    assert masked(logits, None) is logits
    assert logits[0].tolist() == [3.0, 1.0, 2.0]


# Labels and groups.


def test_a_domain_label_is_the_position_in_the_tasks_class_list() -> None:
    data = numbered_dataset((3, 3, 3, 3), (1, 1, 1, 1))
    stream = stream_of("domain-incremental", data, class_order=[2, 0, 3, 1], sizes=[2, 2])
    unit = {2: 0, 0: 1, 3: 0, 1: 1}
    assert stream.info.classes == 2
    for index in range(2):
        (experience,) = stream.deliver(index)
        classes = data.y_train[experience.x[:, 0, 0, 0].long()]
        assert experience.y.tolist() == [unit[int(c)] for c in classes]
        assert experience.group.tolist() == [unit[int(c)] + 2 * index for c in classes]
    test = stream.test_set(2)
    classes = data.y_test[test.x[:, 0, 0, 0].long() - 12]
    assert test.y.tolist() == [unit[int(c)] for c in classes]
    assert test.task.tolist() == [int(c in (3, 1)) for c in classes.tolist()]


@pytest.mark.parametrize("scenario", ["class-incremental", "task-incremental"])
def test_a_unit_is_a_class_where_classes_are_disjoint(scenario: str) -> None:
    data = numbered_dataset((3, 3, 3, 3), (1, 1, 1, 1))
    stream = stream_of(scenario, data)
    assert stream.info.classes == 4
    for index in range(2):
        (experience,) = stream.deliver(index)
        assert torch.equal(experience.y, data.y_train[experience.x[:, 0, 0, 0].long()])
        row = index if scenario == "task-incremental" else 0  # groups are (task, class) or class
        assert torch.equal(experience.group, experience.y + 4 * row)


# Who is told the task.


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_task_is_told_in_task_incremental_streams_only(scenario: str) -> None:
    spy = watched(scenario)
    tells = scenario == "task-incremental"
    assert spy.info.tells_task == tells
    assert [e.index for e in spy.learnt] == [0, 1]
    assert [e.task for e in spy.learnt] == ([0, 1] if tells else [None, None])
    assert spy.asked
    for x, task in spy.asked:
        if tells:
            assert task is not None
            assert task.dtype == torch.int64
            assert task.shape == (len(x),)
        else:
            assert task is None


def test_the_told_task_is_that_of_the_image() -> None:
    data = numbered_dataset((3, 3, 3, 3), (2, 2, 2, 2))
    stream = stream_of("task-incremental", data, class_order="natural")
    spy = Spy()
    spy.setup(stream.info)
    run_stream(stream, spy, Outcome())
    for x, task in spy.asked:
        assert task is not None
        assert task.tolist() == [int(number >= 12 + 4) for number in x[:, 0, 0, 0]]


@pytest.mark.parametrize("options", [{"sizes": [2, 2]}, {"shift": "permuted", "experiences": 3}])
@pytest.mark.parametrize("scenario", ["class-incremental", "domain-incremental"])
def test_test_examples_are_mixed_where_the_task_is_hidden(
    scenario: str, options: dict[str, Any]
) -> None:
    if scenario == "class-incremental":
        options = {"sizes": [2, 2]}
    data = toy_dataset(test=(20, 20, 20, 20))
    orders = []
    for seed in (0, 0, 1):
        stream = stream_of(scenario, data, Seeds.of(seed, init=5), **options)
        task = stream.test_set(len(stream)).task.tolist()
        changes = sum(a != b for a, b in pairwise(task))
        assert changes > len(task) / 4  # about half of all neighbours, if mixed well
        orders.append(task)
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_first_test_sets_are_a_part_of_the_whole(scenario: str) -> None:
    stream = stream_of(scenario, experiences=4 if scenario != "domain-incremental" else 2)
    whole = stream.test_set(len(stream))
    for tasks in range(len(stream) + 1):
        part = stream.test_set(tasks)
        keep = whole.task < tasks
        assert torch.equal(part.x, whole.x[keep])
        assert torch.equal(part.y, whole.y[keep])
        assert torch.equal(part.task, whole.task[keep])


# Hidden boundaries.


@pytest.mark.parametrize("scenario", ["class-incremental", "domain-incremental"])
def test_without_boundaries_nameless_pieces_arrive(scenario: str) -> None:
    options: dict[str, Any] = {"online": True, "batch_size": 7, "experiences": 2}
    hidden = stream_of(scenario, boundaries=False, **options)
    announced = stream_of(scenario, **options)
    assert hidden.info.experiences is None
    assert not hidden.info.boundaries
    assert announced.info.experiences == 2
    for index in range(2):
        (whole,) = announced.deliver(index)
        pieces = list(hidden.deliver(index))
        assert [len(p) for p in pieces] == [7, 7, 7, 3]
        assert {(p.index, p.task) for p in pieces} == {(None, None)}
        assert torch.equal(torch.cat([p.x for p in pieces]), whole.x)
        assert torch.equal(torch.cat([p.y for p in pieces]), whole.y)
        assert torch.equal(torch.cat([p.priority for p in pieces]), whole.priority)
        assert all(int(p.group.max()) < hidden.info.classes for p in pieces)  # no domain told


def test_without_boundaries_the_mask_holds_what_was_delivered_and_no_more() -> None:
    stream = stream_of("class-incremental", online=True, boundaries=False, batch_size=1)
    delivered = torch.zeros(4, dtype=torch.bool)
    masks = []
    for index in range(2):
        for piece in stream.deliver(index):
            delivered[piece.y] = True
            assert torch.equal(piece.mask, delivered)
            masks.append(bits(piece.mask))
    assert len(set(masks)) == 4


def test_without_boundaries_head_all_masks_nothing() -> None:
    stream = stream_of("class-incremental", online=True, boundaries=False, head="all")
    assert all(piece.mask.all() for index in range(2) for piece in stream.deliver(index))


# What a strategy knows beforehand.


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_stream_info(scenario: str) -> None:
    info = stream_of(scenario, toy_dataset(shape=(3, 4, 6)), Seeds.of(3)).info
    assert info.shape == (3, 4, 6)
    assert info.dtype == torch.uint8
    assert info.classes == (2 if scenario == "domain-incremental" else 4)
    assert info.shares_labels == (scenario == "domain-incremental")
    assert info.experiences == 2
    assert info.rows == (2 if scenario == "task-incremental" else 1)
    assert info.seeds == Seeds(3, 3, 3, 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalise(dtype: torch.dtype) -> None:
    x = torch.tensor([0, 51, 255]).to(dtype).view(3, 1, 1, 1).expand(3, 2, 4, 4).contiguous()
    before = x.clone()
    mean, std = torch.tensor([0.2, 0.5]).view(2, 1, 1), torch.tensor([0.5, 2.0]).view(2, 1, 1)
    found = Normalise(mean, std)(x)
    scaled = x.double() / (255 if dtype == torch.uint8 else 1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), (scaled - mean.double()) / std.double())
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", [Experience, StreamInfo])
def test_help_says_what_every_field_is(kind: type) -> None:
    told = inspect.getdoc(kind) or ""
    for field in fields(kind):
        assert f"\n    {field.name}: " in told
