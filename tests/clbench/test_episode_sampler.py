"""Episodes as they are drawn: distinct samples, permuted labels, rotations, equal chances, same bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clbench.episode_sampler import EpisodeBatch, Sampler, Shape, quarter_turns, rearranged
from clbench.errors import UsageError
from tests.toys import stream_of

INFO = stream_of("class-incremental").info


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sampler_of(counts: list[int], turns: int = 1) -> Sampler:
    """Return a sampler of 2×2 images: class and number above, two zeros below, so that a turn shows."""
    label = np.repeat(np.arange(len(counts)), counts)
    number = np.concatenate([np.arange(count) for count in counts])
    x = torch.zeros(len(label), 1, 2, 2, dtype=torch.uint8)
    x[:, 0, 0, 0] = torch.from_numpy(label) + 1
    x[:, 0, 0, 1] = torch.from_numpy(number) + 1
    order = np.random.default_rng(0).permutation(len(label))
    views = quarter_turns(2) if turns == 4 else None
    return Sampler(x[order], label[order], views, torch.device("cpu"))


def draw(sampler: Sampler, count: int, shape: Shape, seed: int = 0) -> EpisodeBatch:
    return sampler.draw(count, shape, INFO, generator(seed))


def read(x: Tensor) -> list[tuple[int, int, int]]:
    """Return class, number and quarter turns of images [S, 1, 2, 2] of `sampler_of`."""
    found = []
    for image in x[:, 0]:
        turns = next(t for t in range(4) if not torch.rot90(image, -t)[1].any())
        upright = torch.rot90(image, -turns)
        found.append((int(upright[0, 0]) - 1, int(upright[0, 1]) - 1, turns))
    return found


@given(
    st.lists(st.integers(5, 9), min_size=4, max_size=7),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from([1, 4]),
    st.integers(0, 99),
)
def test_an_episode_is_what_its_shape_says(
    counts: list[int], ways: int, shots: int, queries: int, turns: int, seed: int
) -> None:
    shape = Shape(ways, shots, queries)
    batch = draw(sampler_of(counts, turns), 3, shape, seed)
    asked = batch.episodes
    assert asked.info.classes == ways
    assert asked.support.shape == (3, ways * shots, 1, 2, 2)
    assert asked.query.shape == (3, ways * queries, 1, 2, 2)
    assert len(batch) == 3 * ways * (shots + queries)
    for episode in range(3):
        support, query = read(asked.support[episode]), read(asked.query[episode])
        labels, targets = asked.labels[episode].tolist(), batch.targets[episode].tolist()
        assert sorted(labels) == sorted(list(range(ways)) * shots)
        assert sorted(targets) == sorted(list(range(ways)) * queries)
        seen = [
            (label, *image) for label, image in zip(labels + targets, support + query, strict=True)
        ]
        shown = {(label, c, turn) for label, c, _, turn in seen}
        assert len(shown) == ways  # a label is a class in one rotation,
        assert len({(c, turn) for _, c, turn in shown}) == ways  # and no two labels are the same,
        assert len({(c, n, turn) for _, c, n, turn in seen}) == len(
            seen
        )  # nor two samples of a class
        assert turns == 4 or not any(turn for *_, turn in seen)


def test_the_same_seed_draws_the_same_bits_and_another_one_others() -> None:
    sampler = sampler_of([20] * 30, 4)
    a, b, c = (draw(sampler, 8, Shape(5, 1, 3), seed) for seed in (0, 0, 1))
    for x, y in ((a.episodes.support, b.episodes.support), (a.targets, b.targets)):
        assert torch.equal(x, y)
    assert not torch.equal(a.episodes.support, c.episodes.support)


def test_classes_turns_samples_labels_and_places_have_equal_chances() -> None:
    """Chi-square tests, at 0.1 %."""
    batch = draw(sampler_of([6] * 5, 4), 4000, Shape(2, 1, 1))
    images = np.array(read(batch.episodes.query.flatten(0, 1)))
    labels = batch.targets.flatten().numpy()
    place = np.tile([0, 1], 4000)
    classes = images[:, 0] * 4 + images[:, 2]
    for what, kinds, limit in (
        (classes, 20, 43.8),
        (images[:, 1], 6, 20.5),
        (classes * 2 + labels, 40, 72.1),
        (labels * 2 + place, 4, 16.3),
    ):
        counts = np.bincount(what, minlength=kinds)
        expected = len(what) / kinds
        assert float(((counts - expected) ** 2 / expected).sum()) < limit


def test_rotations_turn_each_image_by_its_own_quarters() -> None:
    x = torch.arange(2 * 3 * 2 * 9).view(2, 3, 2, 3, 3)
    turns = torch.tensor([[0, 1, 2], [3, 3, 0]])
    turned = rearranged(x, quarter_turns(3)[turns])
    for e in range(2):
        for s in range(3):
            assert torch.equal(turned[e, s], torch.rot90(x[e, s], int(turns[e, s]), (-2, -1)))


def test_shapes_that_do_not_fit_get_a_sentence() -> None:
    sampler = sampler_of([6, 5, 9])
    with pytest.raises(
        UsageError, match="an episode of 4 ways needs more than the 3 classes there are"
    ):
        draw(sampler, 1, Shape(4, 1, 1))
    with pytest.raises(UsageError, match=r"4 shots and 2 queries need more samples .* the 5 of"):
        draw(sampler, 1, Shape(2, 4, 2))
    assert len(draw(sampler_of([6, 5, 9], 4), 1, Shape(12, 1, 1)).episodes) == 1


def test_an_episode_as_an_experience() -> None:
    asked = draw(sampler_of([6] * 5), 2, Shape(3, 2, 1)).episodes
    experience = asked.experience(1)
    assert torch.equal(experience.x, asked.support[1])
    assert torch.equal(experience.y, asked.labels[1])
    assert torch.equal(experience.group, experience.y)
    assert experience.mask.tolist() == [True] * 3
    assert (experience.index, experience.task, len(experience.priority)) == (0, None, 6)
