"""The tensors in a lesson, which is what a step learns from: a dataclass, maybe of others, tuples and plain values."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor


def form(lesson: Any) -> Hashable:
    """Return what lessons must share to be stacked: shapes and types of their tensors, and everything else in them."""
    if isinstance(lesson, Tensor):
        return lesson.shape, lesson.dtype
    parts = _parts(lesson)
    if parts is not None:
        return type(lesson), *[form(part) for part in parts]
    return lesson if isinstance(lesson, Hashable) else id(lesson)


def tensors_of(lesson: Any) -> list[Tensor]:
    """Return the tensors of a lesson."""
    if isinstance(lesson, Tensor):
        return [lesson]
    return [tensor for part in _parts(lesson) or () for tensor in tensors_of(part)]


def filled(lesson: Any, tensors: Iterator[Tensor]) -> Any:
    """Return a lesson with other tensors in the places of its own, in the order of `tensors_of`."""
    if isinstance(lesson, Tensor):
        return next(tensors)
    parts = _parts(lesson)
    if parts is None:
        return lesson
    others = [filled(part, tensors) for part in parts]
    if type(lesson) is tuple:
        return tuple(others)
    return replace(lesson, **dict(zip(_names(lesson.__class__) or (), others, strict=True)))


def stacked(lessons: Sequence[Any]) -> list[Tensor]:
    """Return the tensors of lessons of one form, each with a leading axis of lessons."""
    return [torch.stack(each) for each in zip(*map(tensors_of, lessons), strict=True)]


def _parts(lesson: Any) -> Sequence[Any] | None:
    """Return what a tuple or a dataclass is made of; None of anything else."""
    if type(lesson) is tuple:
        return lesson
    names = _names(lesson.__class__)
    return None if names is None else [getattr(lesson, name) for name in names]


@cache
def _names(kind: type) -> tuple[str, ...] | None:
    """Return the fields of a dataclass; asked for at every step of every learner."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None
