"""Pixel permutations and rotations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clbench.shifts import Permutation, Rotation, Shift


def image(channels: int, height: int, width: int, count: int = 3) -> Tensor:
    """Return images of all different pixels, as far as a byte goes."""
    total = count * channels * height * width
    return (torch.arange(total) % 251).to(torch.uint8).view(count, channels, height, width)


sizes = st.tuples(st.sampled_from([1, 3]), st.integers(2, 9), st.integers(2, 9))


@given(sizes, st.integers(0, 100), st.integers(1, 20), st.booleans())
def test_a_permutation_keeps_the_pixels(
    size: tuple[int, int, int], seed: int, domain: int, as_float: bool
) -> None:
    x = image(*size).float() / 7 if as_float else image(*size)
    before = x.clone()
    permuted = Permutation(seed, domain).apply(x)
    assert torch.equal(x, before)
    assert permuted.shape == x.shape
    assert permuted.dtype == x.dtype
    assert torch.equal(permuted.flatten(2).sort().values, x.flatten(2).sort().values)


def test_a_permutation_is_the_same_for_every_image_and_channel() -> None:
    pixel = torch.arange(35).view(1, 1, 5, 7)
    x = torch.cat([pixel, pixel + 50, pixel + 100], dim=1).repeat(4, 1, 1, 1)
    permuted = Permutation(0, 1).apply(x)
    assert not torch.equal(permuted, x)
    assert torch.equal(permuted[0], permuted[3])
    assert torch.equal(permuted[0, 1], permuted[0, 0] + 50)
    assert torch.equal(permuted[0, 2], permuted[0, 0] + 100)


def test_a_permutation_is_its_seed() -> None:
    x = image(1, 8, 8)
    first = Permutation(1, 2).apply(x)
    assert torch.equal(first, Permutation(1, 2).apply(x))
    assert not torch.equal(first, Permutation(1, 3).apply(x))
    assert not torch.equal(first, Permutation(2, 2).apply(x))


def test_the_plain_shift_changes_nothing() -> None:
    assert torch.equal(Shift().apply(image(3, 4, 6)), image(3, 4, 6))


@given(sizes, st.sampled_from([0.0, 360.0, -360.0, 720.0]))
def test_a_full_turn_is_the_identity(size: tuple[int, int, int], degrees: float) -> None:
    x = image(*size)
    assert torch.equal(Rotation(degrees).apply(x), x)
    torch.testing.assert_close(Rotation(degrees).apply(x.float()), x.float(), atol=1e-2, rtol=0)


@pytest.mark.parametrize("side", [2, 5, 8, 28])
@pytest.mark.parametrize("quarters", [1, 2, 3, -1])
def test_quarter_turns_of_a_square_are_rot90(side: int, quarters: int) -> None:
    """Counter-clockwise, as torch.rot90."""
    x = image(3, side, side)
    assert torch.equal(Rotation(90.0 * quarters).apply(x), torch.rot90(x, quarters, (2, 3)))


@pytest.mark.parametrize(("height", "width"), [(3, 5), (4, 9), (7, 2)])
def test_half_a_turn_of_an_oblong_flips_it(height: int, width: int) -> None:
    x = image(1, height, width)
    assert torch.equal(Rotation(180).apply(x), x.flip((2, 3)))


@pytest.mark.parametrize(("height", "width"), [(3, 5), (5, 3), (3, 9), (4, 8)])
def test_a_quarter_turn_of_an_oblong_keeps_its_square_middle(height: int, width: int) -> None:
    """Nothing is stretched: the middle square turns, what falls outside is lost, the rest is black."""
    x = image(3, height, width) + 1
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    inside = (..., slice(top, top + side), slice(left, left + side))
    expected = torch.zeros_like(x)
    expected[inside] = torch.rot90(x[inside], 1, (2, 3))
    assert torch.equal(Rotation(90).apply(x), expected)


@given(sizes, st.floats(-400, 400))
def test_a_rotation_keeps_shape_type_and_range(size: tuple[int, int, int], degrees: float) -> None:
    x = torch.full((2, *size), 255, dtype=torch.uint8)
    x[1] = image(*size)[0]
    before = x.clone()
    turned = Rotation(degrees).apply(x)
    assert turned.dtype == torch.uint8
    assert turned.shape == x.shape
    assert torch.equal(x, before)
    exact = Rotation(degrees).apply(x.float())
    assert exact.dtype == torch.float32
    assert exact.min() >= 0
    assert exact.max() <= 255.01
    torch.testing.assert_close(turned.float(), exact, atol=0.51, rtol=0)  # rounded, not cut


def test_a_rotation_turns_about_the_centre() -> None:
    x = torch.zeros(1, 1, 5, 5)
    x[..., 2, 2] = 1
    for degrees in (10.0, 45.0, 137.0):
        turned = Rotation(degrees).apply(x)
        assert float(turned[0, 0, 2, 2]) == pytest.approx(1)
    corner = torch.zeros(1, 1, 9, 9)
    corner[..., 4, 8] = 1  # right of the centre; a little later it is above that
    rows = Rotation(30).apply(corner).sum(3)[0, 0]
    assert float(rows[:4].sum()) > 0.5
    assert float(rows[5:].sum()) == 0


def test_the_size_of_a_chunk_does_not_matter() -> None:
    x = image(1, 6, 6, count=7)
    assert torch.equal(Rotation(33).apply(x, chunk=3), Rotation(33).apply(x))
    assert Rotation(33).apply(x[:0]).shape == (0, 1, 6, 6)
