from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from clbench.episodes import Pool
from clbench.representation import draw_pairs


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=60),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 1000),
)
def test_draws_are_distinct_and_of_their_group(
    labels: list[int], shots: int, queries: int, seed: int
) -> None:
    group = torch.tensor(labels)
    pool = Pool(group, groups=6)
    chosen = pool.choose(len(set(labels)), generator(seed))
    assert sorted(chosen.tolist()) == sorted(set(labels))
    draw = pool.draw(chosen, shots, queries, generator(seed))
    for row, label in enumerate(chosen.tolist()):
        support = draw.support[row][draw.support_valid[row]].tolist()
        query = draw.query[row][draw.query_valid[row]].tolist()
        assert all(labels[i] == label for i in support + query)
        assert len(set(support + query)) == len(support) + len(query)
        count = labels.count(label)
        assert len(support) >= 1
        if count >= shots + queries:
            assert (len(support), len(query)) == (shots, queries)
        elif count > 1:
            assert len(query) >= 1
            assert len(support) + len(query) <= count


def test_every_sample_is_drawn_sometimes_as_support_and_as_query() -> None:
    pool = Pool(torch.tensor([0] * 6), groups=1)
    support, query = set(), set()
    source = generator()
    for _ in range(200):
        draw = pool.draw(torch.tensor([0]), 2, 2, source)
        support |= set(draw.support.flatten().tolist())
        query |= set(draw.query.flatten().tolist())
    assert support == query == set(range(6))


def test_choose_takes_present_groups_first_and_respects_a_restriction() -> None:
    pool = Pool(torch.tensor([1, 1, 4]), groups=6)
    source = generator()
    for _ in range(20):
        assert set(pool.choose(2, source).tolist()) == {1, 4}
        among = torch.arange(6) < 3
        assert pool.choose(1, source, among).tolist() == [1]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 50),
    st.integers(0, 1000),
)
def test_pairs(samples: list[tuple[int, bool]], count: int, seed: int) -> None:
    """Never a sample with itself, every second pair of one class, weight 0 where there is none."""
    y = torch.tensor([label for label, _ in samples])
    valid = torch.tensor([ok for _, ok in samples])
    pairs = draw_pairs(y, valid, count, generator(seed))
    for place in range(count):
        left, right = int(pairs.left[place]), int(pairs.right[place])
        wants_same = place % 2 == 0
        partners = [
            i
            for i in range(len(y))
            if i != left and valid[i] and bool(y[i] == y[left]) == wants_same
        ]
        assert float(pairs.weight[place]) == float(bool(valid[left]) and bool(partners))
        if pairs.weight[place]:
            assert right in partners
