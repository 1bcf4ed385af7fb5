"""Learners that take their steps at once: each ends where it ends alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench import results
from clbench.cli import main
from clbench.errors import ClbenchError
from clbench.executor import InProcess
from clbench.experience import StreamInfo
from clbench.gradient import GradientStrategy
from clbench.grid import Request, build
from clbench.runner import Execution, run_one
from clbench.running import Call, run_all
from clbench.seeds import Seeds, initialised_by
from clbench.strategy import Strategy
from clbench.stream import Stream
from clbench.sweep import Job, grouped, perform_all, sweep
from clbench.together import Together, alone_because
from tests.toys import SCENARIOS, STRATEGIES, make, stream_of, toy_dataset, unprepared

STACKED = tuple(name for name in STRATEGIES if alone_because(type(unprepared(name))) is None)
FEWER: dict[str, dict[str, Any]] = {
    "mann": {"controller": 8, "slots": 8, "slot_size": 8, "heads": 2, "shots": 1},
    "mer": {"replay_batch_size": 2},
    "metanet": {"queries": 10},
}
"""Hyper-parameters that make a test short."""
UNEVEN = (41, 12, 30, 23)  # learners whose class orders differ take different numbers of steps


def streams(scenario: str, count: int = 4, **options: Any) -> list[Stream]:
    data = toy_dataset(train=UNEVEN)
    seeds = [Seeds.of(s) for s in range(count)]
    return [stream_of(scenario, data, seeds=of, **options) for of in seeds]


def parameters(strategy: Strategy) -> Tensor:
    assert isinstance(strategy, GradientStrategy)
    return torch.cat([p.detach().flatten() for p in strategy.network.parameters()])


def learners(name: str, each: list[Stream], **hyper: Any) -> list[Any]:
    return [make(name, stream.info, **FEWER.get(name, {}), **hyper) for stream in each]


@pytest.mark.parametrize("name", STACKED)
@pytest.mark.parametrize(
    ("scenario", "online"), [*((s, False) for s in SCENARIOS), ("class-incremental", True)]
)
def test_each_learner_ends_where_it_ends_alone(scenario: str, name: str, online: bool) -> None:
    given = {"online": True, "batch_size": 5} if online else {}
    each = streams(scenario, **given)
    alone, joined = learners(name, each), learners(name, each)
    together = Together()
    for index in range(len(each[0])):
        experiences = [next(stream.deliver(index)) for stream in each]
        for strategy, experience in zip(alone, experiences, strict=True):
            strategy.learn(experience)
        assert together.learn(joined, experiences) == [None] * len(each)
    for one, other in zip(alone, joined, strict=True):
        torch.testing.assert_close(parameters(other), parameters(one), atol=1e-5, rtol=1e-4)
        assert one.effort == other.effort


def test_what_can_learn_together() -> None:
    assert set(STRATEGIES) - set(STACKED) == {"nearest"}
    assert "no GradientStrategy" in str(alone_because(type(unprepared("nearest"))))


class OwnStep(GradientStrategy):
    def step(self, batch: Any) -> None:
        super().step(batch)


class OwnLoss(GradientStrategy):
    def loss(self, network: Any, batch: Any) -> Tensor:
        return super().loss(network, batch)


class OwnLossBelow(type(unprepared("lwf"))):  # type: ignore[misc]
    def loss(self, network: Any, batch: Any) -> Any:
        return super().loss(network, batch)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (OwnStep, "a step of its own"),
        (OwnLoss, "stackable = True"),
        (OwnLossBelow, "stackable = True"),
    ],
)
def test_what_a_stack_would_not_call_or_cannot_trust_learns_alone(
    kind: type[Strategy], why: str
) -> None:
    assert why in str(alone_because(kind))
    assert why in str(alone_because(type("Below", (kind,), {})))
    if "stackable" in why:
        assert alone_because(type("Trusted", (kind,), {"stackable": True})) is None


@pytest.mark.parametrize("name", ["finetune", "replay", "mer", "reptile", "metanet"])
def test_a_learner_that_raises_costs_the_others_nothing(name: str) -> None:
    each = streams("class-incremental", count=3)
    alone, joined = learners(name, each), learners(name, each)
    experiences = [next(stream.deliver(0)) for stream in each]

    def broken(samples: int) -> Any:
        yield torch.arange(4)
        raise ValueError("no more")

    joined[1].schedule = broken
    raised = Together().learn(joined, experiences)
    assert [str(error) for error in raised] == ["None", "no more", "None"]
    for index in (0, 2):
        alone[index].learn(experiences[index])
        expected = parameters(alone[index])
        torch.testing.assert_close(parameters(joined[index]), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["ewc", "lwf", "mer", "reptile", "metanet"])
def test_a_checkpoint_of_a_learner_in_a_stack_is_its_own(name: str, tmp_path: Path) -> None:
    """Learners that go on from theirs, one of them alone, end where those do that were never interrupted."""
    each = streams("class-incremental", count=3)
    undisturbed, resumed = learners(name, each), learners(name, each)
    together = Together()
    for index in range(2):
        if index == 1:
            for number, (learner, fresh) in enumerate(zip(undisturbed, resumed, strict=True)):
                torch.save(learner.state_dict(), tmp_path / f"{number}")
                fresh.load_state_dict(torch.load(tmp_path / f"{number}", weights_only=True))
        experiences = [next(stream.deliver(index)) for stream in each]
        assert together.learn(undisturbed, experiences) == [None] * 3
    assert Together().learn(resumed[:2], experiences[:2]) == [None] * 2
    resumed[2].learn(experiences[2])
    for one, other in zip(undisturbed, resumed, strict=True):
        torch.testing.assert_close(parameters(other), parameters(one), atol=1e-5, rtol=1e-4)


def test_learners_that_adapt_to_answer_amid_a_stack_end_where_they_end_alone() -> None:
    """Reptile moves its network, its gradients and its optimiser aside and back, all of them in the stack's memory."""
    each = streams("class-incremental", count=3)
    alone, joined = (learners("reptile", each, adapt_steps=2) for _ in range(2))
    answers: dict[int, list[Tensor]] = {id(learner): [] for learner in (*alone, *joined)}

    def probe(learner: Any, x: Tensor) -> None:
        if learner.effort.steps % 3 == 0:
            with torch.no_grad():
                answers[id(learner)].append(learner.predict(x, None))

    for learner, stream in (*zip(alone, each, strict=True), *zip(joined, each, strict=True)):
        learner.on_step = partial(probe, learner, stream.test_set(2).x)
    together = Together()
    for index in range(2):
        experiences = [next(stream.deliver(index)) for stream in each]
        for learner, experience in zip(alone, experiences, strict=True):
            learner.learn(experience)
        assert together.learn(joined, experiences) == [None] * 3
    for one, other in zip(alone, joined, strict=True):
        torch.testing.assert_close(parameters(other), parameters(one), atol=1e-5, rtol=1e-4)
        assert answers[id(one)]
        torch.testing.assert_close(answers[id(other)], answers[id(one)], atol=1e-4, rtol=1e-3)


class OwnNetwork(GradientStrategy):
    """Has batch statistics as buffers, and a layer that is not learnt."""

    def build(self, info: StreamInfo) -> nn.Module:
        with initialised_by(info.seeds.init):
            frozen, head = nn.Linear(16, 16), nn.Linear(16, info.classes)
        frozen.requires_grad_(requires_grad=False)
        return nn.Sequential(nn.Flatten(), frozen, nn.BatchNorm1d(16), head)


def test_buffers_and_what_is_not_learnt_are_those_of_each_learner() -> None:
    """Learners with uneven last batches: some steps are taken by a part of the stack, or alone."""
    each = streams("class-incremental")
    kinds = [OwnNetwork(OwnNetwork.Parameters.parse({"epochs": 2}, "it")) for _ in range(8)]
    alone, joined = kinds[:4], kinds[4:]
    for learner, stream in (*zip(alone, each, strict=True), *zip(joined, each, strict=True)):
        learner.setup(stream.info)
    experiences = [next(stream.deliver(0)) for stream in each]
    for learner, experience in zip(alone, experiences, strict=True):
        learner.learn(experience)
    assert Together().learn(joined, experiences) == [None] * 4
    for one, other in zip(alone, joined, strict=True):
        torch.testing.assert_close(other.network.state_dict(), one.network.state_dict())


def jobs_of(folder: Path, strategy: str = "replay", seeds: int = 3, **hyper: Any) -> list[Job]:
    request = Request(
        "digits",
        "class-incremental",
        strategy,
        range(seeds),
        options={"samples": 60},
        hyper_parameters=hyper or {"epochs": 2},
    )
    cells = build([request], folder)
    return [Job(cell.specification, cell.path, folder, Execution()) for cell in cells]


def test_a_group_of_seeds_leaves_the_results_of_each(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path)
    groups, reasons = grouped(jobs, 8)
    assert [len(group) for group in groups] == [3]
    assert not reasons
    for job, done in zip(jobs, perform_all(groups[0]), strict=True):
        record, alone = results.read(job.path), run_one(job.specification)
        assert done.status == "ok"
        assert record is not None
        assert record["provenance"]["execution"] == "one of 3 together"
        assert record["specification"] == alone["specification"]
        for row, expected in zip(record["matrix"], alone["matrix"], strict=True):
            assert row == pytest.approx(expected, abs=0.03)  # one image in 72 on the edge
        for key in ("steps", "samples_seen", "memory_examples", "parameters"):
            assert record["budget"][key] == alone["budget"][key]
    assert [done.status for done in perform_all(groups[0])] == ["found"] * 3


def test_groups_hold_seeds_of_one_specification_and_say_who_cannot_be_in_one(
    tmp_path: Path,
) -> None:
    jobs = [
        *jobs_of(tmp_path, lr=0.01),
        *jobs_of(tmp_path),
        *jobs_of(tmp_path, "nearest", 2, memory_size=50),
    ]
    groups, reasons = grouped(jobs, 2)
    assert [len(group) for group in groups] == [2, 1, 2, 1, 1, 1]
    assert list(reasons) == ["nearest"]
    assert grouped(jobs, 1) == ([[job] for job in jobs], {})


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("finetune", {"optimizer": "sgd", "lr": 1e4, "epochs": 20}),
        ("reptile", {"optimizer": "sgd", "lr": 1e4, "epochs": 20}),
        ("mer", {"lr": 1e30, "beta": 1.0, "batches_per_example": 1, "replay_batch_size": 1}),
    ],
)
def test_a_diverging_seed_fails_alone(tmp_path: Path, name: str, hyper: dict[str, Any]) -> None:
    """With a huge rate on SGD every seed diverges, each at its own step."""
    jobs = jobs_of(tmp_path, name, **hyper)
    ends = dict(sweep(grouped(jobs, 3)[0], InProcess(), Nobody()))
    for number, job in enumerate(jobs):
        record, alone = ends[number].record, run_one(job.specification)
        assert record is not None
        assert record["status"] == alone["status"] == "failed"
        assert record["error"]["step"] == alone["error"]["step"]


class Nobody:
    """Watches nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def broken_loss(kind: str) -> Callable[[Any, Any], Any]:
    """Return a loss that no stack can have."""

    def loss(network: Any, batch: Any) -> Any:
        each = network(batch.x).logsumexp(1)
        if kind == "if" and each.mean() > 0:
            return each.mean()
        if kind == "item":
            return each.mean() * each.mean().item()
        return None if kind == "none" else each

    return loss


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("item", r"^loss synchronises \(\.item\(\), if tensor\), which learners in a stack cannot"),
        ("if", r"^loss synchronises \(\.item\(\), if tensor\), which learners in a stack cannot"),
        ("none", "^loss must return a scalar tensor"),
        ("each", "^loss must return a scalar tensor .* not one of shape"),
    ],
)
def test_a_loss_that_no_stack_can_have_is_one_sentence(kind: str, sentence: str) -> None:
    each = streams("class-incremental", count=2)
    joined: list[Any] = [make("finetune", stream.info) for stream in each]
    for strategy in joined:
        strategy.loss = broken_loss(kind)
    raised = Together().learn(joined, [next(stream.deliver(0)) for stream in each])
    for error in raised:
        assert isinstance(error, ClbenchError)
        assert re.search(sentence, str(error))
        assert "\n" not in str(error)


def test_the_time_of_a_stack_stands_in_its_first_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "run --scenario class-incremental --strategy finetune --seeds 0-2 --together 3"
    assert main([*words.split(), "-Ssamples=20", "-sepochs=1", f"--results={tmp_path}"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " seed " in line]
    assert [bool(re.search(r"\(\d+\.\d s\)$", line)) for line in lines] == [True, False, False]


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ("finetune", "--together is for a GPU: on a CPU, --jobs is faster."),
        (
            "nearest",
            "nearest runs one seed after the other: it does not learn by gradient steps"
            " (it is no GradientStrategy).",
        ),
    ],
)
def test_who_gains_nothing_by_a_stack_is_told(
    strategy: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--scenario=class-incremental", f"--strategy={strategy}", "-Ssamples=20"]
    given = [*words, "--seeds=0-1", f"--results={tmp_path}", "--device=cpu"]
    assert main([*given, "--together=2"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "--together" in line or "one seed" in line] == [told]


def test_groups_out_of_order_end_in_their_own_cells(tmp_path: Path) -> None:
    """Named seeds are part of a specification, so seeds of one are not next to each other."""
    request = Request(
        "digits",
        "class-incremental",
        "finetune",
        range(2),
        options={"samples": 20},
        hyper_parameters={"epochs": 1},
        named_seeds={"init": range(2)},
    )
    cells = build([request], tmp_path)
    run_all(cells, Call(results=tmp_path, together=2, quiet=True, plugins=()))
    for cell in cells:
        assert cell.record is not None
        assert cell.record["specification"] == cell.specification
        assert cell.record["provenance"]["execution"] == "one of 2 together"
