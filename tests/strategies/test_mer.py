"""MER: single steps in the published order, Reptile's two averages, a reservoir after every example."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from clbench.errors import UsageError
from clbench.experience import Experience
from clbench.gradient import Batch, GradientStrategy
from clbench.networks import Conv4
from clbench.registry import resolve
from clbench.runner import run_one
from clbench.seeds import Seeds
from clbench.specify import specify
from clbench.stream import Stream
from tests.toys import SCENARIOS, learn_all, make, stream_of, toy_dataset

MER = resolve("strategies", "mer").target
PLAIN = {"batches_per_example": 1, "replay_batch_size": 0, "beta": 1.0, "gamma": 1.0}
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def mer(stream: Stream, **hyper: Any) -> Any:
    """Return MER with a small learning rate, so that no comparison is of chaos."""
    return make("mer", stream.info, **{"lr": 0.01, **hyper})


def vector(strategy: GradientStrategy) -> Tensor:
    """Return all parameters."""
    return parameters_to_vector(strategy.network.parameters()).detach().clone()


def learn(learner: Any, sequences: list[Batch]) -> None:
    """Let it learn an example."""
    for sequence in learner.example(sequences):
        learner.step(sequence)


def first(stream: Stream, index: int = 0) -> Experience:
    """Return a whole experience."""
    (experience,) = stream.deliver(index)
    return experience


@every_scenario
@pytest.mark.parametrize("network", ["mlp", "conv4"])
def test_without_draws_it_is_sgd_one_example_at_a_time(scenario: str, network: str) -> None:
    stream = stream_of(scenario, online=True, batch_size=1, samples=10)
    hyper = {"network": network, "lr": 0.05}
    plain: Any = make("finetune", stream.info, optimizer="sgd", **hyper)
    ours = mer(stream, **PLAIN, **hyper)
    learn_all(plain, stream)
    learn_all(ours, stream)
    torch.testing.assert_close(vector(ours), vector(plain))
    assert ours.effort == plain.effort


class Twice(MER):  # type: ignore[misc, valid-type]
    """MER with a loss of its own."""

    def loss(self, network: Any, batch: Batch) -> Tensor:
        loss: Tensor = super().loss(network, batch)
        return 2 * loss


def test_a_loss_of_its_own_is_what_is_descended() -> None:
    """Steps by hand are of cross-entropy alone: twice the loss is twice the rate."""
    stream = stream_of("class-incremental", online=True, samples=6)
    given = {**PLAIN, "hidden": [8], "lr": 0.01}
    ours, faster = Twice(MER.Parameters.parse(given, "mer")), mer(stream, **{**given, "lr": 0.02})
    ours.setup(stream.info)
    for learner in (ours, faster):
        learner.learn(first(stream))
    torch.testing.assert_close(vector(ours), vector(faster))


class Noting(MER):  # type: ignore[misc, valid-type]
    """MER that notes every sequence, and how many exemplars there were."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)
        self.noted: list[tuple[int, Batch]] = []

    def step(self, batch: Batch) -> None:
        self.noted.append((len(self.memory), batch))
        super().step(batch)


@pytest.mark.parametrize(("algorithm", "batches", "place"), [(1, 3, 0), (6, 1, -1)])
def test_the_current_example_comes_first_in_algorithm_1_and_last_in_6(
    algorithm: int, batches: int, place: int
) -> None:
    stream = stream_of("domain-incremental", shift="permuted", online=True)
    hyper = {"algorithm": algorithm, "batches_per_example": batches, "beta": 1.0, "memory_size": 6}
    learner = Noting(MER.Parameters.parse({**hyper, "replay_batch_size": 4, "hidden": [8]}, "mer"))
    learner.setup(stream.info)
    experience = first(stream)
    learner.learn(experience)
    assert len(learner.noted) == batches * len(experience)
    images = stream.info.normalise(experience.x)
    for number, (stored, sequence) in enumerate(learner.noted):
        example = number // batches
        assert stored == min(example, 6)
        assert len(sequence) == 1 + min(4, stored)
        assert torch.equal(sequence.x[place], images[example])
        assert int(sequence.y[place]) == int(experience.y[example])


def test_exemplars_are_drawn_uniformly_with_replacement_anew_for_each_sequence() -> None:
    stream = stream_of("domain-incremental", shift="permuted", online=True)
    learner = mer(stream, memory_size=8, batches_per_example=50, replay_batch_size=8)
    experience = first(stream)
    learner.memory.add(experience)
    x = stream.info.normalise(learner.memory.x).flatten(1)
    current = experience[torch.tensor([0])]
    drawn = torch.cat([s.x[1:].flatten(1) for s in learner.draw(current, torch.tensor([0]))])
    which = (drawn[:, None] == x).all(2).long().argmax(1).view(50, 8)
    assert any(len(set(row.tolist())) < 8 for row in which)
    assert len({tuple(row.tolist()) for row in which}) > 40
    counts = which.flatten().bincount(minlength=8)
    assert ((counts - 50) ** 2 / 50).sum() < chi2.ppf(0.9999, 7)


@pytest.mark.parametrize(("beta", "gamma"), [(0.3, 1.0), (1.0, 0.2), (0.3, 0.2)])
def test_the_two_averages_by_hand(beta: float, gamma: float) -> None:
    """A plain loop over state dicts, as the algorithm box says, from the sequences that were drawn."""
    stream = stream_of("class-incremental", online=True, samples=8)
    hyper = {"beta": beta, "gamma": gamma, "batches_per_example": 3, "replay_batch_size": 2}
    learner = mer(stream, **hyper, memory_size=5)
    learner.learn(first(stream))
    plain = copy.deepcopy(learner.network)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.01)
    experience = first(stream, 1)
    learner.see(experience)
    normalised = Experience(**{**vars(experience), "x": stream.info.normalise(experience.x)})
    sequences = learner.draw(normalised, torch.tensor([0]))
    theta_a = copy.deepcopy(plain.state_dict())
    for sequence in sequences:
        theta_w = copy.deepcopy(plain.state_dict())
        for n in range(3):
            optimizer.zero_grad()
            learner.loss(plain, sequence[n : n + 1]).backward()
            optimizer.step()
        after = plain.state_dict()
        plain.load_state_dict({k: w + beta * (after[k] - w) for k, w in theta_w.items()})
    after = plain.state_dict()
    plain.load_state_dict({k: a + gamma * (after[k] - a) for k, a in theta_a.items()})
    learn(learner, sequences)
    torch.testing.assert_close(vector(learner), parameters_to_vector(plain.parameters()))


def test_every_example_is_in_the_reservoir_with_the_same_probability() -> None:
    data = toy_dataset((8, 8), (2, 2), (2, 2))
    counts, runs, size = torch.zeros(16), 200, 4
    for seed in range(runs):
        stream = stream_of(
            "domain-incremental",
            data,
            Seeds.of(0, memory=seed),
            shift="rotated",
            angles=[0.0],
            online=True,
        )
        learner = mer(stream, memory_size=size, hidden=[2], **PLAIN)
        experience = first(stream)
        learner.learn(experience)
        same = learner.memory.x.flatten(1)[:, None] == experience.x.flatten(1)
        assert len(learner.memory) == size
        counts += same.all(2).sum(0)
    expected = runs * size / 16
    statistic = ((counts - expected) ** 2 / expected).sum() / (1 - size / 16)
    assert statistic < chi2.ppf(0.999, 15)


@every_scenario
def test_the_exemplars_are_replays(scenario: str) -> None:
    """The same policy keeps the same samples, online or in passes, whenever they are offered."""
    ways: list[dict[str, Any]] = [{"online": True}, {}]
    for options in ways:
        stream = stream_of(scenario, **options)
        hyper = {"memory_size": 7, "memory_policy": "reservoir", "epochs": 2}
        ours, theirs = mer(stream, **hyper), make("replay", stream.info, **hyper)
        learn_all(ours, stream)
        learn_all(theirs, stream)
        assert theirs.memory is not None
        assert torch.equal(ours.memory.x, theirs.memory.x)
        assert torch.equal(ours.memory.group, theirs.memory.group)


@every_scenario
def test_one_pass_is_the_online_stream(scenario: str) -> None:
    found = []
    for options in ({}, {"online": True}, {"online": True, "batch_size": 3}):
        stream = stream_of(scenario, **options)
        learner = mer(stream)
        learn_all(learner, stream)
        found.append(vector(learner))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_hidden_boundaries_change_nothing() -> None:
    found = []
    for boundaries in (True, False):
        stream = stream_of(
            "domain-incremental", shift="rotated", online=True, boundaries=boundaries
        )
        learner = mer(stream)
        learn_all(learner, stream)
        found.append(vector(learner))
    assert torch.equal(*found)


def test_effort_counts_examples_and_single_steps() -> None:
    stream = stream_of("class-incremental", online=True, samples=10)
    learner = mer(stream, batches_per_example=3, replay_batch_size=4, memory_size=5)
    learn_all(learner, stream)
    assert learner.effort.steps == 20
    alone_at_first = 3 * (1 + 2 + 3 + 4)
    assert learner.effort.samples_seen == alone_at_first + 3 * 5 * 16


def test_any_network_learns_by_autograd() -> None:
    stream = stream_of("task-incremental", toy_dataset(shape=(3, 8, 8)), samples=4)
    learner = mer(stream, network="conv4", hidden=[4])
    assert isinstance(learner.network, Conv4)
    before = vector(learner)
    learn_all(learner, stream)
    assert torch.equal(vector(learner), learner.theta)
    assert not torch.equal(before, learner.theta)


@pytest.mark.parametrize("network", ["mlp", "conv4"])
def test_mammoths_variant_takes_one_step_on_the_mean_loss(network: str) -> None:
    stream = stream_of("class-incremental", online=True, samples=6)
    hyper = {"network": network, "batches_per_example": 1, "beta": 1.0}
    learner = mer(stream, variant="mammoth", **hyper)
    experience = first(stream)
    learner.learn(experience)
    (sequence,) = learner.draw(
        Experience(**{**vars(experience), "x": stream.info.normalise(experience.x)}),
        torch.tensor([0]),
    )
    assert len(sequence) == 7
    loss = learner.loss(learner.network, sequence)
    slopes = torch.autograd.grad(loss, list(learner.network.parameters()))
    expected = vector(learner) - 0.01 * parameters_to_vector(slopes)
    learn(learner, [sequence])
    torch.testing.assert_close(vector(learner), expected)


def test_avalanches_variant_has_no_exemplar_of_the_current_experience() -> None:
    stream = stream_of("class-incremental", online=True)
    learner = mer(stream, variant="avalanche", memory_size=100)
    seen = []
    learner.on_step = lambda: seen.append(len(learner.memory))
    learn_all(learner, stream)
    assert set(seen[:24]) == {0}
    assert set(seen[24:]) == {24}
    assert len(learner.memory) == 48


def test_avalanches_variant_needs_boundaries() -> None:
    stream = stream_of("class-incremental", online=True, boundaries=False)
    with pytest.raises(UsageError, match="variant=avalanche needs boundaries"):
        mer(stream, variant="avalanche").check(stream.info)
    mer(stream).check(stream.info)


def test_what_algorithm_6_does_not_have_is_refused() -> None:
    stream = stream_of("class-incremental")
    sentence = r"batches_per_example=1 and beta=1, not 2 and 0.03"
    with pytest.raises(UsageError, match=sentence):
        mer(stream, algorithm=6).check(stream.info)
    mer(stream, algorithm=6, batches_per_example=1, beta=1.0).check(stream.info)


def test_a_loss_that_is_not_finite_is_found() -> None:
    specification, _ = specify(
        dataset="digits",
        scenario="class-incremental",
        strategy="mer",
        options={"online": True, "samples": 20},
        hyper_parameters={"lr": 1e30, "beta": 1.0},
    )
    record = run_one(specification)
    assert record["status"] == "failed"
    assert "infinite in experience 0" in record["error"]["message"]


@pytest.mark.parametrize(
    ("scenario", "least"),
    [("class-incremental", 0.7), ("task-incremental", 0.9), ("domain-incremental", 0.8)],
)
@pytest.mark.parametrize("algorithm", [1, 6])
def test_digits_are_learnt_and_kept(scenario: str, least: float, algorithm: int) -> None:
    """Fine-tuning ends near .2 in the first; 100 samples an experience, each seen once."""
    averages = {
        1: {"batches_per_example": 2, "beta": 0.1},
        6: {"batches_per_example": 1, "beta": 1.0, "gamma": 0.1},
    }
    specification, _ = specify(
        dataset="digits",
        scenario=scenario,
        strategy="mer",
        options={"online": True, "samples": 100},
        hyper_parameters={"algorithm": algorithm, "lr": 0.03, **averages[algorithm]},
    )
    record = run_one(specification)
    assert record["status"] == "ok", record["error"]["traceback"]
    assert record["metrics"]["average_accuracy"] > least, record["metrics"]
