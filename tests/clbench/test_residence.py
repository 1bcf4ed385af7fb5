"""Where images lie: what is decided, what is said, and that the host's way gives the same bits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from clbench import episode_stream, residence, scoring, stream
from clbench.base_split import base_of
from clbench.errors import ClbenchError
from clbench.evaluator import Anytime, Outcome, run_stream
from clbench.residence import Hosted, fits
from clbench.scenario import Indices, Task
from clbench.seeds import Seeds
from clbench.specify import build_stream, scenario_class
from clbench.stream import Stream
from tests.toys import make, numbered_dataset, stream_of, toy_dataset

CPU = torch.device("cpu")
DATA = toy_dataset()  # 48 images of 16 bytes for training, 20 for test
TASKS = [
    Task(np.arange(24), np.arange(10), np.arange(4)),
    Task(np.arange(24, 48), np.arange(10, 20), np.arange(4)),
]
NEEDED = (48 + 20 + 3 * 20) * 16 + 24 * (16 + 4 * 16)

WAYS: list[tuple[str, dict[str, Any]]] = [
    ("domain-incremental", {"shift": "split"}),
    ("domain-incremental", {"shift": "permuted", "experiences": 3}),
    ("domain-incremental", {"shift": "rotated", "experiences": 3}),
    ("domain-incremental", {"shift": "permuted", "online": True, "boundaries": False}),
    ("task-incremental", {}),
    ("task-incremental", {"validation": 0.25}),
    ("class-incremental", {}),
    ("class-incremental", {"experiences": 4, "samples": 7}),
    ("class-incremental", {"base_classes": 2}),
]


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no room on the device but for an experience."""
    residence._say_once.cache_clear()
    monkeypatch.setattr(residence, "free_bytes", lambda _: 24 * 16)


def both(
    monkeypatch: pytest.MonkeyPatch, scenario: str, options: dict[str, Any]
) -> tuple[Stream, Stream]:
    """Return a stream twice: its images on the device, and on the host."""
    resident = stream_of(scenario, DATA, **options)
    monkeypatch.setattr(stream, "fits", lambda *_: False)
    hosted = stream_of(scenario, DATA, **options)
    assert isinstance(hosted._train, Hosted)
    assert not isinstance(resident._train, Hosted)
    return resident, hosted


# What is decided.


def test_on_a_cpu_everything_fits() -> None:
    assert residence.free_bytes(CPU) is None
    assert fits(DATA, CPU, TASKS)


@pytest.mark.parametrize(("free", "fit"), [(NEEDED / 0.8 + 1, True), (NEEDED / 0.8 - 1, False)])
def test_images_must_leave_a_fifth_of_the_free_memory(
    free: float, fit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residence, "free_bytes", lambda _: free)
    assert fits(DATA, CPU, TASKS) == fit


def test_an_experience_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residence, "free_bytes", lambda _: 24 * 16 - 1)
    with pytest.raises(ClbenchError, match=r"^the largest experience has .* GB of images and cpu"):
        fits(DATA, CPU, TASKS)


@pytest.mark.usefixtures("low")
def test_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            stream_of("task-incremental", DATA)
    (record,) = caplog.records
    assert record.getMessage() == (
        "dataset toy does not fit into the free memory of cpu: its images stay in main memory and"
        " are copied as they are needed"
    )


# The same bits.


@pytest.mark.parametrize(("scenario", "options"), WAYS)
def test_experiences_and_test_sets_are_the_same(
    scenario: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resident, hosted = both(monkeypatch, scenario, options)
    for index in range(len(resident)):
        for one, other in zip(resident.deliver(index), hosted.deliver(index), strict=True):
            for name in ("x", "y", "mask", "group", "priority"):
                assert torch.equal(getattr(one, name), getattr(other, name)), name
    for tasks in range(len(resident) + 1):
        for samples in (None, 3) if tasks else (None,):
            sets = [s.sampled_test_set(tasks, samples) for s in (resident, hosted)]
            for name in ("x", "y", "task"):
                assert torch.equal(*(getattr(found, name) for found in sets)), name
            for parts in zip(*(found.chunks(7) for found in sets), strict=True):
                assert all(torch.equal(*pair) for pair in zip(*parts, strict=True))
    bases = [base_of(s) for s in (resident, hosted)]
    if bases[0] is not None and bases[1] is not None:
        assert torch.equal(bases[0].x, bases[1].x)


@pytest.mark.parametrize(("scenario", "options"), WAYS)
def test_matrices_are_the_same(
    scenario: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 7)
    outcomes = []
    for one in both(monkeypatch, scenario, options):
        outcomes.append(Outcome())
        strategy = make("replay", one.info, memory_size=8)
        run_stream(one, strategy, outcomes[-1], anytime=Anytime(every=5, samples=4))
    assert outcomes[0].matrix == outcomes[1].matrix
    assert outcomes[0].trace == outcomes[1].trace


@pytest.mark.parametrize("rotations", ["none", "all"])
def test_episodes_are_the_same(rotations: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, _ = scenario_class("episodic")
    given = {"ways": 2, "shots": 1, "queries": 2, "episodes": 4, "test_episodes": 3}
    options = kind.Options.parse({**given, "rotations": rotations}, "episodic")
    data = toy_dataset(train=(12,) * 12, test=(5,) * 12)
    drawn = []
    for fit in (True, False):
        monkeypatch.setattr(episode_stream, "fits", lambda *_, fit=fit: fit)
        found = build_stream(kind, options, data, "episodic", Seeds.of(0), "cpu", None)
        assert not isinstance(found, Stream)
        drawn.append([*found.training().batches(2), *found.test_episodes()])
    for one, other in zip(*drawn, strict=True):
        assert torch.equal(one.targets, other.targets)
        for name in ("support", "labels", "query"):
            assert torch.equal(getattr(one.episodes, name), getattr(other.episodes, name))


# What is fetched, and when.


class Noted(Hosted):
    """Notes what it fetches."""

    def _fetch(self, rows: Indices) -> torch.Tensor:
        FETCHED.append(rows.tolist())
        return super()._fetch(rows)


FETCHED: list[list[int]] = []


def test_what_comes_next_is_fetched_before_it_is_asked_for() -> None:
    FETCHED.clear()
    data = numbered_dataset((9,), (1,))
    images, first, second = Noted(data.x_train, CPU), np.array([4, 2]), np.array([7])
    assert images.take(first, then=second)[:, 0, 0, 0].tolist() == [4, 2]
    assert images._coming is not None
    images._coming[1].result(timeout=10)
    assert FETCHED == [[4, 2], [7]]
    assert images.take(second)[:, 0, 0, 0].tolist() == [7]
    assert FETCHED == [[4, 2], [7]]


def test_what_was_not_announced_is_fetched_all_the_same() -> None:
    data = numbered_dataset((9,), (1,))
    images = Hosted(data.x_train, CPU)
    images.take(np.array([0]), then=np.array([1]))
    assert images.take(np.array([1, 5]))[:, 0, 0, 0].tolist() == [1, 5]
    assert images.take(np.array([3]))[:, 0, 0, 0].tolist() == [3]


def test_each_experience_is_fetched_once_and_test_sets_only_in_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FETCHED.clear()
    monkeypatch.setattr(scoring, "CHUNK", 3)
    monkeypatch.setattr(stream, "Hosted", Noted)
    _, hosted = both(monkeypatch, "task-incremental", {})
    run_stream(hosted, make("finetune", hosted.info, epochs=1), Outcome())
    trained = [task.train.tolist() for task in hosted.plan.tasks]
    assert [rows for rows in FETCHED if len(rows) > 3] == trained
    assert sum(len(rows) for rows in FETCHED if len(rows) <= 3) == 3 * 20  # three rows


def test_a_failure_to_fetch_is_raised_where_it_is_asked_for() -> None:
    images = Hosted(DATA.x_train, CPU)
    images.take(np.array([0]), then=(beyond := np.array([99])))
    with pytest.raises(IndexError):
        images.take(beyond)


def test_on_a_gpu_it_is_gathered_into_pinned_memory_and_copied_on_a_stream_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The calls alone, on a CPU: there may be no GPU here."""
    done: list[Any] = []

    class Side:
        def synchronize(self) -> None:
            done.append("waited")

    @contextmanager
    def inside(side: Side) -> Iterator[None]:
        done.append("side")
        yield
        done.append("usual")

    def empty(shape: Any, *, pin_memory: bool, **said: Any) -> torch.Tensor:
        done.append(f"pinned {pin_memory}")
        return torch.zeros(shape, **said)

    images = Hosted(numbered_dataset((9,), (1,)).x_train, CPU)
    monkeypatch.setattr(images, "_side", Side())
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch.cuda, "stream", inside)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: ("learning on", device))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda _, user: done.append(user))
    assert images.take(np.array([5, 1]))[:, 0, 0, 0].tolist() == [5, 1]
    assert done == ["pinned True", "side", "usual", "waited", ("learning on", CPU)]
