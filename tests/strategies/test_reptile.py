"""Reptile against its paper's equations, on episodes and on streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
import torch
from clbench.strategies.reptile import Reptile, ReptileParameters
from torch import Tensor, nn

from clbench.episode_evaluator import ask, run_episodes
from clbench.episode_sampler import Episodes
from clbench.episode_stream import EpisodeStream
from clbench.errors import UsageError
from clbench.evaluator import Outcome, run_stream
from clbench.flat import flatten
from clbench.gradient import Batch, cross_entropy
from clbench.inner_loop import InnerOptimizer, mini_batches
from clbench.meta_training import training_specification
from clbench.networks import StridedConv4
from clbench.runner import run_one
from clbench.specify import prepare, specify
from clbench.stream import Stream
from tests.toys import SCENARIOS, learn_all, make, stream_of

SMALL: dict[str, Any] = {"hidden": [8], "adapt_steps": 3, "meta_shots": 4}
LENGTH = 20


def learner(scenario: str = "class-incremental", **hyper: Any) -> tuple[Reptile, Stream]:
    stream = stream_of(scenario)
    strategy = make("reptile", stream.info, **hyper)
    assert isinstance(strategy, Reptile)
    return strategy, stream


def episodic(ways: int = 3, **hyper: Any) -> tuple[Reptile, EpisodeStream]:
    specification, reason = specify(
        dataset="digits",
        scenario="episodic",
        strategy="reptile",
        options={"ways": ways, "shots": 2, "queries": 2, "episodes": LENGTH, "test_episodes": 40},
        hyper_parameters=SMALL | hyper,
    )
    assert reason is None
    stream, strategy = prepare(specification)
    assert isinstance(stream, EpisodeStream)
    assert isinstance(strategy, Reptile)
    return strategy, stream


def asked(stream: EpisodeStream, count: int = 2) -> Episodes:
    """Return the first test episodes."""
    e = next(stream.test_episodes()).episodes
    return replace(e, support=e.support[:count], labels=e.labels[:count], query=e.query[:count])


def meta_step(strategy: Reptile, tasks: Sequence[Sequence[Batch]], size: float) -> None:
    for batch in strategy.meta_step(tasks, size):
        strategy.step(batch)


def predictions(strategy: Reptile, stream: Stream) -> Tensor:
    test = stream.test_set(2)
    with torch.no_grad():
        logits: Tensor = strategy.predict(test.x, test.task if stream.info.tells_task else None)
    return logits


def everything(strategy: Reptile) -> list[Tensor]:
    """Return a copy of all that learning changes."""
    moments = strategy.optimizer.state_dict()["moments"]
    state = (strategy.phi, strategy.weights, strategy.generator.get_state(), moments)
    return [tensor.clone() for tensor in state if tensor is not None]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# The algorithm.


def test_with_one_step_of_sgd_it_is_sgd() -> None:
    """With step ε·α, on the mean over the tasks' losses."""
    strategy, stream = learner(optimizer="sgd", lr=0.2)
    x = torch.randn(3, 6, *stream.info.shape, generator=torch.Generator().manual_seed(0))
    y = torch.arange(6) % 4
    phi = strategy.phi.clone()
    tasks = [Batch(images, y, None) for images in x]
    loss = sum(cross_entropy(strategy.network(task.x), task) for task in tasks) / 3
    gradients = torch.autograd.grad(torch.as_tensor(loss), list(strategy.network.parameters()))
    meta_step(strategy, [[task] for task in tasks], 0.3)
    expected = phi - 0.3 * 0.2 * torch.cat([g.flatten() for g in gradients])
    torch.testing.assert_close(strategy.phi, expected, atol=1e-7, rtol=1e-5)


class Bowls(Reptile):  # type: ignore[misc]
    """Learns θ in ℝ⁴; the batch numbered i has the loss ½ (θ − cᵢ)ᵀ Aᵢ (θ − cᵢ)."""

    def build(self, info: Any) -> nn.Module:
        layer = nn.Linear(4, 1, bias=False, dtype=torch.float64)
        nn.init.constant_(layer.weight, 0.5)
        return layer

    def loss(self, network: Any, batch: Batch) -> Tensor:
        away = network.weight[0] - batch.x
        loss: Tensor = away @ (self.A[int(batch.y)] @ away) / 2
        return loss

    def draw_bowls(self, count: int) -> list[Batch]:
        generator = torch.Generator().manual_seed(1)
        root = torch.randn(count, 4, 4, generator=generator, dtype=torch.float64)
        centres = torch.randn(count, 4, generator=generator, dtype=torch.float64)
        self.A = root @ root.mT
        return [Batch(c, torch.tensor([i]), None) for i, c in enumerate(centres)]


def mean_update(k: int, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return −(mean update)/α over all orders of k mini-batches, AvgGrad and AvgGradInner."""
    strategy = Bowls(ReptileParameters(optimizer="sgd", lr=alpha, network="mlp"))
    strategy.setup(stream_of("class-incremental").info)
    batches, phi = strategy.draw_bowls(k), strategy.phi.clone()
    orders = list(permutations(batches))
    meta_step(strategy, orders, 1.0)
    centres = torch.stack([batch.x for batch in batches])
    gradients = torch.einsum("nij,nj->ni", strategy.A, phi - centres)
    pairs = [(i, j) for i in range(k) for j in range(k) if i != j]
    inner = sum(strategy.A[i] @ gradients[j] for i, j in pairs) / max(1, len(pairs))
    return (phi - strategy.phi) / alpha, gradients.mean(0), torch.as_tensor(inner)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_mean_update_has_the_gradient_alignment_term(k: int) -> None:
    """Taylor: k · AvgGrad − α k(k−1)/2 · AvgGradInner + O(α²); AvgGradInner raises gradients' inner products."""
    errors = []
    for alpha in (1e-2, 1e-3, 1e-4):
        update, gradient, inner = mean_update(k, alpha)
        rest = update - k * gradient
        torch.testing.assert_close(
            rest / alpha, -k * (k - 1) / 2 * inner, rtol=0.0, atol=2e3 * alpha
        )
        errors.append((rest / alpha + k * (k - 1) / 2 * inner).norm())
    if k > 2:  # a quadratic's expansion of two steps ends there
        assert errors[1] < 0.2 * errors[0]
        assert errors[2] < 0.2 * errors[1]
    assert errors[-1] < 1e-2 * inner.norm()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_inner_optimizer_is_torchs(optimizer: str) -> None:
    """But for where ε is added: to √v before its bias is corrected, as in the released code's framework."""
    generator = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(20, generator=generator), torch.randn(20, generator=generator)
    weights, reference = start.clone(), nn.Parameter(start.clone())
    ours = InnerOptimizer(weights, gradients, 0.01, adam=optimizer == "adam")
    theirs: torch.optim.Optimizer = torch.optim.SGD([reference], 0.01)
    if optimizer == "adam":
        theirs = torch.optim.Adam([reference], 0.01, betas=(0.0, 0.999))
    for _ in range(10):
        gradients.copy_(torch.randn(20, generator=generator))
        reference.grad = gradients.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(weights, reference.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("adam", [True, False])
def test_optimizers_stepped_at_once_go_where_each_goes_alone(adam: bool) -> None:
    """Also where one has more steps behind it: its second moments are corrected by its own number."""
    generator = torch.Generator().manual_seed(0)
    start, gradients = (
        torch.randn(3, 20, generator=generator),
        torch.randn(3, 20, generator=generator),
    )

    def three() -> list[InnerOptimizer]:
        made = [
            InnerOptimizer(w.clone(), g, 0.01, adam=adam)
            for w, g in zip(start, gradients, strict=True)
        ]
        for _ in range(4):
            made[1].step()
        return made

    alone, joined = three(), three()
    for _ in range(3):
        for optimizer in alone:
            optimizer.step()
        InnerOptimizer.step_each(joined)
    assert [o.steps for o in joined] == [3, 7, 3]
    for one, other in zip(alone, joined, strict=True):
        torch.testing.assert_close(other.weights, one.weights)


def test_parameters_are_views_of_one_vector_in_any_layout() -> None:
    network = StridedConv4((1, 8, 8), 6, 3)
    network.to(memory_format=torch.channels_last)
    x, before = torch.randn(4, 1, 8, 8), network.state_dict()
    expected = network(x).detach()
    weights, gradients = flatten(network)
    torch.testing.assert_close(network(x), expected)
    network(x).sum().backward()
    assert gradients.norm() > 0
    assert all(p.grad is not None and p.grad.norm() > 0 for p in network.head.parameters())
    weights.zero_()
    assert all(not p.any() for p in network.parameters())
    network.load_state_dict({name: torch.ones_like(value) for name, value in before.items()})
    assert weights.eq(1).all()


def test_mini_batches_are_passes_one_after_the_other() -> None:
    rows = mini_batches(6, 4, 5, torch.Generator().manual_seed(0))
    assert rows.shape == (5, 4)
    for part in rows.flatten()[:18].view(3, 6):
        assert sorted(part.tolist()) == list(range(6))
    assert rows.flatten()[:6].tolist() != rows.flatten()[6:12].tolist()


# Episodes.


def test_second_moments_are_carried_from_task_to_task_and_no_answer_changes_them() -> None:
    strategy, stream = episodic()
    starts: list[tuple[int, bool]] = []

    def watched(step: Callable[[Batch], None]) -> Callable[[Batch], None]:
        def watching(batch: Batch) -> None:
            state = strategy.optimizer.state_dict()
            starts.append((state["steps"], bool(state["moments"].any())))
            step(batch)

        return watching

    strategy.step, strategy.adapt = watched(strategy.step), watched(strategy.adapt)
    strategy.meta_train(stream.training(shots=4, queries=0))
    assert starts == [(n, n > 0) for n in range(LENGTH * 5)]
    before = everything(strategy)
    strategy.answer(asked(stream))
    assert starts[LENGTH * 5 :] == [(LENGTH * 5 + n, True) for n in (0, 1, 2)] * 2
    assert same(everything(strategy), before)


def test_the_meta_step_falls_linearly_to_nothing() -> None:
    strategy, stream = episodic(meta_step=0.8)
    sizes: list[float] = []
    strategy.meta_step = lambda tasks, size: sizes.append(size) or []  # type: ignore[func-returns-value]
    strategy.meta_train(stream.training(shots=4, queries=0))
    assert sizes == pytest.approx([0.8, 0.6, 0.4, 0.2])  # 20 tasks, 5 at once; then 0


@pytest.mark.parametrize("transductive", [False, True])
def test_answers_depend_on_other_queries_only_if_transductive(transductive: bool) -> None:
    strategy, stream = episodic(transductive=transductive)
    assert strategy.transductive == transductive
    strategy.meta_train(stream.training(shots=4, queries=0))
    episodes = asked(stream)
    whole = strategy.answer(episodes)
    assert whole.shape == (2, 6, 3)
    some = strategy.answer(replace(episodes, query=episodes.query[:, :3]))
    assert torch.allclose(some, whole[:, :3], atol=1e-4) != transductive


def test_a_query_is_normalised_beside_the_support_set() -> None:
    strategy, stream = episodic(adapt_steps=0)
    episodes = asked(stream)
    x, query = (stream.info.normalise(of[1]) for of in (episodes.support, episodes.query))
    expected = [strategy.network(torch.cat([x, one[None]]))[-1] for one in query]
    found = strategy.answer(episodes)[1]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-4, rtol=1e-4)
    strategy.parameters = strategy.parameters.model_copy(update={"transductive": True})
    torch.testing.assert_close(strategy.answer(episodes)[1], strategy.network(query))


def test_an_episode_is_answered_alone_as_among_others() -> None:
    strategy, stream = episodic()
    e = asked(stream)
    alone = replace(e, support=e.support[1:], labels=e.labels[1:], query=e.query[1:])
    torch.testing.assert_close(strategy.answer(alone)[0], strategy.answer(e)[1])


def test_both_evaluations_share_one_training_and_only_one_is_marked() -> None:
    trainings, marks = [], []
    for hyper in ({}, {"transductive": True}, {"adapt_steps": 7}, {"lr": 0.1}):
        specification, _ = specify(
            dataset="digits", scenario="episodic", strategy="reptile", hyper_parameters=hyper
        )
        stream, strategy = prepare(specification)
        assert isinstance(stream, EpisodeStream)
        trainings.append(training_specification(specification, stream, strategy))
        marks.append(specification["protocol"]["transductive"])
    assert trainings[0] == trainings[1] == trainings[2] != trainings[3]
    assert marks == [False, True, False, False]


def test_fewer_ways_than_units_take_the_first_ones_and_more_are_refused() -> None:
    strategy, stream = episodic(meta_ways=4)
    before = strategy.phi.clone()
    assert strategy.answer(asked(stream)).shape == (2, 6, 3)
    assert torch.equal(strategy.phi, before)
    with pytest.raises(UsageError, match="ways=3 is more than the network's 2 units"):
        episodic(meta_ways=2)


def test_it_learns_to_learn() -> None:
    """The same few steps on the same support sets answer better from φ than from where φ began."""
    strategy, stream = episodic(hidden=[16], meta_shots=10, adapt_steps=5, lr=0.003)
    questions = [next(stream.test_episodes())]
    before = ask(strategy, questions)
    training = stream.training(shots=10, queries=0)
    training.length = 150
    strategy.meta_train(training)
    assert sum(ask(strategy, questions)) > sum(before) + 0.08 * len(before)


def test_meta_training_goes_on_to_the_same_bits() -> None:
    strategy, stream = episodic()
    training = stream.training(shots=4, queries=0)
    kept: list[Any] = []
    training.between = lambda: kept.append(deepcopy((strategy.state_dict(), training.state_dict())))
    strategy.meta_train(training)
    resumed, again = episodic()
    rest = again.training(shots=4, queries=0)
    resumed.load_state_dict(kept[1][0])
    rest.load_state_dict(kept[1][1])
    assert rest.drawn == 10
    resumed.meta_train(rest)
    assert torch.equal(resumed.phi, strategy.phi)
    assert resumed.optimizer.state_dict()["steps"] == LENGTH * 5


def test_a_run_on_episodes_counts_inner_steps() -> None:
    strategy, stream = episodic()
    outcome = Outcome()
    run_episodes(stream, strategy, outcome)
    assert strategy.effort.steps == LENGTH * 5
    assert strategy.effort.samples_seen == LENGTH * 5 * 10


# Streams.


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_adapts_to_answer_leaves_no_trace(scenario: str) -> None:
    strategy, stream = learner(scenario, adapt_steps=6)
    learn_all(strategy, stream)
    before = everything(strategy)
    first = predictions(strategy, stream)
    assert same(everything(strategy), before)
    assert len(strategy._answering) == (2 if scenario == "task-incremental" else 1)
    assert strategy.working_bytes() == len(strategy._answering) * strategy.phi.nbytes
    assert torch.equal(predictions(strategy, stream), first)
    with torch.no_grad():
        assert not torch.allclose(
            strategy.network(stream.info.normalise(stream.test_set(2).x)), first
        )


def test_a_copy_is_adapted_on_the_exemplars_of_its_task() -> None:
    strategy, stream = learner("task-incremental", adapt_steps=4, memory_size=8)
    learn_all(strategy, stream)
    given: list[Batch] = []
    step = strategy.adapt
    strategy.adapt = lambda batch: given.append(batch) or step(batch)  # type: ignore
    predictions(strategy, stream)
    assert strategy.memory is not None
    of_task = [set(strategy.memory.y[strategy.memory.row == row].tolist()) for row in (0, 1)]
    assert [
        set(torch.cat([b.y for b in part]).tolist()) for part in (given[:4], given[4:])
    ] == of_task


def test_without_exemplars_it_learns_and_answers_from_phi() -> None:
    strategy, stream = learner(memory_size=0)
    learn_all(strategy, stream)
    x = stream.test_set(2).x
    with torch.no_grad():
        expected = strategy.network(stream.info.normalise(x))
    assert torch.equal(predictions(strategy, stream), expected)
    assert strategy.effort.samples_seen == 48


def test_a_task_of_a_stream_is_k_batches_of_current_samples_and_exemplars() -> None:
    strategy, stream = learner(inner_steps=2, batch_size=8, replay_batch_size=3)
    tasks: list[list[int]] = []
    step = strategy.meta_step

    def watched(given: Any, size: float) -> Iterator[Batch]:
        assert size == 0.7
        tasks.extend([len(batch) for batch in task] for task in given)
        yield from step(given, size)

    strategy.meta_step = watched
    learn_all(strategy, stream)
    assert tasks == [[8, 8], [8], [11, 11], [11]]  # 24 samples an experience


def test_online_every_mini_batch_of_a_task_has_the_incoming_samples() -> None:
    stream = stream_of("class-incremental", online=True, batch_size=6)
    strategy = make("reptile", stream.info, inner_steps=3)
    assert isinstance(strategy, Reptile)
    tasks: list[Any] = []
    step = strategy.meta_step
    strategy.meta_step = lambda given, size: tasks.extend(given) or step(given, size)  # type: ignore
    learn_all(strategy, stream)
    assert [len(task) for task in tasks] == [3] * 8
    assert [len(batch) for batch in tasks[0]] == [6] * 3
    assert [len(batch) for batch in tasks[1]] == [12] * 3
    for task in tasks:
        assert all(torch.equal(batch.x[:6], task[0].x[:6]) for batch in task)


@pytest.mark.parametrize("boundaries", [True, False])
def test_online_streams_are_learnt(boundaries: bool) -> None:
    specification, _ = specify(
        dataset="digits",
        scenario="class-incremental",
        strategy="reptile",
        options={"online": True, "boundaries": boundaries},
    )
    record = run_one(specification)
    assert record["status"] == "ok", record["error"]["traceback"]
    assert record["metrics"]["average_accuracy"] > 0.75
    assert 5 * 144 <= record["budget"]["steps"] <= 5 * 149


@pytest.mark.parametrize(
    ("hyper", "words"),
    [
        ({"transductive": True}, "transductive is for episodes"),
        ({"adapt_steps": 3, "memory_size": 0}, "adapt_steps=3 needs exemplars"),
    ],
)
def test_what_a_stream_does_not_have_is_refused(hyper: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        specify(
            dataset="digits",
            scenario="class-incremental",
            strategy="reptile",
            hyper_parameters=hyper,
        )


def test_a_probe_amid_a_task_is_answered_by_phi() -> None:
    strategy, stream = learner()
    seen: list[bool] = []
    phi = strategy.phi.clone()
    strategy.on_step = lambda: seen.append(torch.equal(strategy.phi, phi))
    experience = next(stream.deliver(0))
    strategy.learn(experience[:16])  # one task of two mini-batches
    assert seen == [True, True]
    assert not torch.equal(strategy.phi, phi)


def test_a_whole_run_with_adaptation_fills_the_matrix() -> None:
    strategy, stream = learner("domain-incremental", adapt_steps=2)
    outcome = Outcome()
    run_stream(stream, strategy, outcome)
    assert [len(row) for row in outcome.matrix] == [2, 2, 2]


def test_the_defaults_are_the_papers() -> None:
    p = ReptileParameters()
    assert (p.optimizer, p.lr, p.inner_batch, p.inner_steps) == ("adam", 1e-3, 10, 5)
    assert (p.meta_shots, p.meta_batch, p.adapt_batch) == (10, 5, 5)
    assert (p.meta_step, p.adapt_steps, p.transductive) == (None, None, False)
    assert InnerOptimizer.BETA2 == 0.999
