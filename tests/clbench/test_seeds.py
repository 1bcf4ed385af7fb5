"""Seeds: no two draws of a run share a sequence, and global randomness is left alone."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from clbench.errors import UsageError
from clbench.seeds import _PURPOSES, Seeds, derived, initialised_by, numpy_generator
from clbench.shifts import Permutation

KEYS: list[tuple[int, ...]] = [(), (0,), (1,), (3,), (0, 0), (0, 1), (1, 0), (3, 0)]
NUMBERS = [*range(12), 2**32, 2**32 + 1, 2**64]


def test_no_two_purposes_keys_or_seeds_share_a_sequence() -> None:
    named = list(product(NUMBERS, _PURPOSES, KEYS))
    drawn = {numpy_generator(seed, name, *key).integers(2**63) for seed, name, key in named}
    assert len(drawn) == len(named)


def test_derived_seeds_differ() -> None:
    named = list(product(NUMBERS, _PURPOSES))
    seeds = [derived(seed, name) for seed, name in named]
    assert len(set(seeds)) == len(named)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("index", range(1, 12))
def test_a_permutation_of_pixels_is_no_other_draw_of_the_run(index: int) -> None:
    x = torch.arange(64).view(1, 1, 8, 8)
    pixels = Permutation(seed=5, index=index).apply(x).flatten().tolist()
    for name, key in product(_PURPOSES, KEYS):
        if (name, key) != ("change", (index,)):
            assert numpy_generator(5, name, *key).permutation(64).tolist() != pixels


def test_a_seed_gives_the_same_sequence_again() -> None:
    first, again = (numpy_generator(3, "samples", 2).random(5) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("seeds", [{"seed": -1}, {"seed": 0, "train": -1}])
def test_negative_seeds_are_refused(seeds: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="seed must be 0 or more, not -1"):
        Seeds.of(**seeds)


def test_initialisation_leaves_global_randomness_alone_even_if_it_fails() -> None:
    before = torch.get_rng_state()
    drawn = []
    for fails in (False, True):
        try:
            with initialised_by(7):
                drawn.append(torch.rand(3))
                if fails:
                    raise RuntimeError
        except RuntimeError:
            pass
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[1])
    with initialised_by(8):
        assert not torch.equal(torch.rand(3), drawn[0])
