"""The tensors in a lesson, which is what a step learns from: a dataclass of tensors, plain values and other lessons."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


def form(lesson: Any) -> Hashable:
    """Return what lessons must share to be stacked: the shapes of their tensors, and everything else in them."""
    if isinstance(lesson, Tensor):
        return lesson.shape, lesson.dtype
    if is_dataclass(lesson):
        return type(lesson), *(form(getattr(lesson, f.name)) for f in fields(lesson))
    return lesson if isinstance(lesson, Hashable) else id(lesson)


def tensors_of(lesson: Any) -> Iterator[Tensor]:
    """Yield the tensors of a lesson."""
    if isinstance(lesson, Tensor):
        yield lesson
    elif is_dataclass(lesson):
        for field in fields(lesson):
            yield from tensors_of(getattr(lesson, field.name))


def filled(lesson: Any, tensors: Iterator[Tensor]) -> Any:
    """Return a lesson with other tensors in the places of its own, in the order of `tensors_of`."""
    if isinstance(lesson, Tensor):
        return next(tensors)
    if is_dataclass(lesson) and not isinstance(lesson, type):
        new = {f.name: filled(getattr(lesson, f.name), tensors) for f in fields(lesson)}
        return replace(lesson, **new)
    return lesson


def stacked(lessons: Sequence[Any]) -> list[Tensor]:
    """Return the tensors of lessons of one form, each with a leading axis of lessons."""
    return [torch.stack(each) for each in zip(*map(tensors_of, lessons), strict=True)]
