"""The baselines against their definitions: a plain training loop, a nearest neighbour by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clbench.errors import UsageError
from clbench.gradient import Batch, GradientStrategy
from clbench.networks import make_network
from clbench.seeds import torch_generator
from clbench.strategy import Strategy
from clbench.stream import Stream
from tests.toys import SCENARIOS, learn_all, make, stream_of, toy_dataset

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def weights(strategy: Strategy) -> list[Tensor]:
    """Return a copy of a gradient strategy's parameters."""
    return [p.detach().clone() for p in cast(GradientStrategy, strategy).network.parameters()]


def same(a: Iterable[Tensor], b: Iterable[Tensor]) -> bool:
    """Return whether parameters agree to the bit."""
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def learnt(name: str, stream: Stream, experiences: int | None = None, **hyper: Any) -> Strategy:
    """Return a strategy after some experiences."""
    strategy = make(name, stream.info, **hyper)
    for index in range(len(stream) if experiences is None else experiences):
        for experience in stream.deliver(index):
            strategy.learn(experience)
    return strategy


def record_batches(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Return a list that fills with what each step from now on learns from."""
    batches: list[Batch] = []
    step = GradientStrategy.step

    def recorded(self: GradientStrategy, batch: Batch) -> None:
        batches.append(batch)
        step(self, batch)

    monkeypatch.setattr(GradientStrategy, "step", recorded)
    return batches


# Finetune.


def test_finetune_is_a_plain_training_loop() -> None:
    stream = stream_of("class-incremental")
    network = make_network("mlp", [16, 16], stream.info)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    generator = torch_generator(stream.info.seeds.train, "train")
    for index in range(2):
        (e,) = stream.deliver(index)
        for _ in range(3):
            order = torch.randperm(len(e), generator=generator)
            for rows in torch.split(order, 7):
                logits = network(stream.info.normalise(e.x[rows]))
                logits[:, ~e.mask] = -torch.inf
                optimizer.zero_grad()
                functional.cross_entropy(logits, e.y[rows]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    strategy = learnt("finetune", stream, lr=0.01, batch_size=7, epochs=3)
    for ours, expected in zip(weights(strategy), network.parameters(), strict=True):
        torch.testing.assert_close(ours, expected)
    assert strategy.effort.steps == 2 * 3 * 4
    assert strategy.effort.samples_seen == 2 * 3 * 24


def test_an_online_stream_is_one_pass_in_its_own_order() -> None:
    stream = stream_of("class-incremental", online=True, batch_size=7)
    network = make_network("mlp", [16, 16], stream.info)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for index in range(2):
        (e,) = stream.deliver(index)
        for x, y in zip(torch.split(e.x, 7), torch.split(e.y, 7), strict=True):
            logits = network(stream.info.normalise(x))
            logits[:, ~e.mask] = -torch.inf
            optimizer.zero_grad()
            functional.cross_entropy(logits, y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    strategy = learnt("finetune", stream, optimizer="sgd", lr=0.1, epochs=9, batch_size=3)
    for ours, expected in zip(weights(strategy), network.parameters(), strict=True):
        torch.testing.assert_close(ours, expected)
    assert (strategy.effort.steps, strategy.effort.samples_seen) == (8, 48)


@pytest.mark.parametrize("name", ["finetune", "replay", "joint"])
@pytest.mark.parametrize("head", ["seen", "all"])
def test_a_unit_of_an_unseen_class_takes_no_part_in_a_loss(name: str, head: str) -> None:
    stream = stream_of("class-incremental", class_order="natural", head=head)
    before = weights(make(name, stream.info))
    after = weights(learnt(name, stream, 1, optimizer="sgd", lr=0.1))
    for old, new in ((before[-1], after[-1]), (before[-2], after[-2])):  # bias and weight
        assert not torch.equal(old[:2], new[:2])
        assert torch.equal(old[2:], new[2:]) == (head == "seen")


@pytest.mark.parametrize(("name", "rehearses"), [("finetune", False), ("replay", True)])
def test_heads_of_other_tasks_take_part_for_their_own_exemplars_only(
    name: str, rehearses: bool
) -> None:
    stream = stream_of("task-incremental", class_order="natural", sizes=[2, 1, 1])
    states = [
        weights(learnt(name, stream, count, optimizer="sgd", lr=0.1))[-1] for count in range(3)
    ]
    changed = [(a != b).tolist() for a, b in pairwise(states)]
    assert changed[0] == [True, True, False, False]
    # A task of one class has nothing to tell apart: its loss is 0, what moves is rehearsal.
    assert changed[1] == [rehearses, rehearses, False, False]


# Replay.


@every_scenario
@pytest.mark.parametrize("online", [False, True])
def test_replay_without_memory_is_finetuning(scenario: str, online: bool) -> None:
    stream = stream_of(scenario, online=online)
    replay = learnt("replay", stream, memory_size=0)
    assert same(weights(replay), weights(learnt("finetune", stream)))
    assert replay.memory_bytes() == 0


@pytest.mark.parametrize(("size", "replayed"), [(None, 24), (5, 15), (1000, 36)])
def test_replay_adds_exemplars_to_each_step(size: int | None, replayed: int) -> None:
    """24 samples in batches of 8; the first experience has nothing to rehearse."""
    stream = stream_of("class-incremental")
    strategy = learnt("replay", stream, memory_size=12, replay_batch_size=size)
    assert strategy.effort.steps == 6
    assert strategy.effort.samples_seen == 24 + 24 + replayed
    assert strategy.memory is not None
    assert len(strategy.memory) == 12


@pytest.mark.parametrize("online", [False, True])
def test_replay_offers_each_sample_to_its_memory_once(online: bool) -> None:
    strategy = learnt("replay", stream_of("class-incremental", online=online))
    assert strategy.memory is not None
    assert strategy.memory.offered == 48


@pytest.mark.parametrize("samples", [24, 7])
def test_naive_rehearsal_shuffles_the_repeated_memory_into_the_data(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stream_of("class-incremental", samples=samples)
    hyper = {"mixing": "data", "memory_size": 10, "epochs": 2, "batch_size": 5}
    strategy = learnt("replay", stream, 1, **hyper)
    assert strategy.memory is not None
    memory = strategy.memory.x.flatten(1)
    steps = record_batches(monkeypatch)
    (experience,) = stream.deliver(1)
    strategy.learn(experience)
    times = max(1, samples // len(memory))
    expected = torch.cat([experience.x.flatten(1), memory.repeat(times, 1)])
    seen = torch.cat([batch.x for batch in steps]).flatten(1)
    for passed in torch.split(seen, len(expected)):  # each of the two passes has all of it
        rows = stream.info.normalise(expected.view(-1, *stream.info.shape)).flatten(1)
        assert sorted(passed.tolist()) == sorted(rows.tolist())
    assert len(steps[0]) == 5  # and not in the data's order
    assert not torch.equal(seen[: len(experience)], rows[: len(experience)])


def test_naive_rehearsal_is_refused_online() -> None:
    stream = stream_of("class-incremental", online=True)
    with pytest.raises(UsageError, match="mixing=data needs all samples"):
        make("replay", stream.info, mixing="data").check(stream.info)


def test_noise_is_added_to_training_images_only_and_drawn_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = stream_of("class-incremental")
    steps = record_batches(monkeypatch)
    strategy = learnt("replay", stream, 1, noise=0.5, epochs=2, batch_size=24)
    (experience,) = stream.deliver(0)
    clean = stream.info.normalise(experience.x)
    distance = torch.stack([torch.cdist(b.x.flatten(1), clean.flatten(1)).amin(1) for b in steps])
    assert 0.3 < (distance**2).mean() ** 0.5 / clean[0].numel() ** 0.5 < 0.6
    assert not torch.equal(steps[0].x.sum(), steps[1].x.sum())
    x = experience.x[:4]
    assert torch.equal(strategy.predict(x, None), strategy.predict(x, None))


# Joint.


@every_scenario
@pytest.mark.parametrize("warm_start", [False, True])
def test_joint_starts_afresh_unless_told_otherwise(scenario: str, warm_start: bool) -> None:
    stream = stream_of(scenario)
    untouched = make("joint", stream.info, warm_start=warm_start)
    learn_all(untouched, stream)
    spoilt = learnt("joint", stream, 1, warm_start=warm_start)
    with torch.no_grad():
        for parameter in cast(GradientStrategy, spoilt).network.parameters():
            parameter.mul_(2)
    for experience in stream.deliver(1):
        spoilt.learn(experience)
    assert same(weights(spoilt), weights(untouched)) != warm_start


def test_joint_learns_from_the_union_and_its_data_count_as_memory() -> None:
    stream = stream_of("class-incremental")
    strategy = learnt("joint", stream, epochs=2)
    assert strategy.effort.samples_seen == 2 * (24 + 48)
    assert strategy.effort.steps == 2 * (3 + 6)
    assert strategy.memory is not None
    assert len(strategy.memory) == 48
    assert strategy.memory_bytes() >= 48 * (16 + 8)


def test_joint_in_one_experience_is_finetuning() -> None:
    stream = stream_of("class-incremental", experiences=1)
    assert same(weights(learnt("joint", stream)), weights(learnt("finetune", stream)))


# Nearest.


@every_scenario
def test_nearest_answers_with_the_closest_exemplar(scenario: str) -> None:
    """By the square of the distance in whole numbers; only exemplars of the task where it is told."""
    stream = stream_of(scenario, toy_dataset(test=(20, 20, 20, 20)))
    strategy = learnt("nearest", stream, memory_size=30)
    assert strategy.memory is not None
    test = stream.test_set(2)
    told = test.task if stream.info.tells_task else None
    logits = strategy.predict(test.x, told).masked_fill(
        ~stream.test_masks(2)[test.task], -torch.inf
    )
    for x, task, found in zip(test.x.long(), test.task.tolist(), logits.argmax(1), strict=True):
        square = (strategy.memory.x.long() - x).square().flatten(1).sum(1)
        if told is not None:
            square[strategy.memory.row != task] = 10**9
        assert found == strategy.memory.y[square.argmin()]


@pytest.mark.parametrize("shape", [(20, 20), (3, 12, 12)])
def test_nearest_measures_whole_numbers_exactly(shape: tuple[int, ...]) -> None:
    """Even black against white; one by one as all together."""
    data = toy_dataset(shape=shape)
    black_and_white = (data.x_train > 127).to(torch.uint8) * 255
    stream = stream_of("class-incremental", replace(data, x_train=black_and_white))
    strategy = learnt("nearest", stream, memory_size=40)
    assert strategy.memory is not None
    x, kept = data.x_test, strategy.memory.x.double()
    x[:4] = torch.stack([x[0] * 0, x[0] * 0 + 255, black_and_white[0], 255 - black_and_white[0]])
    std = stream.info.normalise.std.double().flatten()[:, None]
    gaps = (x.double()[:, None] - kept).flatten(3).div(255 * std).square().sum((2, 3)).sqrt()
    expected = torch.stack([gaps[:, strategy.memory.y == unit].amin(1) for unit in range(4)], 1)
    found = strategy.predict(x, None)
    torch.testing.assert_close(found.double(), -expected, rtol=1e-6, atol=0)
    assert torch.equal(torch.cat([strategy.predict(row[None], None) for row in x]), found)


def test_nearest_compares_float_images_one_by_one_as_all_together() -> None:
    data = toy_dataset(test=(20, 20, 20, 20))
    data = replace(data, x_train=data.x_train / 7, x_test=data.x_test / 7)
    strategy = learnt("nearest", stream_of("class-incremental", data), memory_size=40)
    alone = [strategy.predict(row[None], None) for row in data.x_test]
    assert torch.equal(torch.cat(alone), strategy.predict(data.x_test, None))


def test_nearest_knows_its_exemplars() -> None:
    stream = stream_of("class-incremental")
    strategy = learnt("nearest", stream)
    assert strategy.memory is not None
    assert torch.equal(strategy.predict(strategy.memory.x, None).argmax(1), strategy.memory.y)
    assert strategy.effort.samples_seen == 48
    assert strategy.effort.steps == 0
