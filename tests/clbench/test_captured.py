"""Captured steps, alone and in a stack: what they do beside the graph itself, which a CUDA device alone can record."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from clbench.captured import CapturedSteps, capture_steps, uncaptured_because
from clbench.cli import main
from clbench.graphs import WARM_UP, Record, Work, record_graph
from clbench.seeds import Seeds
from clbench.stream import Stream
from clbench.together import Together
from tests.toys import STRATEGIES, make, stream_of, toy_dataset, unprepared

CAPTURED = {"finetune", "joint", "replay", "lwf", "mann"}
MANN = {
    "controller": 8,
    "slots": 8,
    "slot_size": 8,
    "heads": 2,
    "shots": 1,
    "episodes": 64,
    "meta_batch": 4,
}


def hyper_of(name: str) -> dict[str, Any]:
    return MANN if name == "mann" else {"batch_size": 8, "epochs": 4}


def of_the_host(*_: Any, **__: Any) -> Any:
    raise AssertionError("a graph cannot record a tensor made of numbers")


class Recorder:
    """Repeats the work itself instead of its kernels."""

    def __init__(self) -> None:
        self.recorded, self.repeated = 0, 0

    def __call__(self, work: Work) -> Work:
        self.recorded += 1

        def again() -> None:
            self.repeated += 1
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch, "tensor", of_the_host)
                work()

        return again


def learn(strategy: Any, stream: Stream) -> None:
    for index in range(len(stream)):
        for experience in stream.deliver(index):
            strategy.learn(experience)


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("mann", "adam"), *product(sorted(CAPTURED - {"mann"}), ["adam", "sgd"])],
)
@pytest.mark.parametrize("scenario", ["class-incremental", "task-incremental"])
def test_replayed_steps_end_where_eager_ones_end(name: str, scenario: str, optimizer: str) -> None:
    """Batches of 8 of 41 to 62 samples: the last batch of a pass has a shape, and a graph, of its own."""
    stream = stream_of(scenario, toy_dataset(train=(41, 12, 30, 23)))
    hyper = hyper_of(name) | ({} if name == "mann" else {"optimizer": optimizer})
    eager, captured = (make(name, stream.info, **hyper) for _ in range(2))
    recorder = Recorder()
    captured.step = CapturedSteps(captured, recorder)  # type: ignore
    for strategy in (eager, captured):
        learn(strategy, stream)
    expected = eager.state_dict()["network"]
    for key, value in captured.state_dict()["network"].items():
        assert torch.equal(value, expected[key])
    assert captured.effort == eager.effort
    assert recorder.repeated == captured.effort.steps - WARM_UP * recorder.recorded - unrecorded(
        captured
    )


def test_replayed_steps_keep_to_the_precision() -> None:
    stream = stream_of("class-incremental", toy_dataset(train=(41, 12, 30, 23)))
    info = replace(stream.info, precision="bf16")
    eager, captured = (make("finetune", info, batch_size=8, epochs=4) for _ in range(2))
    captured.step = CapturedSteps(captured, Recorder())  # type: ignore
    for strategy in (eager, captured):
        learn(strategy, stream)
    expected = eager.state_dict()["network"]
    for key, value in captured.state_dict()["network"].items():
        assert torch.equal(value, expected[key])


def state_of(strategy: Any) -> list[Any]:
    """Return its network's and its optimiser's tensors, and how many steps this counted."""
    state = strategy.state_dict()
    moments = [list(each.values()) for each in state["optimizer"]["state"].values() if each]
    return [state["network"], moments]


def unrecorded(strategy: Any) -> int:
    """Return the steps of shapes that came too seldom to be recorded."""
    steps: CapturedSteps = strategy.step
    seen = steps.replayed.seen.items()
    return sum(count for form, count in seen if form not in steps.replayed.graphs)


@pytest.mark.parametrize("name", sorted(CAPTURED))
def test_replayed_steps_of_a_stack_end_where_eager_ones_end(name: str) -> None:
    """Steps that only some of the learners take, whose experiences differ in length, are among them."""
    data = toy_dataset(train=(41, 12, 30, 23))
    streams = [stream_of("class-incremental", data, seeds=Seeds.of(seed)) for seed in range(3)]
    eager, captured = ([make(name, s.info, **hyper_of(name)) for s in streams] for _ in range(2))
    recorder = Recorder()
    for learners, together in ((eager, Together()), (captured, Together(recorder))):
        for index in range(len(streams[0])):
            experiences = [next(stream.deliver(index)) for stream in streams]
            assert together.learn(learners, experiences) == [None] * 3  # type: ignore[arg-type]
    for one, other in zip(eager, captured, strict=True):
        expected = one.state_dict()["network"]
        for key, value in other.state_dict()["network"].items():
            assert torch.equal(value, expected[key])
        assert other.effort == one.effort
    assert recorder.repeated >= 10


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_of_some_are_replayed_too_and_the_others_stay_as_they_are(optimizer: str) -> None:
    """Of 40, 16 and 40 samples in batches of 8: a graph of three learners from the fourth step on."""
    stream = stream_of("class-incremental", toy_dataset(train=(41, 12, 30, 23)))
    samples = next(stream.deliver(0))
    experiences = [samples[torch.arange(count)] for count in (40, 16, 40)]
    infos = [replace(stream.info, seeds=Seeds.of(seed)) for seed in range(3)]
    hyper = {"batch_size": 8, "epochs": 4, "optimizer": optimizer}
    alone, captured = ([make("finetune", info, **hyper) for info in infos] for _ in range(2))
    recorder = Recorder()
    assert Together(recorder).learn(captured, experiences) == [None] * 3  # type: ignore[arg-type]
    for one, other, experience in zip(alone, captured, experiences, strict=True):
        one.learn(experience)
        torch.testing.assert_close(state_of(other), state_of(one))
        assert other.effort == one.effort
    assert recorder.recorded == 1
    assert recorder.repeated == 20 - WARM_UP


def test_a_loss_that_is_not_finite_is_found_at_its_step() -> None:
    stream = stream_of("class-incremental")
    strategy: Any = make("finetune", stream.info, optimizer="sgd", lr=1e30, batch_size=6, epochs=5)
    strategy.step = CapturedSteps(strategy, Recorder())
    strategy.learn(next(stream.deliver(0)))
    eager: Any = make("finetune", stream.info, optimizer="sgd", lr=1e30, batch_size=6, epochs=5)
    eager.learn(next(stream.deliver(0)))
    assert strategy.first_bad_step() == eager.first_bad_step() >= 0


def test_whose_steps_can_be_captured() -> None:
    reasons = {name: uncaptured_because(type(unprepared(name))) for name in STRATEGIES}
    assert {name for name, reason in reasons.items() if reason is None} == CAPTURED
    assert reasons["metanet"] == "its before_step may do what a graph would not repeat"
    below = type("Below", (type(unprepared("mann")),), {"before_step": lambda self: None})
    assert uncaptured_because(below) == reasons["metanet"]
    assert reasons["ewc"] == "its penalise may do what a graph would not repeat"
    strategy = make("ewc", stream_of("class-incremental").info)
    capture_steps(strategy)
    assert "step" not in vars(strategy)


def test_the_cpu_has_no_graphs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "run --scenario class-incremental --strategy finetune --device cpu --capture"
    assert main([*words.split(), f"--results={tmp_path}"]) == 2
    assert "--capture is for a CUDA device, and this is cpu" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_on_the_cpu_nothing_is_captured() -> None:
    """A run that is resumed goes on on the device it began on."""
    strategy = make("finetune", stream_of("class-incremental").info)
    capture_steps(strategy)
    assert "step" not in vars(strategy)


def weights_after(name: str, count: int, device: str, record: Record | None) -> list[torch.Tensor]:
    """Return the weights of learners, in a stack if there are several, after experiences of different lengths."""
    data = toy_dataset(train=(41, 12, 30, 23))
    seeds = map(Seeds.of, range(count))
    streams = [stream_of("class-incremental", data, seed, device) for seed in seeds]
    learners: list[Any] = [make(name, s.info, **hyper_of(name)) for s in streams]
    if record is not None and count == 1:
        learners[0].step = CapturedSteps(learners[0], record)
    together = Together(record)
    for index in range(len(streams[0])):
        experiences = [next(stream.deliver(index)) for stream in streams]
        assert together.learn(learners, experiences) == [None] * count
    return [p.detach() for learner in learners for p in learner.network.parameters()]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", sorted(CAPTURED))
def test_weights_are_the_same_with_graphs_and_without(name: str, count: int) -> None:
    """Of a GPU where there is one."""
    record: Record
    device, record = ("cuda", record_graph) if torch.cuda.is_available() else ("cpu", Recorder())
    recorded: list[Work] = []

    def counted(work: Work) -> Work:
        recorded.append(work)
        return record(work)

    captured = weights_after(name, count, device, counted)
    assert recorded
    torch.testing.assert_close(captured, weights_after(name, count, device, None))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("together", [1, 3])
def test_graphs_on_the_gpu_end_where_eager_steps_end(tmp_path: Path, together: int) -> None:
    words = "run --scenario class-incremental --strategy replay --seeds 0-2 -S samples=200 --device cuda"
    matrices = []
    for option in ([], ["--capture"]):
        folder = tmp_path / str(len(option))
        arguments = [*words.split(), f"--together={together}", *option, f"--results={folder}"]
        assert main(arguments) == 0
        runs = [json.loads(path.read_text()) for path in sorted(folder.rglob("*-s?.json"))]
        matrices.append([[[v or 0.0 for v in row] for row in run["matrix"]] for run in runs])
    eager, captured = map(torch.tensor, matrices)
    torch.testing.assert_close(captured, eager, atol=0.03, rtol=0)
