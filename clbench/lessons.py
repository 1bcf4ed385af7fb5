"""The tensors in a lesson, which is what a step learns from: a dataclass, maybe of others, tuples and plain values."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


def form(lesson: Any) -> Hashable:
    """Return what lessons must share to be stacked: shapes and types of their tensors, and everything else in them."""
    if isinstance(lesson, Tensor):
        return lesson.shape, lesson.dtype
    if _has_parts(lesson):
        return type(lesson), *map(form, _parts(lesson))
    return lesson if isinstance(lesson, Hashable) else id(lesson)


def tensors_of(lesson: Any) -> Iterator[Tensor]:
    """Yield the tensors of a lesson."""
    if isinstance(lesson, Tensor):
        yield lesson
    elif _has_parts(lesson):
        for part in _parts(lesson):
            yield from tensors_of(part)


def filled(lesson: Any, tensors: Iterator[Tensor]) -> Any:
    """Return a lesson with other tensors in the places of its own, in the order of `tensors_of`."""
    if isinstance(lesson, Tensor):
        return next(tensors)
    if not _has_parts(lesson):
        return lesson
    parts = [filled(part, tensors) for part in _parts(lesson)]
    if isinstance(lesson, tuple):
        return tuple(parts)
    return replace(lesson, **dict(zip((f.name for f in fields(lesson)), parts, strict=True)))


def stacked(lessons: Sequence[Any]) -> list[Tensor]:
    """Return the tensors of lessons of one form, each with a leading axis of lessons."""
    return [torch.stack(each) for each in zip(*map(tensors_of, lessons), strict=True)]


def _has_parts(lesson: Any) -> bool:
    return type(lesson) is tuple or (is_dataclass(lesson) and not isinstance(lesson, type))


def _parts(lesson: Any) -> Iterator[Any]:
    if isinstance(lesson, tuple):
        return iter(lesson)
    return (getattr(lesson, field.name) for field in fields(lesson))
