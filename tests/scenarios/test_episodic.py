"""The episodic scenario: classes are split before anything else, by seed or by alphabet."""

from __future__ import annotations

import os
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.episode_plan import EpisodePlan, EpisodeScenario, plan_episodes
from clbench.errors import UsageError
from clbench.registry import resolve
from clbench.scenario import Labels


def labels_of(classes: int, each: int = 20, names: tuple[str, ...] = ()) -> Labels:
    """Return labels of ``each`` samples a class, a quarter of them in the test split."""
    cut = each - each // 4
    y = np.arange(classes)
    return Labels(y.repeat(cut), y.repeat(each - cut), classes, names)


def plan(labels: Labels, seed: int = 0, **options: Any) -> EpisodePlan:
    kind = resolve("scenarios", "episodic").target
    assert issubclass(kind, EpisodeScenario)
    return plan_episodes(kind(), labels, kind.Options.parse(options, "scenario"), seed)


def parts(found: EpisodePlan) -> list[list[int]]:
    return [part.tolist() for part in (found.train, found.validation, found.test)]


@given(st.integers(10, 60), st.data())
def test_parts_are_disjoint_and_together_everything(classes: int, data: st.DataObject) -> None:
    train = data.draw(st.integers(4, classes - 2))
    held = data.draw(st.sampled_from([0, *range(2, train - 1)]))
    options = {"ways": 2, "train_classes": train, "validation_classes": held}
    seed = data.draw(st.integers(0, 99))
    found = parts(plan(labels_of(classes), seed, **options))
    assert [len(part) for part in found] == [train - held, held, classes - train]
    assert all(not set(a) & set(b) for a, b in combinations(found, 2))
    assert sorted(chain(*found)) == list(range(classes))
    assert found == parts(plan(labels_of(classes), seed, **options))


def test_omniglots_characters_are_drawn_by_the_seed() -> None:
    found = [parts(plan(labels_of(1623), seed)) for seed in (0, 1)]
    assert [len(part) for part in found[0]] == [1100, 100, 423]
    assert set(found[0][2]) != set(found[1][2])


def test_digits_are_halved_without_a_validation_part() -> None:
    assert [len(part) for part in parts(plan(labels_of(10)))] == [5, 0, 5]


def test_every_class_is_a_test_class_equally_often() -> None:
    drawn = np.concatenate([plan(labels_of(20), seed).test for seed in range(400)])
    counts = np.bincount(drawn, minlength=20)
    expected = 400 / 2
    chi_square = float(((counts - expected) ** 2 / expected).sum()) / (1 - 1 / 2)
    assert chi_square < 43.8  # 0.1 % of a chi-square with 19 degrees of freedom lies above


def test_alphabets_stay_whole_and_the_first_three_fifths_train() -> None:
    names = tuple(f"{alphabet}/{i}" for alphabet in "xaybc" for i in range(6))
    found = plan(labels_of(30, names=names), split="alphabets", ways=3, validation_classes=4)
    train = {names[c][0] for c in (*found.train, *found.validation)}
    assert train == {"x", "a", "y"}
    assert {names[c][0] for c in found.test} == {"b", "c"}
    assert [len(part) for part in parts(found)] == [14, 4, 12]


@pytest.mark.skipif("CLBENCH_DATA" not in os.environ, reason="CLBENCH_DATA is not set")
def test_omniglots_alphabets_are_its_background_and_evaluation_sets() -> None:
    from clbench.datasets.omniglot import BACKGROUND
    from clbench.specify import dataset_of

    names = dataset_of("omniglot", None).classes
    found = plan(labels_of(len(names), names=names), split="alphabets")
    assert sorted([*found.train, *found.validation]) == list(range(BACKGROUND))
    assert [len(part) for part in parts(found)] == [884, 80, 659]


def test_validation_classes_take_the_place_of_the_test_classes() -> None:
    usual = plan(labels_of(100), train_classes=60)
    held_out = plan(labels_of(100), train_classes=60, validation=True)
    assert held_out.test.tolist() == usual.validation.tolist() != []
    assert held_out.protocol["evaluated_on"] == "validation"
    assert usual.protocol["evaluated_on"] == "test"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ways": 6}, "ways=6 is more than the 5 test classes of this split"),
        (
            {"shots": 15},
            "need 25 different samples of a class; the dataset's smallest class has 20",
        ),
        ({"train_classes": 10}, "train_classes=10 leaves no test class"),
        ({"validation_classes": 5}, "leaves none of the 5 training classes"),
        ({"validation_classes": 2}, "ways=5 is more than the 2 validation classes"),
        ({"validation": True}, "ways=5 is more than the 0 validation classes"),
        ({"keep": "best"}, "of this split; validation_classes sets how many"),
        ({"split": "alphabets"}, "needs classes called alphabet/character"),
        ({"split": "alphabets", "train_classes": 5}, "train_classes needs split=characters"),
        ({"experiences": 5}, "unknown parameter 'experiences'"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(labels_of(10, names=tuple("abcdefghij")), **options)
