"""What a strategy holds: no test image and no other experience's image can be reached from it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from clbench.experience import Experience
from clbench.seeds import Seeds
from clbench.stream import Stream
from tests.toys import SCENARIOS, STRATEGIES, make, numbered_dataset, runnable, stream_of

TRAIN, TEST = (10, 10, 10, 10), (4, 4, 4, 4)
DATA = numbered_dataset(TRAIN, TEST)
"""Images 0…39 for training and 40…55 for test; every byte of an image is its number."""


def reachable(*roots: object) -> Iterator[Tensor]:
    """Yield every tensor that can be reached by attributes, items, closures and cells.

    Modules, classes and functions' globals are left out: they are the program, not what it holds.
    """
    todo, done = list(roots), set[int]()
    while todo:
        item = todo.pop()
        if id(item) in done or isinstance(item, (type, ModuleType, BuiltinFunctionType)):
            continue
        done.add(id(item))
        if isinstance(item, Tensor):
            yield item
            todo += [item.grad] if item.is_leaf else []
        if isinstance(item, FunctionType):
            todo += [cell.cell_contents for cell in item.__closure__ or ()]
            todo += [item.__defaults__]
        else:
            todo += gc.get_referents(item)
    assert len(done) > 1


def numbers(tensor: Tensor) -> set[int]:
    """Return the numbers of the images in a tensor: stored or normalised, as maps or as vectors.

    Of stored images the whole storage counts, beyond the view as well.
    """
    if tensor.dtype == torch.uint8 and tensor.shape[1:] == DATA.shape:
        return set(torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).tolist())
    pixels = DATA.shape[1] * DATA.shape[2]
    vectors = tensor.detach().flatten(-3) if tensor.shape[-3:] == DATA.shape else tensor.detach()
    if not tensor.is_floating_point() or vectors.shape[-1:] != (pixels,):
        return set()
    found = (vectors.reshape(-1, pixels) * DATA.std[0] + DATA.mean[0]) * 255
    whole = (found - found[:, :1].round()).abs().max(1).values < 1e-2
    return {int(number) for number in found[whole, 0].round()}


def image_numbers(*roots: object) -> set[int]:
    """Return the numbers of all images that can be reached."""
    return set().union(*(numbers(tensor) for tensor in reachable(*roots)))


def datasets_storages(stream: Stream) -> set[int]:
    """Return where the tensors of the dataset and of the union of the test sets lie."""
    test = stream.test_set(len(stream))
    data = (DATA.x_train, DATA.y_train, DATA.x_test, DATA.y_test, test.x, test.y, test.task)
    return {tensor.untyped_storage().data_ptr() for tensor in data}


def streams(scenario: str) -> list[Stream]:
    """Return every way to deliver a scenario."""
    ways: list[dict[str, Any]] = [{}, {"online": True}, {"validation": 0.2}, {"samples": 12}]
    if scenario != "task-incremental":
        ways.append({"online": True, "boundaries": False})
    if scenario == "domain-incremental":
        ways.append({"shift": "permuted"})
    return [stream_of(scenario, DATA, **way) for way in ways]


def test_the_walk_finds_what_is_hidden() -> None:
    """The walk itself must be able to fail: an attribute, a closure, a bound method, a view."""
    x = DATA.x_train[:3].clone()

    class Holder:
        def __init__(self) -> None:
            self.kept = {"list": [(x[:1],)]}

        def method(self) -> None: ...

    def closure() -> Tensor:
        return x

    for root in (Holder(), Holder().method, closure, [x[2:]], iter([x])):
        assert image_numbers(root) == {0, 1, 2}
    normalised = stream_of("class-incremental", DATA).info.normalise(DATA.x_test)
    for held in (normalised, [normalised.flatten(1)]):
        assert image_numbers(held) == set(range(40, 56))
    assert image_numbers(torch.randn(500, 4), torch.zeros(9, 4), torch.ones(9, 1, 2, 2)) == set()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_experience_holds_its_own_images_only(scenario: str) -> None:
    for stream in streams(scenario):
        foreign = datasets_storages(stream)
        for index, task in enumerate(stream.plan.tasks):
            own = set(task.train.tolist())
            pieces = list(stream.deliver(index))
            assert set().union(*(image_numbers(piece) for piece in pieces)) == own
            for piece in pieces:
                assert image_numbers(piece) == set(piece.x[:, 0, 0, 0].tolist())
                for tensor in reachable(piece):
                    assert tensor.untyped_storage().data_ptr() not in foreign
                    assert tensor.untyped_storage().nbytes() == tensor.nbytes  # a view of nothing


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_experiences_share_no_storage(scenario: str) -> None:
    for stream in streams(scenario):
        kept: list[Experience] = []
        for index in range(len(stream)):
            kept += stream.deliver(index)
        for field in ("x", "y", "group", "priority"):
            pointers = [getattr(e, field).untyped_storage().data_ptr() for e in kept]
            assert len(set(pointers)) == len(pointers)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_stream_info_holds_no_image(scenario: str) -> None:
    for stream in streams(scenario):
        assert image_numbers(stream.info) == set()
        for tensor in reachable(stream.info):
            assert tensor.numel() <= DATA.shape[0]
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_strategy_keeps_no_image_but_its_exemplars(scenario: str, name: str) -> None:
    for stream in streams(scenario):
        if not runnable(name, stream.info):
            continue
        foreign = datasets_storages(stream)
        strategy = make(name, stream.info)
        delivered: set[int] = set()
        for index in range(len(stream)):
            for experience in stream.deliver(index):
                delivered |= set(experience.x[:, 0, 0, 0].tolist())
                strategy.learn(experience)
            del experience
            test = stream.test_set(len(stream))
            with torch.no_grad():
                strategy.predict(test.x, test.task if stream.info.tells_task else None)
            memory = strategy.memory
            kept = set() if memory is None else set(memory.x[:, 0, 0, 0].tolist())
            assert kept <= delivered
            empty = {0} if memory is not None and memory.policy == "reservoir" else set()
            assert image_numbers(strategy) - empty == kept - empty  # its empty rows are black
            for tensor in reachable(strategy):
                assert tensor.untyped_storage().data_ptr() not in foreign


# Exemplars and seeds.


def exemplars(name: str, seeds: Seeds, scenario: str, **hyper: Any) -> list[list[int]]:
    """Return the numbers of the exemplars after each experience."""
    stream = stream_of(scenario, DATA, seeds, experiences=2)
    strategy = make(name, stream.info, memory_size=12, **hyper)
    kept = []
    for index in range(len(stream)):
        for experience in stream.deliver(index):
            strategy.learn(experience)
        assert strategy.memory is not None
        kept.append(sorted(strategy.memory.x[:, 0, 0, 0].tolist()))
    return kept


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("policy", ["balanced", "reservoir"])
def test_one_seed_gives_every_strategy_the_identical_exemplars(policy: str, scenario: str) -> None:
    kept = [
        exemplars(name, Seeds.of(0, train=train, init=train), scenario, memory_policy=policy)
        for name in ("replay", "nearest")
        for train in (0, 1)
    ]
    assert kept[0] == kept[1] == kept[2] == kept[3]
    assert [len(numbers) for numbers in kept[0]] == [12, 12]
    other = exemplars("replay", Seeds.of(0, memory=1), scenario, memory_policy=policy)
    assert other[0] != kept[0][0]


def test_the_memory_seed_leaves_order_and_split_alone() -> None:
    first, second = (stream_of("class-incremental", DATA, Seeds.of(0, memory=m)) for m in (0, 1))
    assert first.plan.class_order == second.plan.class_order
    for index in range(2):
        (a,), (b,) = first.deliver(index), second.deliver(index)
        assert torch.equal(a.x, b.x)
        assert not torch.equal(a.priority, b.priority)
    assert torch.equal(first.test_set(2).x, second.test_set(2).x)
