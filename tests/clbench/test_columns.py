"""Fast weights without repetitions: what is read from them is what all columns, one by one, would give."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clbench import columns as module
from clbench.augmented import Dense, FastWeights
from clbench.columns import Columns, ColumnWeights

OUT = 3


def generated(gradients: Tensor) -> Tensor:
    """Some weights made of gradients, number by number; none is 0."""
    return (3 * gradients).sin() + 0.1


def both(layer: Dense, errors: Tensor, h: Tensor) -> tuple[FastWeights, Tensor]:
    """The weights of examples as they are held, and as they are defined."""
    gradients, held = layer.each(errors, h)
    return held(generated(gradients)), generated(layer.gradients(errors, h, len(h)))


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share columns even where it does not pay, and read few at a time."""
    monkeypatch.setattr(module, "_WORTHWHILE", 1.0)
    monkeypatch.setattr(module, "_BLOCK", 4)


@pytest.mark.usefixtures("always")
@given(
    rows=st.integers(1, 7).flatmap(
        lambda inputs: st.lists(
            st.lists(st.sampled_from([0.0, 0.0, -0.4, 0.7, 1.0]), min_size=inputs, max_size=inputs),
            min_size=1,
            max_size=6,
        )
    ),
    seed=st.integers(0, 99),
)
def test_they_read_as_all_columns_do_and_so_do_their_gradients(
    rows: list[list[float]], seed: int
) -> None:
    torch.manual_seed(seed)
    h = torch.tensor(rows)
    examples, inputs = h.shape
    layer = Dense(OUT, inputs)
    held, defined = both(layer, torch.randn(examples, OUT), h)
    assert isinstance(held, ColumnWeights)
    assert held.shape == defined.shape == (examples, OUT, inputs + 1)
    a = torch.randn(4, examples, requires_grad=True)
    x = torch.randn(4, inputs, requires_grad=True)
    scale = torch.ones((), requires_grad=True)
    whole = torch.einsum("bn,noi,bi->bo", a, defined * scale, torch.cat([x, torch.ones(4, 1)], 1))
    read = layer.read(a, ColumnWeights(held.columns, held.weight * scale), x)
    torch.testing.assert_close(read, whole, atol=1e-5, rtol=1e-4)
    found, expected = (torch.autograd.grad(z.sin().sum(), (a, x, scale)) for z in (read, whole))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def test_they_are_held_where_most_inputs_are_the_same_and_only_there() -> None:
    errors, layer = torch.randn(8, OUT), Dense(OUT, 50)
    h = torch.rand(8, 50).add(1)
    assert isinstance(both(layer, errors, h)[0], Tensor)
    h[:, 10:] = 0
    held, defined = both(layer, errors, h)
    assert isinstance(held, ColumnWeights)
    assert len(held.weight) == 8 * (10 + 1 + 1)  # those of one example's own, the bias, the shared
    assert held.nbytes < defined.nbytes


def test_a_nan_is_not_lost() -> None:
    h = torch.zeros(2, 20)
    h[1, 3] = torch.nan
    held, _ = both(Dense(OUT, 20), torch.randn(2, OUT), h)
    read = Dense(OUT, 20).read(torch.full((1, 2), 0.5), held, torch.ones(1, 20))
    assert read.isnan().all()


def test_in_a_stack_of_learners_nothing_depends_on_numbers() -> None:
    """Each learner would have columns of its own, so that they could not be stacked."""
    seen: list[Columns | None] = []

    def look(h: Tensor) -> Tensor:
        seen.append(Columns.of(h))
        return h

    torch.vmap(look)(torch.zeros(3, 4, 5))
    assert seen == [None]
    assert Columns.of(torch.zeros(4, 5)) is not None
