"""Expansion: of what the places say about one setting the nearest wins, and what varies is multiplied out."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.configuration import Configuration, Grid
from clbench.evaluator import Anytime
from clbench.expansion import expand

ONE: dict[str, Any] = {"scenario": "class-incremental", "strategy": "finetune"}

# From far to near: the file's own tables, those of the grid, the command line; in each the plain
# key, then that of one strategy, then what varies.
PLACES: list[tuple[str, dict[str, Any]]] = [
    ("file", {"hyper_parameters": {"lr": 1.0}}),
    ("file", {"hyper_parameters": {"finetune": {"lr": 2.0}}}),
    ("file", {"vary": {"lr": [3.0]}}),
    ("file", {"vary": {"finetune": {"lr": [4.0]}}}),
    ("grid", {"hyper_parameters": {"lr": 5.0}}),
    ("grid", {"hyper_parameters": {"finetune": {"lr": 6.0}}}),
    ("grid", {"vary": {"lr": [7.0]}}),
    ("typed", {"hyper_parameters": {"lr": 8.0}}),
    ("typed", {"hyper_parameters": {"lr": 8.0, "finetune.lr": 9.0}}),
]


def parsed(**said: Any) -> Grid:
    return Grid.parse(said, "test")


def merged(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the tables of one place as one."""
    whole: dict[str, Any] = {}
    for table in tables:
        for key, settings in table.items():
            whole[key] = whole.get(key, {}) | settings
    return whole


@pytest.mark.parametrize("count", range(1, len(PLACES) + 1))
def test_the_nearest_place_wins(count: int) -> None:
    said = {
        place: merged([table for name, table in PLACES[:count] if name == place])
        for place in ("file", "grid", "typed")
    }
    common = parsed(**ONE, **said["file"])
    configuration = Configuration(
        "file", common=common, grids=(parsed(**said["grid"]).over(common),)
    )
    (request,) = expand(configuration, parsed(**said["typed"]))
    assert request.hyper_parameters == {"lr": float(count)}


@given(
    st.dictionaries(st.sampled_from(["lr", "epochs", "batch_size"]), st.integers(1, 4)),
    st.dictionaries(st.sampled_from(["experiences", "samples"]), st.integers(1, 3)),
)
def test_what_varies_is_multiplied_out(hyper: dict[str, int], options: dict[str, int]) -> None:
    """Every combination once; a table of one strategy varies nothing of another."""
    vary: dict[str, Any] = {key: list(range(1, count + 1)) for key, count in hyper.items()}
    vary["options"] = {key: list(range(1, count + 1)) for key, count in options.items()}
    common = parsed(scenario="class-incremental", strategy=["finetune", "nearest"])
    grid = parsed(vary=vary).over(common)
    requests = expand(Configuration("file", common, (grid,)), Grid())
    streams = prod(options.values())
    learners = {"nearest": streams, "finetune": streams * prod(hyper.values())}
    for strategy, expected in learners.items():
        own = [r for r in requests if r.strategy == strategy]
        distinct = {
            str((sorted(r.options.items()), sorted(r.hyper_parameters.items()))) for r in own
        }
        assert len(own) == len(distinct) == expected


def test_a_key_reaches_those_who_know_it_and_only_the_grids_it_stands_in() -> None:
    common = parsed(scenario="class-incremental", hyper_parameters={"memory_size": 50})
    grids = [
        parsed(strategy=["finetune", "nearest"], hyper_parameters={"epochs": 3}).over(common),
        parsed(strategy="replay").over(common),
    ]
    requests = expand(Configuration("file", common, tuple(grids)), Grid())
    assert {r.strategy: r.hyper_parameters for r in requests} == {
        "finetune": {"epochs": 3},
        "nearest": {"memory_size": 50},
        "replay": {"memory_size": 50},
    }
    assert [r.origin for r in requests] == ["grid 1 of file", "grid 1 of file", "grid 2 of file"]


def test_seeds_and_any_time_evaluation_are_the_nearest_too() -> None:
    common = parsed(**ONE, seeds="0-1", order_seeds=[3, 4], init_seeds=5, eval_every=10)
    grid = parsed(order_seeds=6).over(common)
    (request,) = expand(
        Configuration("file", common, (grid,)), parsed(init_seeds="7-8", eval_every=20)
    )
    assert request.seeds == [0, 1]
    assert request.named_seeds == {"order": [6], "init": [7, 8]}
    assert request.anytime == Anytime(20)
