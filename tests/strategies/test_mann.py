"""The memory-augmented network as a strategy: on episodes and on streams."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations
from statistics import stdev
from typing import Any

import pytest
import torch
from clbench.strategies.mann import MANN, UNUSED, MANNParameters, Sequences
from torch import Tensor

from clbench.addressing import LRUA
from clbench.episode_evaluator import run_episodes
from clbench.episode_stream import EpisodeStream
from clbench.errors import UsageError
from clbench.evaluator import Outcome, run_stream
from clbench.metrics import average_accuracy
from clbench.specify import prepare, specify
from clbench.stream import Stream
from tests.toys import SCENARIOS, learn_all, make, stream_of, toy_dataset

SMALL: dict[str, Any] = {"controller": 12, "slot_size": 6, "slots": 16, "meta_batch": 4}
KINDS = ("lrua", "ntm", "lstm")


def small(**hyper: Any) -> dict[str, Any]:
    """Return hyper-parameters of a small network, but for those that its addressing has no use for."""
    unused = UNUSED[hyper.get("addressing", "lrua")]
    return {name: value for name, value in SMALL.items() if name not in unused} | hyper


def learner(scenario: str, **hyper: Any) -> tuple[MANN, Stream]:
    stream = stream_of(scenario)
    strategy = make("mann", stream.info, **small(**hyper))
    assert isinstance(strategy, MANN)
    return strategy, stream


def episodic(seed: int = 0, **hyper: Any) -> tuple[MANN, EpisodeStream]:
    options = {"ways": 3, "shots": 2, "queries": 2, "episodes": 12, "test_episodes": 40}
    specification, reason = specify(
        dataset="digits",
        scenario="episodic",
        strategy="mann",
        seed=seed,
        options=options,
        hyper_parameters=small(**hyper),
    )
    assert reason is None
    stream, strategy = prepare(specification)
    assert isinstance(stream, EpisodeStream)
    assert isinstance(strategy, MANN)
    return strategy, stream


def predictions(strategy: MANN, stream: Stream) -> Tensor:
    test = stream.test_set(2)
    with torch.no_grad():
        logits: Tensor = strategy.predict(test.x, test.task if stream.info.tells_task else None)
    return logits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_remembered_is_the_same_after_predicting(scenario: str, kind: str) -> None:
    strategy, stream = learner(scenario, addressing=kind)
    learn_all(strategy, stream)
    first = predictions(strategy, stream)
    before = {row: [t.clone() for t in s.tensors()] for row, s in strategy._remembered.items()}
    assert torch.equal(predictions(strategy, stream), first)
    for row, state in strategy._remembered.items():
        assert all(torch.equal(a, b) for a, b in zip(state.tensors(), before[row], strict=True))


def test_a_query_is_answered_from_exemplars_with_their_true_labels_shifted() -> None:
    """By the network's own step, one exemplar after the other: image with the label before."""
    strategy, stream = learner("class-incremental")
    learn_all(strategy, stream)
    network, (examples, _) = strategy.network, strategy.exemplars(0)
    x = stream.info.normalise(stream.test_set(2).x)
    with torch.no_grad():
        state = network.initial(1)
        for image, unit in zip(examples.x, examples.y, strict=True):
            state = network.step(network.see(image.flatten()[None]), state)
            state.label.zero_()[0, unit] = 1
        after = [network.step(network.see(image.flatten()[None]), state).hr for image in x]
    torch.testing.assert_close(predictions(strategy, stream), network.out(torch.cat(after)))


@pytest.mark.parametrize(
    ("scenario", "lengths"),
    [
        ("class-incremental", [24, 24]),  # all 24 exemplars, of 2 classes and then of 4
        ("domain-incremental", [24, 24]),
        ("task-incremental", [24, 12]),  # those of one task
    ],
)
def test_training_episodes_are_as_long_as_the_priming(scenario: str, lengths: list[int]) -> None:
    strategy, stream = learner(scenario, memory_size=24)
    found: list[int] = []
    run = strategy.network.run
    strategy.network.run = lambda x, *rest: found.append(x.shape[1]) or run(x, *rest)  # type: ignore
    for index, length in enumerate(lengths):
        for experience in stream.deliver(index):
            strategy.learn(experience)
        primed, _ = strategy.exemplars(0)
        assert set(found) == {length}
        assert len(primed.y) == length
        found.clear()


def lessons_of(index: int, **hyper: Any) -> list[Sequences]:
    """Return what is trained on in an experience (of 2 classes among 4) behind those before it."""
    strategy, stream = learner("class-incremental", memory_size=24, **hyper)
    found: list[Sequences] = []
    step = strategy.step
    strategy.step = lambda batch: found.append(batch) or step(batch)  # type: ignore
    for before in range(index + 1):
        found.clear()
        for experience in stream.deliver(before):
            strategy.learn(experience)
    return found


def test_every_so_manyth_step_is_as_long_as_the_priming() -> None:
    """Counted over the experiences: the first one's 5 steps are behind the second one's."""
    hyper = {"shots": 1, "long_every": 3, "episodes": 20}
    assert [b.y.shape[1] for b in lessons_of(0, **hyper)] == [2, 2, 24, 2, 2]
    assert [b.y.shape[1] for b in lessons_of(1, **hyper)] == [24, 4, 4, 24, 4]


@pytest.mark.parametrize(("permuted", "units"), [("all", 4), ("own", 2)])
def test_labels_are_permuted_over_all_units_or_over_their_own(permuted: str, units: int) -> None:
    hyper = {"permuted": permuted, "shots": 1, "episodes": 200}
    first, second = (torch.cat([b.y for b in lessons_of(i, **hyper)]) for i in (0, 1))
    assert len(set(first.flatten().tolist())) == units
    assert {tuple(sorted(y)) for y in second.tolist()} == {(0, 1, 2, 3)}
    assert len({tuple(y) for y in second.tolist()}) == 24  # any order: no class has a unit
    masks = torch.cat([b.mask for b in lessons_of(0, **hyper)])
    assert torch.equal(masks, torch.zeros_like(masks).scatter(1, first, True))


@pytest.mark.parametrize("labels", [[3, 1], [1, 3, 3, 1], [3, 0, 2, 1]])
def test_labels_that_are_the_same_stay_so_and_have_each_of_their_units_as_often(
    labels: list[int],
) -> None:
    """Groups of several domains share a label: one permutation an episode."""
    strategy, _ = learner("domain-incremental", permuted="own")
    strategy.info = replace(strategy.info, classes=4)
    orders: Counter[tuple[tuple[int, int], ...]] = Counter()
    for _ in range(2400):
        drawn = strategy.permuted(torch.tensor(labels)).tolist()
        unit_of = dict(zip(labels, drawn, strict=True))
        assert [unit_of[label] for label in labels] == drawn
        orders[tuple(sorted(unit_of.items()))] += 1
    own = sorted(set(labels))
    assert {tuple(u for _, u in order) for order in orders} == set(permutations(own))
    assert min(orders.values()) > 0.7 * 2400 / len(orders)


def test_long_steps_need_short_ones() -> None:
    with pytest.raises(UsageError, match="long_every does nothing without shots"):
        MANNParameters.parse({"long_every": 5}, "strategy 'mann'")


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_over_all_answers_of_the_sequences_and_to_the_queries(
    kind: str,
) -> None:
    """Answer by answer: −log of the right one of the units that compete; places without a sample do not count."""
    strategy, _ = learner("class-incremental", addressing=kind)
    network, generator = strategy.network, torch.Generator().manual_seed(0)
    x, query = (torch.randn(2, n, 1, 2, 2, generator=generator) for n in (5, 3))
    mask = torch.tensor([[True, True, False, True], [True, False, True, False]])
    y, target = (
        torch.tensor([[0, 3, 1, 0, 3], [2, 0, 0, 2, 2]]),
        torch.tensor([[1, 3, 0], [0, 2, 0]]),
    )
    valid = torch.tensor([[True] * 5, [True, True, True, False, False]])
    asked = torch.tensor([[True, True, False], [True] * 3])
    network.see = torch.nn.Linear(4, network.see.out_features)
    losses = []
    for b in range(2):
        state, units = network.initial(1), mask[b].nonzero().flatten().tolist()

        def surprise(hr: Tensor, unit: int, units: list[int] = units) -> Tensor:
            logits = network.out(hr)[0]
            difference: Tensor = logits[units].logsumexp(0) - logits[unit]
            return difference

        for t in range(int(valid[b].sum())):
            after = network.step(network.see(x[b, t].flatten()[None]), state)
            losses.append(surprise(after.hr, int(y[b, t])))
            state = replace(after, label=torch.eye(4)[y[b, t]][None])
        for q in asked[b].nonzero().flatten().tolist():
            after = network.step(network.see(query[b, q].flatten()[None]), state)
            losses.append(surprise(after.hr, int(target[b, q])))
    assert len(losses) == 8 + 5
    found = strategy.loss(network, Sequences(x, y, valid, query, target, asked, mask))
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_decay_and_clipping_arrive_where_they_belong() -> None:
    strategy, stream = learner("class-incremental", decay=0.7, max_norm=0.01)
    assert isinstance(strategy.network.memory, LRUA)
    M, read, usage = strategy.network.memory.initial(1, torch.zeros(()))
    assert read[0, :, 0].eq(1).all()  # on the first slot alone: the others are the least used ones
    with torch.no_grad():
        _, (_, read, after) = strategy.network.memory.step(torch.zeros(1, 12), (M, read, usage))
    written = after - read.sum(1) - 0.7 * usage
    assert float(written.sum()) == pytest.approx(strategy.parameters.heads, abs=1e-5)
    norms = []
    step = strategy.optimizer.step
    strategy.optimizer.step = lambda: norms.append(_norm(strategy)) or step()  # type: ignore
    learn_all(strategy, stream)
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def _norm(strategy: MANN) -> float:
    gradients = [p.grad for p in strategy.network.parameters() if p.grad is not None]
    return float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())


@pytest.mark.parametrize("meta_ways", [3, 5])
def test_training_on_episodes_lets_the_units_of_an_episode_compete_alone(meta_ways: int) -> None:
    strategy, stream = episodic(meta_ways=meta_ways)
    given: list[Sequences] = []
    loss = strategy.loss
    strategy.loss = lambda network, batch: given.append(batch) or loss(network, batch)  # type: ignore
    before = [p.clone() for p in strategy.network.parameters()]
    run_episodes(stream, strategy, Outcome())
    ways = int(given[0].y.max()) + 1
    assert ways == strategy.network.units == meta_ways
    assert all(batch.mask.all() for batch in given)
    assert any(
        not torch.equal(a, b) for a, b in zip(before, strategy.network.parameters(), strict=True)
    )


def test_a_step_learns_from_a_batch_of_episodes() -> None:
    strategy, stream = learner("class-incremental", episodes=10, meta_batch=4)
    learn_all(strategy, stream)
    assert strategy.effort.steps == 2 * 3


def test_the_order_of_priming_matters_and_nothing_else_of_the_run_depends_on_it() -> None:
    found = []
    for order in (0, 1, 2):
        strategy, stream = learner("class-incremental", priming_order=order)
        learn_all(strategy, stream)
        found.append((predictions(strategy, stream), list(strategy.network.parameters())))
    for logits, parameters in found[1:]:
        assert not torch.equal(logits, found[0][0])
        assert all(torch.equal(a, b) for a, b in zip(parameters, found[0][1], strict=True))


def test_the_effect_of_the_order_is_the_sd_over_five_runs_that_differ_in_it() -> None:
    strategy, stream = learner("class-incremental")
    outcome = Outcome()
    run_stream(stream, strategy, outcome)
    averages = []
    for order in range(5):
        other, again = learner("class-incremental", priming_order=order)
        single = Outcome()
        run_stream(again, other, single)
        averages.append(average_accuracy(single.matrix))
    assert averages[0] == average_accuracy(outcome.matrix)
    assert outcome.spread["orders"] == 5
    assert outcome.spread["order_sd"] == pytest.approx(stdev(a for a in averages if a is not None))
    assert len(set(averages)) > 1


@pytest.mark.parametrize(("memory_size", "slots"), [(30, 128), (200, 200)])
def test_there_are_at_least_128_slots_and_one_for_each_exemplar(
    memory_size: int, slots: int
) -> None:
    stream = stream_of("class-incremental", toy_dataset())
    strategy = make("mann", stream.info, memory_size=memory_size)
    assert isinstance(strategy, MANN)
    assert strategy.network.initial(1).slots[0].shape == (1, slots, 40)


@pytest.mark.parametrize("kind", KINDS)
def test_episodes_are_learnt_from_and_answered_alone_as_together(kind: str) -> None:
    strategy, stream = episodic(addressing=kind)
    run_episodes(stream, strategy, Outcome())
    assert strategy.effort.steps == 3
    batch = next(stream.test_episodes()).episodes
    together = strategy.answer(batch)
    assert together.shape == (32, 6, 3)
    for index in (0, 31):
        one = slice(index, index + 1)
        alone = type(batch)(batch.info, batch.support[one], batch.labels[one], batch.query[one])
        torch.testing.assert_close(strategy.answer(alone)[0], together[index])


def test_fewer_ways_than_units_take_the_first_ones_and_more_are_refused() -> None:
    strategy, stream = episodic(meta_ways=4)
    assert strategy.answer(next(stream.test_episodes()).episodes).shape == (32, 6, 3)
    with pytest.raises(UsageError, match="ways=3 is more than the network's 2 units"):
        episodic(meta_ways=2)


def test_more_heads_than_slots_are_refused() -> None:
    with pytest.raises(UsageError, match="heads=4 is more than the 3 slots"):
        episodic(slots=3)


@pytest.mark.parametrize(
    ("addressing", "name", "value"),
    [("ntm", "decay", 0.5), ("lstm", "decay", 0.5), ("lstm", "heads", 1), ("lstm", "slots", 24)],
)
def test_what_does_nothing_is_refused(addressing: str, name: str, value: float) -> None:
    given = {"addressing": addressing, name: value}
    with pytest.raises(UsageError, match=f"{name} does nothing with addressing={addressing}"):
        MANNParameters.parse(given, "strategy 'mann'")
    assert MANNParameters.parse({**given, "addressing": "lrua"}, "strategy 'mann'")


def test_the_defaults_are_the_papers() -> None:
    p = MANNParameters()
    assert (p.addressing, p.controller, p.slot_size, p.heads) == ("lrua", 200, 40, 4)
    assert (p.slots, p.decay, p.meta_batch) == (None, 0.99, 16)
