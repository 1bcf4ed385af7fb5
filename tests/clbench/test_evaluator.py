"""The evaluator: the matrix by hand, losses that break, one synchronisation a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from clbench import scoring
from clbench.errors import ClbenchError, NonFiniteLossError
from clbench.evaluator import Outcome, run_stream
from clbench.gradient import GradientParameters, GradientStrategy
from clbench.loss_trace import LossTrace
from clbench.scoring import Row
from clbench.stream import Stream
from tests.toys import SCENARIOS, Spy, stream_of, toy_dataset

UNEVEN = toy_dataset(test=(3, 1, 2, 4))
"""Natural order, two experiences: classes 0 and 1 with 3 and 1 test images, 2 and 3 with 2 and 4."""


class Turning(Spy):
    """Prefers the highest unit; after an odd number of experiences the lowest."""

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        logits = super().predict(x, task)
        return -logits if len(self.learnt) % 2 else logits


def matrix_of(stream: Stream, strategy: Spy | None = None) -> list[Row]:
    """Return the matrix of a spy."""
    spy = strategy or Turning()
    spy.setup(stream.info)
    outcome = Outcome()
    run_stream(stream, spy, outcome)
    return outcome.matrix


# The matrix.


@pytest.mark.parametrize(
    ("scenario", "options", "expected"),
    [
        # Highest seen unit, then the lowest of 0 and 1, then the highest of all.
        ("class-incremental", {}, [[None, None], [3 / 4, None], [0.0, 4 / 6]]),
        ("class-incremental", {"head": "all"}, [[0.0, 4 / 6], [3 / 4, 0.0], [0.0, 4 / 6]]),
        ("class-incremental", {"test_mask": "all"}, [[0.0, 4 / 6], [3 / 4, 0.0], [0.0, 4 / 6]]),
        ("class-incremental", {"train_mask": "all"}, [[None, None], [3 / 4, None], [0.0, 4 / 6]]),
        # The highest or lowest unit of the sample's own task.
        ("task-incremental", {}, [[1 / 4, 4 / 6], [3 / 4, 2 / 6], [1 / 4, 4 / 6]]),
        # Unit 1 stands for classes 1 and 3, unit 0 for classes 0 and 2.
        ("domain-incremental", {}, [[1 / 4, 4 / 6], [3 / 4, 2 / 6], [1 / 4, 4 / 6]]),
        # Every domain has every class.
        ("domain-incremental", {"shift": "permuted"}, [[0.4, 0.4], [0.3, 0.3], [0.4, 0.4]]),
    ],
)
def test_the_matrix_by_hand(scenario: str, options: dict[str, Any], expected: list[Row]) -> None:
    assert matrix_of(stream_of(scenario, UNEVEN, class_order="natural", **options)) == expected


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("chunk", [1, 3, 9])
def test_the_size_of_a_chunk_does_not_matter(
    scenario: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stream_of(scenario, UNEVEN)
    expected = matrix_of(stream)
    monkeypatch.setattr(scoring, "CHUNK", chunk)
    spy = Turning()
    assert matrix_of(stream, spy) == expected
    assert max(len(x) for x, _ in spy.asked) == chunk


def test_each_test_sample_is_asked_once_a_row() -> None:
    spy = Spy()
    matrix_of(stream_of("class-incremental", UNEVEN, class_order="natural"), spy)
    assert [len(x) for x, _ in spy.asked] == [4, 10]
    spy = Spy()
    matrix_of(stream_of("task-incremental", UNEVEN), spy)
    assert [len(x) for x, _ in spy.asked] == [10, 10, 10]


def test_hidden_boundaries_change_only_what_is_delivered() -> None:
    options = {"class_order": "natural", "online": True, "batch_size": 6}
    expected: list[Row] = [[None, None], [1 / 4, None], [0.0, 4 / 6]]
    for boundaries, pieces in ((True, 2), (False, 8)):
        spy = Spy()
        stream = stream_of("class-incremental", UNEVEN, boundaries=boundaries, **options)  # type: ignore[arg-type]
        assert matrix_of(stream, spy) == expected
        assert len(spy.learnt) == pieces


def test_progress_hears_of_every_row_and_step() -> None:
    heard: list[Any] = []

    class Listener:
        def step(self) -> None:
            heard.append("step")

        def experience(self, learnt: int, of: int, row: Row) -> None:
            heard.append((learnt, of, row))

        def trained(self, episodes: int, of: int, accuracy: float | None) -> None:
            raise AssertionError("a stream has no training episodes")

    class Stepping(Spy):
        def learn(self, experience: Any) -> None:
            super().learn(experience)
            self.on_step()

    stream = stream_of("class-incremental", UNEVEN, class_order="natural")
    spy = Stepping()
    spy.setup(stream.info)
    run_stream(stream, spy, Outcome(), Listener())
    assert heard == [
        (0, 2, [None, None]),
        "step",
        (1, 2, [1 / 4, None]),
        "step",
        (2, 2, [0.0, 4 / 6]),
    ]


# Losses and predictions that break.


class Breaking(GradientStrategy):
    """Its loss is not finite at one step of the whole stream, counted from 0."""

    at = 0
    value = float("nan")

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        loss = super().loss(network, batch)
        return loss * self.value if self.effort.steps == self.at else loss


def broken(stream: Stream, at: int, value: float = float("nan")) -> tuple[int, int, list[Row]]:
    """Return where a run broke, and the rows it left."""
    hyper = {"hidden": [4], "batch_size": 8, "epochs": 2}
    strategy = Breaking(GradientParameters.parse(hyper, "breaking"))
    strategy.at, strategy.value = at, value
    strategy.setup(stream.info)
    outcome = Outcome()
    with pytest.raises(NonFiniteLossError) as caught:
        run_stream(stream, strategy, outcome)
    assert f"experience {caught.value.experience}" in str(caught.value)
    assert f"step {caught.value.step}" in str(caught.value)
    assert caught.value.experience is not None
    return caught.value.experience, caught.value.step, outcome.matrix


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("at", "place"), [(0, (0, 0)), (5, (0, 5)), (6, (1, 0)), (9, (1, 3))])
def test_a_loss_that_breaks_is_placed(at: int, place: tuple[int, int], value: float) -> None:
    """24 samples an experience in batches of 8, twice: six steps each. Both count from 0."""
    experience, step, matrix = broken(stream_of("class-incremental"), at, value)
    assert (experience, step) == place
    assert len(matrix) == experience + 1  # the rows before it stay


@pytest.mark.parametrize("boundaries", [True, False])
@pytest.mark.parametrize(("at", "place"), [(0, (0, 0)), (3, (0, 3)), (4, (1, 0)), (6, (1, 2))])
def test_a_loss_that_breaks_online_is_placed(
    at: int, place: tuple[int, int], boundaries: bool
) -> None:
    """24 samples an experience in batches of 7: four steps each, whether announced or not."""
    stream = stream_of("class-incremental", online=True, batch_size=7, boundaries=boundaries)
    assert broken(stream, at)[:2] == place


@pytest.mark.parametrize("bad", [None, 0, 700, 1023, 1024, 1500])
def test_loss_trace_finds_the_first_of_many(bad: int | None) -> None:
    trace = LossTrace()
    for step in range(1600):
        finite = bad is None or step not in (bad, bad + 50)
        trace.add(torch.tensor(1.0 if finite else float("nan")))
    found = trace.first_bad()
    assert found is not None
    assert found.dtype == torch.int64
    assert int(found) == (-1 if bad is None else bad)
    assert LossTrace().first_bad() is None


def test_predictions_that_are_nan_are_an_error() -> None:
    class Undecided(Spy):
        def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
            logits = super().predict(x, task).clone()
            if len(self.learnt) == 1:
                logits[-1, 0] = float("nan")
            return logits

    stream = stream_of("task-incremental", UNEVEN)
    spy = Undecided()
    spy.setup(stream.info)
    outcome = Outcome()
    with pytest.raises(ClbenchError, match=r"NaN or infinite after 1 experience$"):
        run_stream(stream, spy, outcome)
    assert len(outcome.matrix) == 1


@pytest.mark.parametrize(
    ("own", "refused"),
    [((-torch.inf, -torch.inf), True), ((0.0, torch.inf), True), ((0.0, -torch.inf), False)],
)
def test_a_learner_says_something_of_the_tasks_it_has_learnt(
    own: tuple[float, float], refused: bool
) -> None:
    """Of those it has not it may say −∞ for every unit, as one without exemplars does."""

    class Silent(Spy):
        def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
            assert task is not None
            logits = torch.full((len(x), self.info.classes), -torch.inf)
            if self.learnt:
                logits[task == 0, :2] = torch.tensor(own)
            if len(self.learnt) == 2:
                logits[task == 1, 2:] = 0.0
            return logits

    stream = stream_of("task-incremental", UNEVEN, class_order="natural")
    spy = Silent()
    spy.setup(stream.info)
    if refused:
        with pytest.raises(ClbenchError, match=r"NaN or infinite after 1 experience$"):
            run_stream(stream, spy, Outcome())
    else:
        run_stream(stream, spy, Outcome())


@pytest.mark.parametrize("scores", [(-1e30, -1e30, 0.0, 0.0), (-torch.inf, -torch.inf, 0.0, 0.0)])
def test_a_unit_that_does_not_compete_is_never_the_answer(scores: tuple[float, ...]) -> None:
    """Even if no competing unit has a finite score."""

    spy = Spy()
    spy.scores = scores[::-1]  # units 2 and 3 have none; task 1 must not answer 0
    data = toy_dataset(test=(4, 4, 4, 4))
    (row, *_) = matrix_of(stream_of("task-incremental", data, class_order="natural"), spy)
    assert row == [0.5, 0.5]


# Synchronisation.


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that make the host wait for a device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = str(func).split(".")[1]
        indices = args[1] if name in ("index", "index_put", "index_put_") else []
        by_mask = any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices)
        if by_mask or name in ("_local_scalar_dense", "nonzero", "bincount", "masked_select"):
            self.seen.append(f"{name} by mask" if by_mask else name)
        return func(*args, **(kwargs or {}))


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Count what would make the host wait, were the tensors on a GPU."""
    with monkeypatch.context() as patch, Waits() as waits:
        for name in ("tolist", "cpu", "numpy"):
            original = getattr(Tensor, name)

            def watched(self: Tensor, *args: Any, _o: Any = original, _n: str = name) -> Any:
                waits.seen.append(_n)
                return _o(self, *args)

            patch.setattr(Tensor, name, watched)
        yield waits.seen


def test_the_count_sees_every_kind_of_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor([1, 0, 2])
    with counted(monkeypatch) as seen:
        x.tolist()
        x[0].item()
        bool(x[0])
        x[x > 0].cpu().numpy()
        x.bincount()
    scalars = ["_local_scalar_dense"] * 2
    assert seen == ["tolist", *scalars, "index by mask", "cpu", "numpy", "bincount"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_row_waits_for_the_device_once(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(scenario, UNEVEN)
    monkeypatch.setattr(scoring, "CHUNK", 4)
    with counted(monkeypatch) as seen:
        matrix_of(stream)
    assert seen == ["tolist"] * 3
