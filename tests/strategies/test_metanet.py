"""White-box tests of MetaNet's equations (Munkhdalai & Yu 2017, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
import torch
from clbench.strategies.metanet import MetaNet, MetaNetParameters, MetaNetwork
from torch import Tensor
from torch.nn import functional

from clbench import meta_gradients
from clbench.augmented import Chain, Convolution, FastWeights, Layer, attended, cnn, mlp, shared
from clbench.columns import ColumnWeights
from clbench.episode_evaluator import run_episodes
from clbench.episode_stream import EpisodeStream
from clbench.evaluator import Outcome, run_stream
from clbench.fast_memory import Support
from clbench.meta_gradients import ScalarGenerator, SequenceGenerator, coordinate, features
from clbench.representation import draw_pairs
from clbench.specify import prepare, specify
from clbench.stream import Stream

SHAPE, UNITS = (1, 6, 6), 5
P = MetaNetParameters(hidden=[7, 6], task_level=True, base_task_level=True)


def make_network(kind: str, parameters: MetaNetParameters = P) -> MetaNetwork:
    torch.manual_seed(0)
    first, *rest = parameters.hidden
    if kind == "mlp":
        b, u = mlp([36, first, *rest, UNITS]), mlp([36, first, *rest])
    else:
        b, u = cnn(SHAPE, first, [*rest, UNITS]), cnn(SHAPE, first, rest)
    return MetaNetwork(Chain(b), Chain(u), parameters)


@pytest.fixture(params=["mlp", "cnn"])
def network(request: pytest.FixtureRequest) -> MetaNetwork:
    return make_network(request.param)


@pytest.fixture(params=["contrastive", "cross-entropy"])
def support(request: pytest.FixtureRequest) -> Support:
    return make_support(torch.Generator().manual_seed(1), request.param)


def make_support(generator: torch.Generator, representation: str, count: int = 10) -> Support:
    x = torch.randn(count, *SHAPE, generator=generator)
    y = torch.arange(count) % 3
    everyone = torch.ones(count, dtype=torch.bool)
    mask = torch.tensor([True, True, True, False, True])
    if representation == "contrastive":
        return Support(x, y, everyone, mask, draw_pairs(y, everyone, 20, generator), None)
    classifier = torch.randn(UNITS, P.hidden[-1], generator=generator)
    return Support(x, y, everyone, mask, None, classifier)


def product(layer: Layer, weight: Tensor, h: Tensor) -> Tensor:
    """What a layer does before its ReLU, by torch's own functions."""
    if isinstance(layer, Convolution):
        return functional.conv2d(h, weight.view(len(weight), -1, 3, 3), padding=1)
    return functional.linear(h.flatten(1), weight[:, :-1], weight[:, -1])


def pooled(layer: Layer, h: Tensor) -> Tensor:
    return functional.max_pool2d(h, 2, ceil_mode=True) if isinstance(layer, Convolution) else h


def outputs(chain: Chain, *weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """Straight from the equations: h' = Σ ReLU(W h), the last layer without ReLU."""
    h = x
    for place, layer in enumerate(chain.layers):
        products = [product(layer, each[place], h) for each in weights]
        h = pooled(layer, torch.stack([z.relu() for z in products]).sum(0))
    return torch.stack(products).sum(0)


def constants(weights: Iterable[Tensor]) -> list[Tensor]:
    return [w.detach().clone().requires_grad_() for w in weights]


def example_gradients(network: MetaNetwork, support: Support) -> list[Tensor]:
    trace, errors = network._example_trace(support)
    found: list[Tensor] = trace.gradients(errors, len(support.y))
    return found


def whole(weights: FastWeights) -> Tensor:
    """Fast weights [N, out, in], whichever way they are held."""
    if isinstance(weights, Tensor):
        return weights
    columns, alone = weights.columns, len(weights.columns.example)
    found = weights.weight[alone:, :, None].expand(weights.shape).clone()
    found[columns.example, :, columns.place] = weights.weight[:alone]
    return found


def example_losses(network: MetaNetwork, support: Support, slow: list[Tensor]) -> Tensor:
    logits = outputs(network.b, slow, x=support.x).masked_fill(~support.mask, -torch.inf)
    return functional.cross_entropy(logits, support.y, reduction="none")


def test_example_gradients_equal_autograd_one_example_at_a_time(
    network: MetaNetwork, support: Support
) -> None:
    """∇_W of the cross-entropy of b with slow weights only, among the episode's units."""
    batched = example_gradients(network, support)
    for i in range(len(support.y)):
        W = constants(network.W)
        found = torch.autograd.grad(example_losses(network, support, W)[i], W)
        for layer, gradient in enumerate(found):
            torch.testing.assert_close(batched[layer][i], gradient, atol=1e-6, rtol=1e-4)


def test_batched_fast_weights_equal_a_loop_over_examples(
    network: MetaNetwork, support: Support
) -> None:
    memory = network.remember(support)
    kinds = [layer.kind for layer in network.b.layers]
    for i in range(len(support.y)):
        W = constants(network.W)
        found = torch.autograd.grad(example_losses(network, support, W)[i], W)
        for layer, (kind, gradient) in enumerate(zip(kinds, found, strict=True)):
            m = network.m[kind]
            assert isinstance(m, ScalarGenerator)
            one_by_one = m.direct(coordinate(gradient))
            torch.testing.assert_close(
                whole(memory.weights[layer])[i], one_by_one, atol=2e-4, rtol=1e-3
            )


def representation_losses(network: MetaNetwork, support: Support, slow: list[Tensor]) -> Tensor:
    key = outputs(network.u, slow, x=support.x)
    if support.pairs is not None:
        left, right = support.pairs.left, support.pairs.right
        distance = (key[left] - key[right]).norm(dim=1)
        same = support.y[left] == support.y[right]
        return torch.where(same, distance**2, (1.0 - distance).clamp_min(0) ** 2)
    assert support.classifier is not None
    logits = (key.relu() @ support.classifier.T).masked_fill(~support.mask, -torch.inf)
    return functional.cross_entropy(logits, support.y, reduction="none")


def test_representation_gradients_equal_autograd_of_the_loss(
    network: MetaNetwork, support: Support
) -> None:
    """Contrastive for pairs; cross-entropy for one shot, through a classifier that is never learnt."""
    parts = network._representation_gradients(support)
    assert all(part.shape == (5, *slow.shape) for part, slow in zip(parts, network.Q, strict=True))
    size = 4 if support.pairs is not None else 2
    for t in range(5):
        Q = constants(network.Q)
        losses = representation_losses(network, support, Q)[size * t : size * (t + 1)]
        for layer, gradient in enumerate(torch.autograd.grad(losses.mean(), Q)):
            torch.testing.assert_close(parts[layer][t], gradient, atol=1e-5, rtol=1e-3)


def test_task_level_weights_of_b_are_made_of_the_mean_gradients_of_parts_of_the_support(
    network: MetaNetwork, support: Support
) -> None:
    memory = network.remember(support)
    assert memory.base is not None
    each = example_gradients(network, support)
    for layer, generated in enumerate(memory.base):
        kind = network.b.layers[layer].kind
        means = torch.stack([part.mean(0) for part in each[layer].chunk(5)])
        expected = network.d_base[kind](means.flatten(1))
        torch.testing.assert_close(generated, expected.view_as(generated), atol=1e-6, rtol=1e-4)


def test_queries_read_by_attention_and_layers_add_relus(
    network: MetaNetwork, support: Support
) -> None:
    """One query at a time: h' = ReLU(W h) + ReLU(W* h), and MetaNet+ adds b's own task-level weights."""
    memory = network.remember(support)
    assert memory.task is not None
    assert memory.base is not None
    queries = torch.randn(4, *SHAPE)
    together = network.answer(queries, memory)
    for query, logits in zip(queries, together, strict=True):
        key = outputs(network.u, list(network.Q), memory.task, x=query[None])
        a = functional.cosine_similarity(memory.index, key).softmax(0)
        fast = [(a[:, None, None] * whole(each)).sum(0) for each in memory.weights]
        expected = outputs(network.b, list(network.W), memory.base, fast, x=query[None])
        torch.testing.assert_close(logits[None], expected, atol=1e-5, rtol=1e-3)


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
    assert not any(g.requires_grad for g in example_gradients(network, support))
    assert not any(g.requires_grad for g in network._representation_gradients(support))
    logits = network.answer(torch.randn(4, *SHAPE), network.remember(support))
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_with_fixed_task_weights_the_order_of_the_support_does_not_matter(
    network: MetaNetwork, support: Support
) -> None:
    order = torch.randperm(len(support.y), generator=torch.Generator().manual_seed(3))
    shuffled = replace(support, x=support.x[order], y=support.y[order])
    first = network.remember(support)
    queries = torch.randn(4, *SHAPE)

    def logits(which: Support) -> Tensor:
        fixed = replace(
            network.remember(which),
            index=network.embed(which.x, first.task),
            task=first.task,
            base=first.base,
        )
        answered: Tensor = network.answer(queries, fixed)
        return answered

    torch.testing.assert_close(logits(support), logits(shuffled), atol=1e-5, rtol=1e-3)


def test_empty_places_of_an_episode_change_nothing(network: MetaNetwork, support: Support) -> None:
    memory = network.remember(support)
    garbage = replace(
        support,
        x=torch.cat([support.x, torch.full((2, *SHAPE), 7.0)]),
        y=torch.cat([support.y, torch.tensor([3, 3])]),
        valid=torch.cat([support.valid, torch.zeros(2, dtype=torch.bool)]),
    )
    index = network.embed(garbage.x, memory.task)
    padded = replace(network.remember(garbage), index=index, task=memory.task, base=memory.base)
    queries = torch.randn(4, *SHAPE)
    expected = network.answer(queries, memory)
    torch.testing.assert_close(network.answer(queries, padded), expected, atol=1e-5, rtol=1e-3)


def test_what_lies_in_an_empty_place_changes_nothing(
    network: MetaNetwork, support: Support
) -> None:
    """Neither the example-level nor the task-level fast weights, of b and of u."""
    valid = support.valid.clone()
    valid[1] = False
    support = replace(support, valid=valid)
    if support.pairs is not None:
        drawn = draw_pairs(support.y, valid, len(support.pairs.left), torch.Generator())
        support = replace(support, pairs=drawn)
    x = support.x.clone()
    x[1] = 7.0
    with torch.no_grad():  # else d's gradient is estimated from other coordinates, which rounds
        memory, other = network.remember(support), network.remember(replace(support, x=x))
    for own, given in ((memory.task, other.task), (memory.base, other.base)):
        assert own is not None
        assert given is not None
        for a, b in zip(own, given, strict=True):
            assert torch.equal(a, b)
    queries = torch.randn(4, *SHAPE)
    torch.testing.assert_close(network.answer(queries, other), network.answer(queries, memory))


def test_another_number_of_units_gets_a_last_layer_of_its_own_that_is_never_learnt(
    network: MetaNetwork, support: Support
) -> None:
    """Trained on 5 ways, asked on 7: fast weights alone adapt the new layer."""
    classifier = None if support.pairs is not None else network.never_learnt(7)[:, :-1]
    mask = torch.ones(7, dtype=torch.bool)
    wider = replace(support, y=support.y + 4, mask=mask, classifier=classifier)
    memory = network.remember(wider)
    logits = network.answer(torch.randn(4, *SHAPE), memory)
    assert logits.shape == (4, 7)
    logits.sum().backward()
    assert network.W[-1].grad is None
    assert network.slow_weights(7)[-1] is network.slow_weights(7)[-1]
    assert not network.slow_weights(7)[-1].requires_grad


def test_slow_weights_of_other_ways_can_be_zero_those_of_the_trained_ways_stay(
    network: MetaNetwork,
) -> None:
    network._p = network._p.model_copy(update={"new_layer": "zero"})
    assert not network.slow_weights(7)[-1].any()
    assert network.slow_weights(UNITS)[-1] is network.W[-1]
    assert network.never_learnt(UNITS).any()  # the representation loss needs it


def test_attention_is_a_softmax_over_cosines_divided_by_the_temperature(
    network: MetaNetwork, support: Support
) -> None:
    memory, x = replace(network.remember(support), task=None, base=None), torch.randn(4, *SHAPE)
    network._p = network._p.model_copy(update={"temperature": 0.1})
    a = (network.embed(x, None) @ memory.index.T / 0.1).softmax(1)
    slow = shared(network.slow_weights(UNITS))
    expected = network.b.forward(x, slow, attended(a, memory.weights))
    torch.testing.assert_close(network.answer(x, memory), expected)


@pytest.mark.parametrize(
    ("shots", "meta_shots", "pairs"), [(1, None, False), (2, None, True), (1, 2, True)]
)
def test_one_shot_takes_cross_entropy_more_take_pairs(
    shots: int, meta_shots: int | None, *, pairs: bool
) -> None:
    given = {"network": "mlp", "hidden": [7, 6], "meta_shots": meta_shots or "none"}
    specification, _ = specify(
        dataset="digits",
        scenario="episodic",
        strategy="metanet",
        options={"ways": 2, "shots": shots, "episodes": 1},
        hyper_parameters=given,
    )
    stream, strategy = prepare(specification)
    assert isinstance(stream, EpisodeStream)
    assert isinstance(strategy, MetaNet)
    (batch,) = stream.training(shots=meta_shots).batches(1)
    examples, mask = strategy._given(batch.episodes, 0)
    support = strategy._support(examples, mask, strategy.generator)
    assert (support.pairs is not None) == pairs


def test_the_nearest_key_gives_its_label(network: MetaNetwork, support: Support) -> None:
    memory = replace(network.remember(support), task=None)
    query = torch.randn(1, *SHAPE)
    key = network.embed(query, None)
    index = functional.normalize(torch.randn(len(support.y), 6), dim=1)
    index[4] = key  # of unit 1
    scores = network.answer(query, replace(memory, index=index), "nearest-key")
    torch.testing.assert_close(scores[0, 1], torch.tensor(1.0))
    assert scores.argmax() == 1
    assert (scores[0, 3:] == -torch.inf).all()  # units without an example


def test_uniform_attention_gives_every_query_the_mean_of_the_memory(
    network: MetaNetwork, support: Support
) -> None:
    memory = network.remember(support)
    queries = torch.randn(4, *SHAPE)
    mean = [whole(each).mean(0) for each in memory.weights]
    assert memory.base is not None
    expected = outputs(network.b, list(network.W), memory.base, mean, x=queries)
    answered = network.answer(queries, memory, "uniform-attention")
    torch.testing.assert_close(answered, expected, atol=1e-5, rtol=1e-3)


def test_with_convolutions_no_gradient_begins_with_no_fast_weight() -> None:
    """A constant in every weight would add up over the inputs: the first losses were in the thousands."""
    network = make_network("cnn")
    for kind in ("convolution", "dense"):
        zero = torch.zeros(5, 3)
        torch.testing.assert_close(network.m[kind](zero), zero, atol=1e-7, rtol=0)
        torch.testing.assert_close(network.d[kind](zero), zero[0], atol=1e-7, rtol=0)


@pytest.mark.parametrize(("size", "pixels"), [(28, 1), (84, 9), (8, 1)])
def test_the_cnn_is_the_papers(size: int, pixels: int) -> None:
    """Five blocks; 28 pixels become 14, 7, 4, 2, 1."""
    chain = Chain(cnn((3, size, size), 4, [6, 5]))
    weights = [layer.initial() for layer in chain.layers]
    assert [tuple(w.shape) for w in weights[1:]] == [(4, 36)] * 4 + [(6, 4 * pixels + 1), (5, 7)]
    assert chain.forward(torch.randn(2, 3, size, size), shared(weights)).shape == (2, 5)


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


def test_d_reads_equal_coordinates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives every one the bits that it would have alone, in a number of columns as those of its networks."""
    torch.manual_seed(0)
    d = SequenceGenerator()
    few = torch.randn(5, 640) * 1e-2
    gradients = few[:, torch.randint(640, (12_800,))]
    with torch.no_grad():
        whole = d._read_all(coordinate(gradients))
        read: list[int] = []
        each = d._read_in_place

        def counting(s: Tensor, weights: Tensor) -> Tensor:
            read.append(s.shape[1])
            return each(s, weights)

        monkeypatch.setattr(d, "_read_in_place", counting)
        assert torch.equal(d(gradients), whole)
    assert sum(read) == 640


def test_d_in_place_reads_as_d_does() -> None:
    """Also where gates are shut: 2 to the power of a large number is infinite, and σ of it 0."""
    torch.manual_seed(0)
    d, s = SequenceGenerator(stride=1), torch.randn(5, 100) * 4
    for scale in (1, 1000):
        d.from_input.data.mul_(scale)
        with torch.no_grad():
            torch.testing.assert_close(
                d._read_in_place(s, d._joint_weights()),
                d._read(s, d._joint_weights()),
                atol=1e-6,
                rtol=1e-5,
            )


def test_d_survives_a_hash_that_tells_nothing_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    d, gradients = SequenceGenerator(), torch.randn(5, 128) * 1e-2
    place = torch.zeros(128, dtype=torch.int64)
    monkeypatch.setattr(meta_gradients, "_distinct", lambda s: (place[:1], place))
    with torch.no_grad():
        assert torch.equal(d(gradients), d._read_all(coordinate(gradients)))


@pytest.mark.parametrize("coordinates", [16, 21])
def test_the_gradient_of_d_is_estimated_without_bias(coordinates: int) -> None:
    """Its mean over all offsets is the whole gradient, also where the stride leaves a rest."""
    torch.manual_seed(0)
    whole, every_fourth = SequenceGenerator(4, stride=1), SequenceGenerator(4, stride=4)
    every_fourth.load_state_dict(whole.state_dict())
    gradients, weight = torch.randn(5, coordinates) * 1e-2, torch.randn(coordinates)
    gradients[:, 3:12] = gradients[:, :1]  # those that are equal are read once, and count each

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


def test_examples_share_columns_of_fast_weights_and_nothing_else_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Images with a background: half of their inputs are the same."""
    network = make_network("mlp")
    support = make_support(torch.Generator().manual_seed(1), "contrastive")
    x = support.x.where(support.x > 0, -0.4)
    support, queries = replace(support, x=x), torch.randn(4, *SHAPE)

    def learnt() -> list[Tensor]:
        network.zero_grad()
        for d in (network.d, network.d_base):
            d["dense"].offset.zero_()
        memory = network.remember(support)
        held.append(type(memory.weights[0]))
        logits = network.answer(queries, memory)
        logits.sin().sum().backward()
        return [logits, *(p.grad for p in network.parameters() if p.grad is not None)]

    held: list[type] = []
    shared_columns = learnt()
    monkeypatch.setattr("clbench.columns._WORTHWHILE", -1.0)
    torch.testing.assert_close(shared_columns, learnt(), atol=1e-5, rtol=1e-3)
    assert held == [ColumnWeights, Tensor]


def test_without_fast_weights_it_is_at_chance() -> None:
    """Labels are permuted in every episode: all that is known of classes is in the fast weights."""
    stream, strategy = prepared("class-incremental", episodes=40)
    run_stream(stream, strategy, Outcome())
    assert accuracy(stream, strategy) > 0.85
    changed = strategy.parameters.model_copy(update={"ablation": "no-fast-weights"})
    strategy.parameters = changed
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
        distance = torch.cdist(query, episode.support.x[episode.support.valid].flatten(1))
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
    assert set(strategy._remembered) == set(range(5))
    assert strategy.working_bytes() > 0


def test_it_learns_to_learn_and_ablations_take_that_away() -> None:
    """3-way 1-shot on digits, of classes it never saw; labels are dealt anew in every episode: chance is a third."""
    specification, _ = specify(
        dataset="digits",
        scenario="episodic",
        strategy="metanet",
        options={
            "ways": 3,
            "queries": 5,
            "episodes": 200,
            "train_classes": 7,
            "test_episodes": 200,
        },
        hyper_parameters={"network": "mlp", "hidden": [32, 32], "lr": 0.003, "temperature": 0.3},
    )
    stream, strategy = prepare(specification)
    assert isinstance(stream, EpisodeStream)
    accuracies = {}
    for ablation in ("none", "no-fast-weights", "uniform-attention", "nearest-key"):
        strategy.parameters = strategy.parameters.model_copy(update={"ablation": ablation})
        outcome = Outcome(meta_trained=ablation != "none")
        run_episodes(stream, strategy, outcome)
        accuracies[ablation] = outcome.matrix[-1][0] or 0.0
    assert accuracies["none"] > 0.6
    assert accuracies["nearest-key"] > 0.6
    assert abs(accuracies["no-fast-weights"] - 1 / 3) < 0.04
    assert accuracies["uniform-attention"] < accuracies["none"] - 0.1
