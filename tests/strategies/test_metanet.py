"""White-box tests of MetaNet's equations (Munkhdalai & Yu 2017, Algorithm 1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from clbench.strategies.metanet import (
    FastMemory,
    MetaNet,
    MetaNetParameters,
    MetaNetwork,
    Support,
)
from torch import Tensor
from torch.nn import functional

from clbench.episodes import draw_pairs
from clbench.evaluator import Outcome, run_stream
from clbench.meta_gradients import ScalarGenerator, SequenceGenerator, coordinate, features
from clbench.specify import prepare, specify
from clbench.stream import Stream

INPUTS, UNITS = 12, 5


@pytest.fixture
def network() -> MetaNetwork:
    torch.manual_seed(0)
    return MetaNetwork(INPUTS, UNITS, MetaNetParameters(hidden=[7, 6]))


@pytest.fixture
def support() -> Support:
    return make_support(torch.Generator().manual_seed(1))


def make_support(generator: torch.Generator, count: int = 10) -> Support:
    x = torch.randn(count, INPUTS, generator=generator)
    y = torch.arange(count) % 3
    everyone = torch.ones(count, dtype=torch.bool)
    mask = torch.tensor([True, True, True, False, True])
    return Support(x, y, everyone, mask, draw_pairs(y, everyone, 20, generator))


def slow_logits(network: MetaNetwork, x: Tensor, weights: list[Tensor]) -> Tensor:
    h = x
    for layer, weight in enumerate(weights):
        h = functional.linear(h, weight[:, :-1], weight[:, -1])
        h = h.relu() if layer < len(weights) - 1 else h
    return h


def test_example_gradients_equal_autograd_one_example_at_a_time(
    network: MetaNetwork, support: Support
) -> None:
    """∇_W of the cross-entropy of b with slow weights only, among the episode's units."""
    batched = network._example_gradients(support)
    for i in range(len(support.y)):
        weights = [w.detach().clone().requires_grad_() for w in network.W]
        logits = slow_logits(network, support.x[i : i + 1], weights)
        logits = logits.masked_fill(~support.mask, -torch.inf)
        loss = functional.cross_entropy(logits, support.y[i : i + 1])
        for layer, gradient in enumerate(torch.autograd.grad(loss, weights)):
            torch.testing.assert_close(batched[layer][i], gradient, atol=1e-6, rtol=1e-4)


def test_batched_fast_weights_equal_a_loop_over_examples(
    network: MetaNetwork, support: Support
) -> None:
    memory = network.remember(support)
    for i in range(len(support.y)):
        weights = [w.detach().clone().requires_grad_() for w in network.W]
        logits = slow_logits(network, support.x[i : i + 1], weights)
        loss = functional.cross_entropy(
            logits.masked_fill(~support.mask, -torch.inf), support.y[i : i + 1]
        )
        for layer, gradient in enumerate(torch.autograd.grad(loss, weights)):
            one_by_one = network.m.direct(coordinate(gradient))
            torch.testing.assert_close(memory.weights[layer][i], one_by_one, atol=2e-4, rtol=1e-3)


def test_pair_gradients_equal_autograd_of_the_contrastive_loss(
    network: MetaNetwork, support: Support
) -> None:
    parts = network._pair_gradients(support)
    assert all(part.shape == (5, *slow.shape) for part, slow in zip(parts, network.Q, strict=True))
    for t in range(5):
        weights = [w.detach().clone().requires_grad_() for w in network.Q]
        left, right = support.pairs.left[4 * t : 4 * t + 4], support.pairs.right[4 * t : 4 * t + 4]
        key = slow_logits(network, support.x, weights)
        distance = (key[left] - key[right]).norm(dim=1)
        same = support.y[left] == support.y[right]
        losses = torch.where(same, distance**2, (1.0 - distance).clamp_min(0) ** 2)
        for layer, gradient in enumerate(torch.autograd.grad(losses.mean(), weights)):
            torch.testing.assert_close(parts[layer][t], gradient, atol=1e-5, rtol=1e-4)


def test_queries_read_by_attention_and_layers_add_two_relus(
    network: MetaNetwork, support: Support
) -> None:
    """One query at a time, straight from the equations: h' = ReLU(W h) + ReLU(W* h)."""
    memory = network.remember(support)
    assert memory.task is not None
    queries = torch.randn(4, INPUTS)
    together = network.answer(queries, memory)
    one = torch.ones(1)
    for query, logits in zip(queries, together, strict=True):
        h = torch.cat([query, one])
        first = (network.Q[0] @ h).relu() + (memory.task[0] @ h).relu()
        h = torch.cat([first, one])
        key = network.Q[1] @ h + memory.task[1] @ h
        cosine = functional.cosine_similarity(memory.index, key[None])
        a = cosine.softmax(0)
        h = torch.cat([query, one])
        for layer, slow in enumerate(network.W):
            fast = (a[:, None, None] * memory.weights[layer]).sum(0)
            out = (slow @ h, fast @ h)
            h = torch.cat([out[0].relu() + out[1].relu(), one])
        torch.testing.assert_close(logits, out[0] + out[1], atol=1e-5, rtol=1e-4)


def test_shapes_of_memory_and_index(network: MetaNetwork, support: Support) -> None:
    memory = network.remember(support)
    count = len(support.y)
    assert [tuple(w.shape) for w in memory.weights] == [(count, *slow.shape) for slow in network.W]
    assert memory.index.shape == (count, 6)
    torch.testing.assert_close(memory.index.norm(dim=1), torch.ones(count))


def test_support_gradients_are_constants_and_all_of_theta_learns(
    network: MetaNetwork, support: Support
) -> None:
    """No gradient of a gradient; yet W, Q, Z and G all receive one from the query loss."""
    assert not any(g.requires_grad for g in network._example_gradients(support))
    assert not any(g.requires_grad for g in network._pair_gradients(support))
    logits = network.answer(torch.randn(4, INPUTS), network.remember(support))
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_with_fixed_task_weights_the_order_of_the_support_does_not_matter(
    network: MetaNetwork, support: Support
) -> None:
    order = torch.randperm(len(support.y), generator=torch.Generator().manual_seed(3))
    shuffled = replace(support, x=support.x[order], y=support.y[order])
    task = network.remember(support).task
    queries = torch.randn(4, INPUTS)

    def logits(which: Support) -> Tensor:
        memory = network.remember(which)
        fixed = FastMemory(memory.weights, network.embed(which.x, task), task, which.valid)
        answered: Tensor = network.answer(queries, fixed)
        return answered

    torch.testing.assert_close(logits(support), logits(shuffled), atol=1e-5, rtol=1e-4)


def test_empty_places_of_an_episode_change_nothing(network: MetaNetwork, support: Support) -> None:
    memory = network.remember(support)
    garbage = replace(
        support,
        x=torch.cat([support.x, torch.full((2, INPUTS), 7.0)]),
        y=torch.cat([support.y, torch.tensor([3, 3])]),
        valid=torch.cat([support.valid, torch.zeros(2, dtype=torch.bool)]),
    )
    padded = network.remember(garbage)
    padded = FastMemory(
        padded.weights, network.embed(garbage.x, memory.task), memory.task, garbage.valid
    )
    queries = torch.randn(4, INPUTS)
    expected = network.answer(queries, memory)
    torch.testing.assert_close(network.answer(queries, padded), expected, atol=1e-5, rtol=1e-4)


def test_gradient_features_are_those_of_the_paper() -> None:
    """p = 7: (log|g|/p, sign g) above e⁻⁷, else (−1, e⁷ g)."""
    g = torch.tensor([0.5, -0.5, 1e-3, -1e-3, 1e-5, -1e-5, 0.0, 2.0])
    large = g.abs() >= torch.exp(torch.tensor(-7.0))
    first = torch.where(large, g.abs().clamp_min(1e-30).log() / 7, torch.tensor(-1.0))
    second = torch.where(large, g.sign(), g * torch.exp(torch.tensor(7.0)))
    torch.testing.assert_close(
        features(coordinate(g)), torch.stack([first, second], -1), atol=1e-5, rtol=1e-5
    )


def test_the_table_of_m_agrees_with_m_and_so_does_its_gradient() -> None:
    torch.manual_seed(0)
    m = ScalarGenerator()
    gradient = torch.randn(2000) * 10 ** torch.empty(2000).uniform_(-6, 0.5)
    weight = torch.randn(2000)
    table, direct = m(gradient), m.direct(coordinate(gradient))
    torch.testing.assert_close(table, direct, atol=5e-4, rtol=1e-3)
    for_table = torch.autograd.grad((table * weight).sum(), list(m.parameters()))
    for_direct = torch.autograd.grad((direct * weight).sum(), list(m.parameters()))
    ours, exact = (torch.cat([g.flatten() for g in gs]) for gs in (for_table, for_direct))
    assert float((ours - exact).norm() / exact.norm()) < 0.05  # kinks between knots are smoothed


def test_d_is_an_lstm() -> None:
    torch.manual_seed(0)
    d = SequenceGenerator(hidden=4, block=3)
    gradients = torch.randn(5, 8) * 1e-2
    lstm = torch.nn.LSTM(2, 4)
    place = torch.cat([torch.arange(4) + 4 * gate for gate in (0, 1, 3, 2)])  # ours: i, f, o, g
    weights = {
        "weight_ih_l0": d.from_input[place],
        "weight_hh_l0": d.from_state[place],
        "bias_ih_l0": d.bias[place, 0],
        "bias_hh_l0": torch.zeros(16),
    }
    lstm.load_state_dict(weights)
    _, (h, _) = lstm(features(coordinate(gradients)))
    torch.testing.assert_close(d(gradients), d.output(h[0]).squeeze(1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("coordinates", [16, 21])
def test_the_gradient_of_d_is_estimated_without_bias(coordinates: int) -> None:
    """Its mean over all offsets is the whole gradient, also where the stride leaves a rest."""
    torch.manual_seed(0)
    whole, every_fourth = SequenceGenerator(4, stride=1), SequenceGenerator(4, stride=4)
    every_fourth.load_state_dict(whole.state_dict())
    gradients, weight = torch.randn(5, coordinates) * 1e-2, torch.randn(coordinates)

    def gradient(d: SequenceGenerator) -> Tensor:
        values = d(gradients)
        torch.testing.assert_close(values, whole(gradients), atol=1e-6, rtol=1e-5)
        found = torch.autograd.grad((values * weight).sum(), list(d.parameters()))
        return torch.cat([part.flatten() for part in found])

    mean = torch.stack([gradient(every_fourth) for _ in range(4)]).mean(0)
    torch.testing.assert_close(mean, gradient(whole), atol=1e-5, rtol=1e-4)


def prepared(scenario: str, **hyper: object) -> tuple[Stream, MetaNet]:
    specification, _ = specify(
        dataset="digits",
        scenario=scenario,
        strategy="metanet",
        hyper_parameters={"lr": 0.003, "temperature": 0.1, **hyper},
    )
    stream, strategy = prepare(specification)
    assert isinstance(stream, Stream)
    assert isinstance(strategy, MetaNet)
    return stream, strategy


def accuracy(stream: Stream, strategy: MetaNet) -> float:
    test = stream.test_set(len(stream))
    with torch.no_grad():
        return float((strategy.predict(test.x, None).argmax(1) == test.y).float().mean())


def test_without_fast_weights_it_is_at_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are permuted in every episode: all that is known of classes is in the fast weights."""
    stream, strategy = prepared("class-incremental", episodes=40)
    run_stream(stream, strategy, Outcome())
    assert accuracy(stream, strategy) > 0.85
    monkeypatch.setattr(
        ScalarGenerator, "forward", lambda self, gradient: torch.zeros_like(gradient)
    )
    strategy._fast = {}
    assert accuracy(stream, strategy) < 0.25


def test_support_and_query_of_an_episode_share_no_example() -> None:
    stream, strategy = prepared("class-incremental", episodes=1)
    for index in range(4):
        strategy.learn(next(stream.deliver(index)))
    (experience,) = stream.deliver(4)
    strategy.see(experience)
    current = replace(experience, x=stream.info.normalise(experience.x))
    strategy.begin(current)
    for _ in range(20):
        episode = strategy.draw(current, torch.arange(len(current)))
        query = episode.query.x[episode.query.valid].flatten(1)
        distance = torch.cdist(query, episode.support.x[episode.support.valid])
        assert float(distance.min()) > 1e-3
        assert episode.support.mask[episode.query.y].all()
        assert episode.support.mask.sum() == 10


def test_an_episode_permutes_the_labels() -> None:
    stream, strategy = prepared("class-incremental", shots=1, queries=1)
    (experience,) = stream.deliver(0)
    strategy.see(experience)
    strategy.begin(replace(experience, x=stream.info.normalise(experience.x)))
    seen = {tuple(strategy.draw(experience, torch.arange(2)).query.y.tolist()) for _ in range(10)}
    assert len(seen) > 5


def test_in_task_incremental_streams_an_episode_has_one_task() -> None:
    stream, strategy = prepared("task-incremental", episodes=2)
    run_stream(stream, strategy, Outcome())
    (experience,) = stream.deliver(4)
    strategy.begin(replace(experience, x=stream.info.normalise(experience.x)))
    for _ in range(10):
        assert strategy.draw(experience, torch.arange(2)).support.mask.sum() == 2
    assert set(strategy._fast) == set(range(5))
    assert strategy.working_bytes() > 0
