"""Learning from a base split: who gets what, what of it reaches the stream, and what it costs."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from clbench.base_split import Base, base_of
from clbench.errors import NonFiniteLossError, UsageError
from clbench.evaluator import Anytime, Outcome, run_stream
from clbench.experience import Experience
from clbench.gradient import GradientStrategy
from clbench.networks import Conv4, copy_body, make_network
from clbench.runner import run_one
from clbench.specify import specify
from clbench.stream import Stream
from clbench.words import protocol_line
from tests.clbench.test_isolation import DATA, image_numbers
from tests.toys import (
    SCENARIOS,
    STRATEGIES,
    Spy,
    make,
    runnable,
    stream_of,
    toy_dataset,
    unprepared,
)

TEN = toy_dataset([8] * 7, [3] * 7)
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def with_base(scenario: str = "class-incremental", **options: Any) -> Stream:
    """Return a stream of two experiences after four base classes."""
    return stream_of(scenario, TEN, **{"base_classes": 4, **options})


def base_in(stream: Stream) -> Base:
    """Return the base split of a stream that has one."""
    base = base_of(stream)
    assert base is not None
    return base


def weights(strategy: Any) -> dict[str, Tensor]:
    """Return a copy of a strategy's weights."""
    return {name: w.clone() for name, w in strategy.network.state_dict().items()}


class Watched(Spy):
    """Remembers also its base splits, and how much it had learnt and was asked by then."""

    def setup(self, info: Any) -> None:
        super().setup(info)
        self.given: list[tuple[Base, int, int]] = []

    def pretrain(self, base: Base) -> None:
        self.given.append((base, len(self.learnt), len(self.asked)))


# What is given.


@every_scenario
@pytest.mark.parametrize("options", [{}, {"online": True}, {"validation": 0.3}])
def test_base_data_are_training_images_of_base_classes(
    scenario: str, options: dict[str, Any]
) -> None:
    """Image 10 k + i is the i-th training image of class k; 40 and more are for testing."""
    stream = stream_of(scenario, DATA, base_classes=2, **options)
    base = base_in(stream)
    numbers = base.x[:, 0, 0, 0].tolist()
    assert len(set(numbers)) == len(numbers) == (14 if options.get("validation") else 20)
    ours = sorted({number // 10 for number in numbers})
    assert len(ours) == 2
    assert not set(ours) & set(stream.plan.class_order)
    assert base.y.tolist() == [ours.index(number // 10) for number in numbers]
    assert torch.equal(base.group, base.y)
    assert base.mask.tolist() == [True, True]
    assert (base.info.classes, base.info.groups, base.info.rows) == (2, 2, 1)
    assert not base.info.online
    for index in range(len(stream)):
        for experience in stream.deliver(index):
            assert not set(experience.x[:, 0, 0, 0].tolist()) & set(numbers)
    assert base.x.untyped_storage().nbytes() == base.x.nbytes  # no view on the dataset


def test_it_is_given_once_before_anything_is_asked_and_never_again_on_resume() -> None:
    stream, spy, outcome = with_base("task-incremental"), Watched(), Outcome()
    spy.setup(stream.info)
    run_stream(stream, spy, outcome)
    assert [(learnt, asked) for _, learnt, asked in spy.given] == [(0, 0)]
    resumed = Watched()
    resumed.setup(stream.info)
    run_stream(stream, resumed, Outcome(matrix=outcome.matrix[:2]))
    assert not resumed.given
    without = Watched()
    without.setup(stream_of("task-incremental", TEN).info)
    run_stream(stream_of("task-incremental", TEN), without, Outcome())
    assert not without.given


# What every strategy does.


@every_scenario
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_runs_with_a_base_split(scenario: str, name: str) -> None:
    stream = with_base(scenario)
    assert runnable(name, stream.info)
    strategy, outcome = make(name, stream.info), Outcome()
    run_stream(stream, strategy, outcome)
    assert [len(row) for row in outcome.matrix] == [2, 2, 2]
    assert all(cell is not None for cell in outcome.matrix[-1])
    assert (outcome.matrix[0][0] is None) == (scenario == "class-incremental")


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_base_image_is_kept(name: str) -> None:
    stream = stream_of("class-incremental", DATA, base_classes=2)
    strategy = make(name, stream.info)
    strategy.pretrain(base_in(stream))
    assert image_numbers(strategy) == set()


@pytest.mark.parametrize(
    ("name", "steps", "samples"), [("nearest", 0, 0), ("finetune", 4, 32), ("metanet", 5, None)]
)
def test_steps_samples_and_seconds_count(name: str, steps: int, samples: int | None) -> None:
    """32 base samples in batches of 8; 5 episodes."""
    stream, outcome = with_base(), Outcome()
    strategy = make(name, stream.info)
    shown: list[None] = []
    strategy.on_step = lambda: shown.append(None)
    strategy.pretrain(base_in(stream))
    assert strategy.effort.steps == len(shown) == steps
    assert samples is None or strategy.effort.samples_seen == samples
    again = make(name, stream.info)
    run_stream(stream, again, outcome, anytime=Anytime(every=1))
    plain = make(name, stream.info)
    run_stream(stream_of("class-incremental", TEN, base_classes=4), plain, Outcome(matrix=[[]]))
    assert again.effort.steps == plain.effort.steps + steps
    assert all(point["experience"] for point in outcome.trace)


def test_a_loss_that_breaks_on_the_base_split_is_placed() -> None:
    stream = with_base()
    strategy = make("finetune", stream.info, lr=1e30, optimizer="sgd", epochs=9)
    with pytest.raises(NonFiniteLossError, match="in the base split, step") as caught:
        run_stream(stream, strategy, Outcome())
    assert caught.value.experience is None


# Supervised pre-training.


@pytest.mark.parametrize("name", ["finetune", "replay", "ewc", "si", "lwf", "joint"])
@pytest.mark.parametrize("base_classes", [2, 4])
def test_the_body_is_that_of_plain_training_and_the_head_is_fresh(
    name: str, base_classes: int
) -> None:
    stream = with_base(base_classes=base_classes, experiences=1)
    base = base_in(stream)
    plain = make("finetune", base.info)
    plain.learn(base)
    strategy = cast(GradientStrategy, make(name, stream.info))
    fresh = weights(strategy)
    strategy.pretrain(base)
    trained, expected = weights(strategy), weights(plain)
    assert len(strategy.optimizer.state) == 0
    for key, weight in trained.items():
        head = key.startswith("layers.2")
        assert torch.equal(weight, fresh[key] if head else expected[key])
        assert head or not torch.equal(weight, fresh[key])
    started: list[dict[str, Tensor]] = []
    strategy.begin = lambda current: started.append(weights(strategy))  # type: ignore[method-assign]
    if name == "finetune":
        strategy.learn(next(stream.deliver(0)))
        assert all(torch.equal(started[0][key], weight) for key, weight in trained.items())


def test_a_head_as_wide_as_the_streams_is_no_body() -> None:
    """As many base classes as the stream has units: no shape tells the heads apart."""
    stream = stream_of("class-incremental", DATA, base_classes=2)
    strategy = make("finetune", stream.info)
    fresh = weights(strategy)
    strategy.pretrain(base_in(stream))
    assert torch.equal(weights(strategy)["layers.2.weight"], fresh["layers.2.weight"])
    assert not torch.equal(weights(strategy)["layers.0.weight"], fresh["layers.0.weight"])


def test_the_head_of_conv4_and_of_a_users_network_is_found() -> None:
    info = with_base().info

    def build(info: Any) -> nn.Module:
        return nn.ModuleDict({"out": nn.Linear(3, info.classes), "in": nn.BatchNorm1d(3)})

    for make_one, head in (
        (lambda info: Conv4(info.shape, 4, info.classes), "head."),
        (build, "out."),
    ):
        a, b = make_one(info), make_one(info)
        with torch.no_grad():
            for weight in a.state_dict().values():
                weight.add_(1)
        before = {k: w.clone() for k, w in b.state_dict().items()}
        copy_body(a, b, make_one, info)
        for key, weight in b.state_dict().items():
            expected = before if key.startswith(head) else a.state_dict()
            assert torch.equal(weight, expected[key])


def test_joint_begins_each_fresh_network_with_the_body() -> None:
    stream = with_base()
    strategy = make("joint", stream.info)
    started: list[dict[str, Tensor]] = []
    strategy.begin = lambda current: started.append(weights(strategy))  # type: ignore[attr-defined]
    strategy.pretrain(base_in(stream))
    pretrained = weights(strategy)
    for index in range(2):
        strategy.learn(next(stream.deliver(index)))
    fresh = make_network("mlp", [16, 16], stream.info).state_dict()
    assert len(started) == 2
    for found in started:
        assert all(torch.equal(found[key], weight) for key, weight in pretrained.items())
        assert torch.equal(found["layers.2.weight"], fresh["layers.2.weight"])
    assert not torch.equal(pretrained["layers.0.weight"], fresh["layers.0.weight"])
    without = make("joint", stream.info)
    for index in range(2):
        without.learn(next(stream.deliver(index)))
    kept = sum(w.numel() * w.element_size() for w in pretrained.values())
    assert strategy.memory_bytes() == without.memory_bytes() + kept


@pytest.mark.parametrize("name", ["ewc", "online-ewc", "si", "l2", "mas"])
def test_no_penalty_holds_what_the_base_split_left(name: str) -> None:
    stream = with_base()
    strategy: Any = make(name, stream.info)
    strategy.pretrain(base_in(stream))
    assert len(strategy.anchors) == 0
    (first,) = stream.deliver(0)
    expected = make("finetune", stream.info)
    expected.pretrain(base_in(stream))
    for learner in (strategy, expected):
        learner.learn(first)
    found = weights(strategy)
    assert all(torch.equal(found[key], weight) for key, weight in weights(expected).items())


# Meta-training.


@every_scenario
@pytest.mark.parametrize("base_classes", [2, 5])
def test_episodes_are_of_base_classes_with_labels_over_all_units(
    scenario: str, base_classes: int
) -> None:
    """More base classes than units, or fewer."""
    stream = with_base(scenario, base_classes=base_classes, experiences=1)
    strategy: Any = make("metanet", stream.info, base_episodes=20, ways=4)
    base, lessons, step = base_in(stream), [], strategy.step

    def recorded(lesson: Any) -> None:
        lessons.append(lesson)
        step(lesson)

    strategy.step = recorded
    before = weights(strategy)
    strategy.pretrain(base)
    units, ways = stream.info.classes, min(4, base_classes, stream.info.classes)
    assert len(lessons) == 20
    seen: set[int] = set()
    images = {tuple(x.flatten().tolist()) for x in base.info.normalise(base.x)}
    for lesson in lessons:
        labels = lesson.support.y[lesson.support.valid].unique().tolist()
        assert len(labels) == ways == int(lesson.support.mask.sum())
        assert lesson.support.mask[labels].all()
        assert set(lesson.query.y.tolist()) <= set(labels)
        assert {tuple(x.flatten().tolist()) for x in lesson.support.x} <= images
        seen |= set(labels)
    assert seen == set(range(units))
    assert any(not torch.equal(w, before[key]) for key, w in weights(strategy).items())
    assert len(strategy.optimizer.state) == 0


@every_scenario
@pytest.mark.parametrize("options", [{}, {"online": True}])
def test_a_frozen_network_stays_bit_for_bit_and_its_memory_grows(
    scenario: str, options: dict[str, Any]
) -> None:
    stream = with_base(scenario, **options)
    strategy: Any = make("metanet-frozen", stream.info)
    strategy.pretrain(base_in(stream))
    before, generator = weights(strategy), strategy.generator.get_state()
    steps, exemplars = strategy.effort.steps, []
    peer = make("replay", stream.info)
    for index in range(2):
        for experience in stream.deliver(index):
            strategy.learn(experience)
            peer.learn(experience)
        exemplars.append(len(strategy.memory))
        with torch.no_grad():  # as the evaluator asks
            strategy.predict(experience.x, experience.group // stream.info.classes)
    assert all(torch.equal(weight, before[key]) for key, weight in weights(strategy).items())
    assert torch.equal(strategy.generator.get_state(), generator)
    assert strategy.effort.steps == steps == 5
    assert 0 < exemplars[0] < exemplars[1]
    assert peer.memory is not None
    assert torch.equal(strategy.memory.x, peer.memory.x)


def test_freezing_is_refused_without_a_base_split() -> None:
    info = stream_of("class-incremental", TEN).info
    for name, hyper in (("metanet-frozen", {}), ("metanet", {"frozen": True})):
        with pytest.raises(UsageError, match=r"base split.*base_classes"):
            unprepared(name, **hyper).check(info)
    unprepared("metanet").check(info)
    reason = unprepared("metanet-frozen").skip_reason(info)
    assert reason is not None
    assert "needs a base split" in reason
    with pytest.raises(UsageError, match="frozen must be True"):
        unprepared("metanet-frozen", frozen=False)


def test_a_record_names_the_split_and_what_stays() -> None:
    told: dict[str, Any] = {"dataset": "digits", "scenario": "class-incremental"}
    told |= {"options": {"base_classes": 4, "experiences": 2, "samples": 20}}
    small = {"base_episodes": 3, "hidden": [8, 8], "memory_size": 12}
    frozen, reason = specify(strategy="metanet-frozen", hyper_parameters=small, **told)
    usual, _ = specify(strategy="metanet", **told)
    assert reason is None
    assert frozen["strategy"]["hyper_parameters"]["frozen"] is True
    assert not {"frozen", "base_episodes"} & set(usual["strategy"]["hyper_parameters"])
    assert "base split of 4 other classes" in protocol_line(frozen)
    record = run_one(frozen)
    assert record["status"] == "ok"
    assert len(record["matrix"]) == 3
    assert record["budget"]["steps"] == 3
    assert record["budget"]["train_seconds"] > 0


def test_a_users_strategy_is_told_by_experience_and_base() -> None:
    """`Base` is an experience of a stream of its own, so that a learner can be set up for it."""
    stream = with_base()
    base = base_in(stream)
    assert isinstance(base, Experience)
    learner = make("nearest", base.info)
    learner.learn(base)
    with torch.no_grad():
        assert torch.equal(learner.predict(base.x, None).argmax(1)[:5], base.y[:5])
