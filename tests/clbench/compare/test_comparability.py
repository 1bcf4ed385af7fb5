"""Which runs share a table: each thing that must set them apart does, nothing else does."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.compare.comparability import Group, groups
from clbench.words import differing
from tests.clbench.compare.records import record, runs_of


def grouped(*records: dict[str, Any]) -> list[Group]:
    return groups(runs_of(*records))


def labels(group: Group) -> list[str]:
    return sorted(row.label for row in group.rows)


APART: dict[str, tuple[dict[str, Any], str]] = {
    "dataset": ({"dataset": {"name": "other", "hash": "d"}}, "other"),
    "content": ({"dataset": {"name": "toy", "hash": "d"}}, "toy (d)"),
    "evaluation": ({"protocol": {"evaluation": 0}}, "evaluation version 0"),
    "precision": ({"protocol": {"precision": "bf16"}}, "bf16"),
    "validation": (
        {"protocol": {"evaluated_on": "validation"}, "options": {"validation": 0.1}},
        "validation data",
    ),
    "transductive": ({"protocol": {"transductive": True}}, "transductive"),
    "experiences": ({"options": {"experiences": 5}}, "5 experiences"),
    "order": ({"options": {"class_order": "natural"}}, "class_order=natural"),
    "samples": ({"options": {"samples": 100}}, "samples=100"),
    "sizes": ({"options": {"sizes": [4, 6]}}, "sizes=[4,6]"),
    "online": ({"options": {"online": True}}, "online, batches of 10"),
    "test mask": ({"protocol": {"test_mask": "all"}}, "test_mask=all"),
    "task id": ({"protocol": {"tells_task": True}}, "tells_task=true"),
    "shift": ({"options": {"shift": "rotated"}}, "shift=rotated"),
    "base split": ({"options": {"base_classes": 5}}, "base_classes=5"),
    "memory": ({"hyper_parameters": {"memory_size": 50}}, "memory 50 balanced"),
    "policy": ({"hyper_parameters": {"memory_policy": "reservoir"}}, "memory 20 reservoir"),
    "passes": ({"hyper_parameters": {"epochs": 1}}, "one pass"),
}


@pytest.mark.parametrize(("changes", "words"), APART.values(), ids=APART)
def test_what_sets_tables_apart_is_in_the_title(changes: dict[str, Any], words: str) -> None:
    found = grouped(record(), record(**changes))
    assert len(found) == 2
    titles = [group.title for group in found]
    assert sum(words in title for title in titles) == 1, titles
    assert all(len(group.rows) == 1 for group in found)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"hyper_parameters": {"lr": 0.5}},
        {"hyper_parameters": {"epochs": 9}},
        {"options": {"batch_size": 7}},
        {"options": {"new": None}},
        {"dataset": {"name": "npz:elsewhere", "hash": "abc"}},
        {"protocol": {"named_seeds": {"order": 3}}},
    ],
    ids=["seed", "lr", "epochs", "batch size of no online stream", "unset", "name", "named seed"],
)
def test_what_does_not(changes: dict[str, Any]) -> None:
    assert len(grouped(record(), record(**changes))) == 1


def test_a_transductive_row_is_marked() -> None:
    (group,) = grouped(record(protocol={"transductive": True}))
    assert labels(group) == ["replay (transductive)"]


def test_scenarios_stand_side_by_side_whatever_their_heads() -> None:
    multi = {"head": "multi", "train_mask": "task", "test_mask": "task", "tells_task": True}
    (group,) = grouped(record(), record(scenario="task-incremental", protocol=multi))
    assert group.scenarios == ("class-incremental", "task-incremental")
    assert len(group.rows) == 1


def test_a_scenario_under_two_protocols_gets_a_table_for_each() -> None:
    found = grouped(
        record(), record(protocol={"test_mask": "all"}), record(scenario="domain-incremental")
    )
    assert [group.scenarios for group in found] == [
        ("class-incremental",),
        ("class-incremental",),
        ("domain-incremental",),
    ]
    assert "class-incremental test_mask=all" in found[0].title
    assert "class-incremental test_mask=seen" in found[1].title


def test_rows_without_a_memory_and_the_reference_stand_in_every_table() -> None:
    found = grouped(
        record("finetune"),
        record("joint", budget={"memory_examples": 1437}),
        record("replay"),
        record("replay", hyper_parameters={"memory_size": 50}),
        record("nearest"),
    )
    assert {g.facets["memory"]: labels(g) for g in found} == {
        "memory 20 balanced": ["finetune", "joint", "nearest", "replay"],
        "memory 50 balanced": ["finetune", "joint", "replay"],
    }


def test_one_pass_and_several_never_share_a_table() -> None:
    found = grouped(
        record("finetune", hyper_parameters={"epochs": 1}),
        record("replay"),
        record("joint"),
        record("nearest"),
    )
    assert {g.facets["passes"]: labels(g) for g in found} == {
        "one pass": ["finetune", "joint", "nearest"],
        "several passes": ["joint", "nearest", "replay"],
    }


def test_a_table_whose_rows_all_stand_in_another_is_left_out() -> None:
    """No table of memory 20 and one pass: joint alone would stand in it."""
    found = grouped(
        record("replay"),
        record("replay", hyper_parameters={"memory_size": 50, "epochs": 1}),
        record("joint"),
    )
    assert [(g.facets["memory"], g.facets["passes"], labels(g)) for g in found] == [
        ("memory 20 balanced", "several passes", ["joint", "replay"]),
        ("memory 50 balanced", "one pass", ["joint", "replay"]),
    ]


def test_exemplars_kept_without_a_hyper_parameter_count() -> None:
    """A plug-in with a memory of its own is not compared as if it had none."""
    found = grouped(record("replay"), record("mine", budget={"memory_examples": 500}))
    assert [group.facets["memory"] for group in found] == ["memory 20 balanced", "memory 500"]


def test_a_memory_of_none_is_no_memory() -> None:
    (group,) = grouped(record("replay", hyper_parameters={"memory_size": 0}), record("nearest"))
    assert labels(group) == ["nearest", "replay"]


def test_variants_are_called_by_what_they_differ_in() -> None:
    (group,) = grouped(
        record(hyper_parameters={"lr": 0.5, "hidden": [64, 64]}),
        record(hyper_parameters={"lr": 0.5, "hidden": [8], "warm": True}),
    )
    assert labels(group) == ["replay hidden=[64,64]", "replay hidden=[8], warm=true"]


def test_versions_are_variants() -> None:
    new = record()
    new["specification"]["strategy"]["version"] = 2
    (group,) = grouped(record(), new)
    assert labels(group) == ["replay version=1", "replay version=2"]


def test_one_variant_per_scenario_is_one_row_and_a_note() -> None:
    (group,) = grouped(
        record(hyper_parameters={"lr": 0.5}),
        record(scenario="task-incremental", hyper_parameters={"lr": 0.1}),
    )
    assert labels(group) == ["replay"]
    assert group.notes == ("replay: lr=0.5 on class-incremental; lr=0.1 on task-incremental.",)


def test_differing_in_words() -> None:
    assert differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": "x"}]) == ["b=2", "b=3, c=x"]


CHOICES = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["finetune", "joint", "nearest", "replay"]),
        "seed": st.integers(0, 1),
        "scenario": st.sampled_from(["class-incremental", "task-incremental"]),
        "hyper_parameters": st.fixed_dictionaries({"epochs": st.sampled_from([1, 5])}),
        "options": st.fixed_dictionaries({"experiences": st.sampled_from([2, 5])}),
        "protocol": st.fixed_dictionaries({"test_mask": st.sampled_from(["seen", "all"])}),
    }
)


@given(st.lists(CHOICES, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_run_is_in_a_table_and_no_table_mixes(
    chosen: list[dict[str, Any]], order: random.Random
) -> None:
    runs = runs_of(*(record(**choice) for choice in chosen))
    found = groups(runs)
    seen = {run.path for g in found for row in g.rows for own in row.runs.values() for run in own}
    assert seen == {run.path for run in runs}
    for group in found:
        assert len({row.label for row in group.rows}) == len(group.rows)
        for scenario in group.scenarios:
            own = [run.specification for row in group.rows for run in row.runs.get(scenario, ())]
            assert len({spec["protocol"]["test_mask"] for spec in own}) == 1
            assert len({spec["scenario"]["options"]["experiences"] for spec in own}) == 1
        epochs = {
            run.specification["strategy"]["hyper_parameters"]["epochs"]
            for row in group.rows
            for own_runs in row.runs.values()
            for run in own_runs
            if row.strategy in ("finetune", "replay")
        }
        assert len(epochs) <= 1
    order.shuffle(runs)
    assert groups(runs) == found
