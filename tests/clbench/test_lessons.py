"""Tensors in nested lessons: found, stacked, and put back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clbench.lessons import filled, form, stacked, tensors_of


@dataclass(frozen=True)
class Inner:
    x: Tensor
    name: str


@dataclass(frozen=True)
class Outer:
    heads: tuple[tuple[Tensor, Tensor], ...]
    inner: Inner
    none: Inner | None = None


def outer(fill: float, heads: int = 2, name: str = "a", width: int = 3) -> Outer:
    pair = (torch.full((2,), fill), torch.full((2,), -fill))
    return Outer((pair,) * heads, Inner(torch.full((4, width), 10 * fill), name))


def test_lessons_are_of_one_form_if_only_the_values_of_their_tensors_differ() -> None:
    assert form(outer(1.0)) == form(outer(2.0))
    others = (outer(1.0, heads=1), outer(1.0, name="b"), outer(1.0, width=2))
    whole = Outer(outer(1.0).heads, outer(1.0).inner, outer(1.0).inner)
    integers = Outer(outer(1.0).heads, Inner(torch.ones(4, 3, dtype=torch.int64), "a"))
    assert len({form(lesson) for lesson in (outer(1.0), *others, whole, integers)}) == 6


def test_tensors_are_stacked_and_go_back_to_their_places() -> None:
    lessons = [outer(1.0), outer(2.0)]
    together = stacked(lessons)
    assert [tuple(t.shape) for t in together] == [(2, 2)] * 4 + [(2, 4, 3)]
    again = filled(lessons[0], (tensor[1] for tensor in together))
    assert isinstance(again, Outer)
    assert isinstance(again.inner, Inner)
    for ours, theirs in zip(tensors_of(again), tensors_of(lessons[1]), strict=True):
        assert torch.equal(ours, theirs)
    assert (again.inner.name, again.none) == ("a", None)
