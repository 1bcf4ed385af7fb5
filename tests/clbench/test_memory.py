"""The memory: equal shares, uniform samples, and no dependence on how samples arrive."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from clbench.experience import Experience, StreamInfo
from clbench.memory import Memory, Policy
from tests.toys import make, stream_of, toy_dataset

CLASSES = 4
POLICIES: tuple[Policy, ...] = ("balanced", "reservoir", "everything")


def info(shape: tuple[int, ...] = (1, 1)) -> StreamInfo:
    """Return a stream's facts with four units."""
    return stream_of("class-incremental", toy_dataset(shape=shape)).info


INFO = info()


def offer(groups: Sequence[int], priorities: Sequence[float] | None = None) -> Experience:
    """Return samples whose pixel is their number."""
    if priorities is None:
        priorities = np.random.default_rng(0).random(len(groups)).tolist()
    group = torch.tensor(groups, dtype=torch.int64)
    return Experience(
        index=0,
        task=None,
        x=torch.arange(len(groups), dtype=torch.uint8).view(-1, 1, 1, 1),
        y=group % CLASSES,
        mask=torch.ones(CLASSES, dtype=torch.bool),
        group=group,
        priority=torch.tensor(priorities, dtype=torch.float64),
    )


def chunks(samples: Experience, cuts: Sequence[int]) -> list[Experience]:
    """Return the samples in pieces."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(samples)}), len(samples)]
    return [samples[a:b] for a, b in pairwise(edges)]


def filled(policy: Policy, capacity: int, *pieces: Experience) -> Memory:
    """Return a memory that was offered the pieces."""
    memory = Memory(capacity, policy, INFO)
    for piece in pieces:
        memory.add(piece)
    return memory


def kept(memory: Memory) -> list[int]:
    """Return the numbers of the exemplars, in the memory's order."""
    return [int(number) for number in memory.x.flatten()]


@st.composite
def offers(draw: st.DrawFn) -> Experience:
    """Return samples of up to eight groups with distinct priorities."""
    groups = draw(st.lists(st.integers(0, 7), max_size=60))
    order = np.random.default_rng(draw(st.integers(0, 999))).permutation(len(groups))
    return offer(groups, ((order + 0.5) / max(len(groups), 1)).tolist())


capacities = st.integers(0, 25)
cutting = st.lists(st.integers(0, 60), max_size=5)


# Balanced.


@given(offers(), capacities)
def test_balanced_shares_are_equal_and_fill_the_memory(samples: Experience, capacity: int) -> None:
    memory = filled("balanced", capacity, samples)
    assert len(memory) == min(capacity, len(samples))
    available = Counter(samples.group.tolist())
    share = Counter(memory.group.tolist())
    for group, count in available.items():
        if share[group] < count:  # it gave some up, so nobody has more than one above it
            assert max(share.values(), default=0) <= share[group] + 1


@given(offers(), capacities)
def test_balanced_keeps_the_lowest_priorities_of_each_group(
    samples: Experience, capacity: int
) -> None:
    chosen = set(kept(filled("balanced", capacity, samples)))
    for group in set(samples.group.tolist()):
        members = [i for i in range(len(samples)) if samples.group[i] == group]
        members.sort(key=lambda i: float(samples.priority[i]))
        count = len(chosen & set(members))
        assert chosen & set(members) == set(members[:count])


@given(offers(), capacities, cutting)
def test_balanced_is_independent_of_how_samples_are_chunked(
    samples: Experience, capacity: int, cuts: list[int]
) -> None:
    whole = filled("balanced", capacity, samples)
    pieces = filled("balanced", capacity, *chunks(samples, cuts))
    assert sorted(kept(whole)) == sorted(kept(pieces))
    assert Counter(whole.group.tolist()) == Counter(pieces.group.tolist())


@given(offers(), capacities, cutting)
def test_balanced_never_takes_back_what_it_dropped(
    samples: Experience, capacity: int, cuts: list[int]
) -> None:
    memory = Memory(capacity, "balanced", INFO)
    before: set[int] = set()
    for piece in chunks(samples, cuts):
        memory.add(piece)
        now = set(kept(memory))
        assert now <= before | {int(number) for number in piece.x.flatten()}
        before = now


def test_a_new_class_shrinks_the_others_to_a_nested_subset() -> None:
    samples = offer([0] * 20 + [1] * 20 + [2] * 20)
    memory, held = Memory(12, "balanced", INFO), [set(range(20))]
    for group in range(3):
        memory.add(samples[20 * group : 20 * group + 20])
        held.append({number for number in kept(memory) if number < 20})
    assert [len(numbers) for numbers in held] == [20, 12, 6, 4]
    assert held[3] < held[2] < held[1]


def test_shares_a_small_class_leaves_unused_go_to_the_others() -> None:
    memory = filled("balanced", 12, offer([0] * 2 + [1] * 20 + [2] * 20))
    assert Counter(memory.group.tolist()) == {0: 2, 1: 5, 2: 5}


def test_balanced_counts_a_class_of_each_domain_apart() -> None:
    stream = stream_of("domain-incremental", shift="permuted", experiences=3)
    memory = Memory(24, "balanced", stream.info)
    for index in range(3):
        for experience in stream.deliver(index):
            memory.add(experience)
    assert sorted(Counter(memory.group.tolist()).values()) == [2] * 12
    assert Counter(memory.y.tolist()) == dict.fromkeys(range(4), 6)
    assert Counter(memory.row.tolist()) == dict.fromkeys(range(3), 8)


# Reservoir.


@given(offers(), capacities, cutting)
def test_reservoir_is_algorithm_r_however_samples_are_chunked(
    samples: Experience, capacity: int, cuts: list[int]
) -> None:
    slots: list[int] = []
    for n in range(len(samples)):
        if n < capacity:
            slots.append(n)
        elif (slot := int(float(samples.priority[n]) * (n + 1))) < capacity:
            slots[slot] = n
    memory = filled("reservoir", capacity, *chunks(samples, cuts))
    assert kept(memory) == slots
    assert memory.group.tolist() == [int(samples.group[n]) for n in slots]
    assert len(memory) == len(slots)


def test_reservoir_includes_every_sample_with_equal_probability() -> None:
    """χ² over 2,000 seeds, all samples in one add and in two."""
    number, capacity, repetitions = 40, 8, 2000
    counts = np.zeros(number)
    for seed in range(repetitions):
        priorities = np.random.default_rng(seed).random(number).tolist()
        samples = offer([0] * number, priorities)
        pieces = [samples] if seed % 2 else chunks(samples, [13])
        chosen = kept(filled("reservoir", capacity, *pieces))
        assert len(set(chosen)) == capacity
        counts[chosen] += 1
    share = capacity / number
    expected = repetitions * share
    statistic = ((counts - expected) ** 2).sum() / (expected * (1 - share))
    statistic *= (number - 1) / number  # the counts add up
    assert chi2.cdf(statistic, number - 1) < 0.999
    assert chi2.cdf(statistic, number - 1) > 0.001


def test_of_several_for_one_slot_the_last_stays() -> None:
    memory = filled("reservoir", 1, offer([0, 1, 2, 3], [0.0] * 4))
    assert kept(memory) == [3]
    assert memory.group.tolist() == [3]
    memory = filled("reservoir", 2, offer([0, 1, 2, 3, 1], [0.0, 0.0, 0.0, 0.3, 0.99]))
    assert kept(memory) == [2, 3]


# All policies.


@given(offers(), st.sampled_from(POLICIES), cutting)
def test_image_label_and_row_stay_together(
    samples: Experience, policy: Policy, cuts: list[int]
) -> None:
    memory = filled(policy, 10, *chunks(samples, cuts))
    for number, group, y, row in zip(kept(memory), memory.group, memory.y, memory.row, strict=True):
        assert group == samples.group[number]
        assert y == samples.y[number]
        assert row == samples.group[number] // CLASSES


@given(offers(), cutting)
def test_everything_keeps_everything_in_order(samples: Experience, cuts: list[int]) -> None:
    memory = filled("everything", 0, *chunks(samples, cuts))
    assert kept(memory) == list(range(len(samples)))


@pytest.mark.parametrize("policy", ["balanced", "reservoir"])
def test_no_capacity_keeps_nothing(policy: Policy) -> None:
    memory = filled(policy, 0, offer([0, 1]), offer([2, 3]))
    assert len(memory) == 0
    assert memory.bytes() == 0
    assert memory.x.shape == (0, 1, 1, 1)
    assert memory.y.shape == memory.row.shape == (0,)
    assert memory.draw(5, torch.Generator()).tolist() == []


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_kept_is_a_copy(policy: Policy) -> None:
    samples = offer([0, 1, 2])
    memory = filled(policy, 3, samples)
    samples.x.zero_()
    assert sorted(kept(memory)) == [0, 1, 2]


@pytest.mark.parametrize("policy", POLICIES)
def test_draws_are_distinct_seeded_and_uniform(policy: Policy) -> None:
    memory = filled(policy, 9, offer([0, 1, 2] * 3))
    state = torch.get_rng_state()
    drawn = [memory.draw(4, torch.Generator().manual_seed(seed)).tolist() for seed in range(600)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(len(set(rows)) == 4 and set(rows) <= set(range(9)) for rows in drawn)
    counts = Counter(row for rows in drawn for row in rows)
    assert all(200 < counts[row] < 335 for row in range(9))  # 267 ± 5 standard deviations
    again = [memory.draw(4, torch.Generator().manual_seed(seed)).tolist() for seed in range(600)]
    assert drawn == again
    everything = memory.draw(50, torch.Generator().manual_seed(0)).tolist()
    assert sorted(everything) == list(range(9))


@pytest.mark.parametrize("policy", POLICIES)
def test_bytes_count_all_that_survives(policy: Policy) -> None:
    stream = stream_of("class-incremental", toy_dataset(shape=(3, 8, 8)))
    memory = Memory(10, policy, stream.info)
    assert memory.bytes() == 0
    (experience,) = stream.deliver(0)
    memory.add(experience)
    state = memory.state_dict().values()
    assert memory.bytes() == sum(v.nbytes for v in state if isinstance(v, torch.Tensor))
    images, labels = len(memory) * 3 * 8 * 8, len(memory) * 8
    assert images + labels <= memory.bytes() <= images + 3 * labels


@pytest.mark.parametrize("name", ["nearest", "replay", "joint"])
def test_a_strategy_is_charged_for_its_memory(name: str) -> None:
    stream = stream_of("class-incremental")
    strategy = make(name, stream.info)
    for experience in stream.deliver(0):
        strategy.learn(experience)
    assert strategy.memory is not None
    assert strategy.memory_bytes() == strategy.memory.bytes() > 0


@given(offers(), st.sampled_from(POLICIES), st.integers(0, 12), st.integers(0, 60))
def test_a_restored_memory_goes_on_as_if_nothing_had_happened(
    samples: Experience, policy: Policy, capacity: int, cut: int
) -> None:
    first, second = samples[:cut], samples[cut:]
    memory = filled(policy, capacity, first)
    state: dict[str, Any] = copy.deepcopy(memory.state_dict())
    restored = Memory(capacity, policy, INFO)
    restored.load_state_dict(state)
    assert kept(restored) == kept(memory)
    assert restored.offered == memory.offered
    assert restored.bytes() == memory.bytes()
    memory.add(second)
    restored.add(second)
    assert kept(restored) == kept(memory)
    assert restored.group.tolist() == memory.group.tolist()
    assert state["x"].flatten().tolist() == kept(filled(policy, capacity, first))
