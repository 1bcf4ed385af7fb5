"""The split of a dataset's classes into those for training, stopping and test, for scenarios of episodes."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from clbench.episode_plan import EpisodeOptions, EpisodePlan, in_order
from clbench.errors import UsageError
from clbench.parameters import NaturalInt, PositiveInt
from clbench.scenario import Labels
from clbench.seeds import numpy_generator

_SANTORO = 1_200
"""Training characters of Omniglot."""


class ClassSplitOptions(EpisodeOptions):
    """Which classes are for training, validation and test."""

    split: Literal["characters", "alphabets"] = Field(
        "characters",
        description="training classes: drawn by the order seed, or those of the first three fifths"
        " of the alphabets",
    )
    train_classes: PositiveInt | None = Field(
        None,
        description="under split=characters, validation classes among them; none takes 1,200 where"
        " there are more, else half",
    )
    validation_classes: NaturalInt | None = Field(
        None,
        description="training classes kept for validation; none takes a twelfth (100 of 1,200), or"
        " 0 where that is fewer than ways",
    )


def split_classes(labels: Labels, options: ClassSplitOptions, seed: int) -> EpisodePlan:
    """Split the classes; validation classes are the last of the training classes in a seeded order.

    Raises:
        UsageError: The options leave no class to train on, or none for test.
    """
    order = numpy_generator(seed, "class_order").permutation(labels.classes).tolist()
    training = _drawn if options.split == "characters" else _of_first_alphabets
    train = training(labels, options, order)
    kept = len(train) - _held_out(options, len(train))
    test = in_order(set(order) - set(train), order)
    return EpisodePlan(
        train=np.array(train[:kept], np.int64),
        validation=np.array(train[kept:], np.int64),
        test=np.array(test, np.int64),
    )


def _drawn(labels: Labels, options: ClassSplitOptions, order: list[int]) -> list[int]:
    usual = _SANTORO if labels.classes > _SANTORO else labels.classes // 2
    count = options.train_classes or usual
    if count >= labels.classes:
        raise UsageError(
            f"train_classes={count} leaves no test class; the dataset has {labels.classes} classes"
        )
    return order[:count]


def _of_first_alphabets(labels: Labels, options: ClassSplitOptions, order: list[int]) -> list[int]:
    if options.train_classes is not None:
        raise UsageError("train_classes needs split=characters")
    if not all("/" in name for name in labels.names):
        raise UsageError("split=alphabets needs classes called alphabet/character, as Omniglot's")
    alphabet = [name.partition("/")[0] for name in labels.names]
    every = list(dict.fromkeys(alphabet))
    first = set(every[: len(every) * 3 // 5])
    return in_order((c for c, name in enumerate(alphabet) if name in first), order)


def _held_out(options: ClassSplitOptions, train: int) -> int:
    if options.validation_classes is None:
        share = train // 12
        return share if share >= options.ways else 0
    if options.validation_classes >= train:
        raise UsageError(
            f"validation_classes={options.validation_classes} leaves none of the {train} training"
            " classes to train on"
        )
    return options.validation_classes
