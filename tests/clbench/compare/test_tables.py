from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.compare.collection import collect
from clbench.compare.comparability import groups
from clbench.compare.tables import Settings, Table, compare, with_companions
from clbench.errors import UsageError
from tests.clbench.compare.records import failed, record, runs_of

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"
PLACE = "class-incremental"


def tables_of(*records: dict[str, Any], **settings: Any) -> list[Table]:
    return compare(groups(runs_of(*records)), Settings(**settings))


def accuracies(strategy: str, *values: float, **changes: Any) -> list[dict[str, Any]]:
    """Return a run per value, seeds from 0, both tasks at that accuracy."""
    return [record(strategy, i, (v, v, v), **changes) for i, v in enumerate(values)]


def marks(table: Table, metric: str = "average_accuracy") -> dict[str, str]:
    column = table.column(PLACE, metric)
    return {k: "best" if s.best else "level" if s.level else "" for k, s in column.items()}


def test_the_reference_folder_gives_the_numbers_of_the_readme() -> None:
    """MNIST: metanet is 4.2 ± 1.0 above nearest, level with replay; digits: 1.9 above nearest."""
    folders = [REFERENCE / "digits", REFERENCE / "mnist"]
    found = compare(groups(collect(folders).runs), Settings(baseline="nearest"))
    digits, mnist = (t for t in found if t.facets["memory"] == "memory 200 balanced")
    assert [len(table.rows) for table in (digits, mnist)] == [5, 6]
    difference = mnist.column(PLACE, "average_accuracy")["metanet"].difference
    assert difference is not None
    estimate = difference.estimate
    assert estimate.high is not None
    assert f"{100 * estimate.value:.1f}" == "4.2"
    assert f"{100 * (estimate.high - estimate.value):.1f}" == "1.0"
    assert difference.p == 5 * 2 / 2**10  # every seed agrees; Holm for 5 rows
    assert difference.test == "exact sign-flip"
    assert marks(mnist) == {
        "joint": "",
        "metanet": "best",
        "replay": "level",
        "nearest": "",
        "finetune": "",
        "mann": "",
    }
    close = digits.column(PLACE, "average_accuracy")["metanet"].difference
    assert close is not None
    assert f"{100 * close.estimate.value:.1f}" == "1.9"
    assert close.p is not None
    assert close.p < 0.05


def test_a_difference_by_hand() -> None:
    """Differences .02, .04, .06: mean .04, half-width 4.3027 × .02/√3, p of t = √12 with 2 degrees: .0742."""
    ours, theirs = accuracies("replay", 0.52, 0.64, 0.76), accuracies("nearest", 0.5, 0.6, 0.7)
    (table,) = tables_of(*ours, *theirs, baseline="nearest")
    difference = table.column(PLACE, "average_accuracy")["replay"].difference
    assert difference is not None
    assert difference.estimate.value == pytest.approx(0.04)
    assert difference.estimate.low == pytest.approx(0.04 - 4.3027 * 0.02 / 3**0.5, abs=1e-5)
    assert difference.p == pytest.approx(0.0742, abs=1e-4)
    assert difference.test == "paired t"
    assert table.column(PLACE, "average_accuracy")["nearest"].difference is None


def test_p_values_are_adjusted_for_the_rows_of_the_column() -> None:
    worse = accuracies("finetune", 0.21, 0.19, 0.2)
    ours, theirs = accuracies("replay", 0.52, 0.64, 0.76), accuracies("nearest", 0.5, 0.6, 0.7)
    (table,) = tables_of(*ours, *theirs, *worse, baseline="nearest")
    column = table.column(PLACE, "average_accuracy")
    alone = tables_of(*theirs, *worse, baseline="nearest")[0].column(PLACE, "average_accuracy")
    assert alone["finetune"].difference is not None
    assert column["finetune"].difference is not None
    assert alone["finetune"].difference.p is not None
    assert column["finetune"].difference.p == pytest.approx(2 * alone["finetune"].difference.p)


def test_pairs_are_common_seeds_and_the_table_says_so() -> None:
    ours = [record("replay", seed, (0.9, 0.8, 0.8)) for seed in (0, 1, 2, 5)]
    (table,) = tables_of(*ours, *accuracies("nearest", 0.5, 0.6), baseline="nearest")
    difference = table.column(PLACE, "average_accuracy")["replay"].difference
    assert difference is not None
    assert difference.estimate.n == 2
    assert difference.estimate.value == pytest.approx(0.25)
    assert any("different seeds (replay 0–2, 5; nearest 0–1)" in note for note in table.notes)


def test_no_common_seed_is_no_difference_and_no_mark() -> None:
    ours = [record("replay", seed, (0.9, 0.8, 0.8 + seed / 100)) for seed in (5, 6)]
    (table,) = tables_of(*ours, *accuracies("nearest", 0.5, 0.6), baseline="nearest")
    assert table.column(PLACE, "average_accuracy")["replay"].difference is None
    assert marks(table) == {"replay": "best", "nearest": ""}


def test_one_seed_has_no_interval_no_test_and_no_best() -> None:
    (table,) = tables_of(
        *accuracies("replay", 0.9), *accuracies("nearest", 0.5), baseline="nearest"
    )
    score = table.column(PLACE, "average_accuracy")["replay"]
    assert score.estimate is not None
    assert (score.estimate.low, score.estimate.high) == (None, None)
    assert score.difference is not None
    assert (score.difference.p, score.difference.estimate.low) == (None, None)
    assert marks(table) == {"replay": "", "nearest": ""}


def test_the_best_and_the_level_and_never_the_reference() -> None:
    (table,) = tables_of(
        *accuracies("joint", 0.95, 0.96, 0.97),
        *accuracies("replay", 0.80, 0.86, 0.84),
        *accuracies("nearest", 0.81, 0.84, 0.83),
        *accuracies("finetune", 0.21, 0.20, 0.20),
    )
    assert marks(table) == {"joint": "", "replay": "best", "nearest": "level", "finetune": ""}
    assert [row.label for row in table.rows] == ["joint", "replay", "nearest", "finetune"]


def test_many_rows_and_eight_seeds_do_not_make_the_worst_level_with_the_best() -> None:
    records = [
        record(
            "replay",
            seed,
            (0.9, (9 - i) / 10 + seed / 1000 * (i + 1), 0.5),
            hyper_parameters={"lr": i},
        )
        for i in range(9)
        for seed in range(8)
    ]
    (table,) = tables_of(*records)
    found = marks(table)
    assert found["replay lr=0"] == "best"
    assert set(found.values()) == {"best", ""}


def test_less_forgetting_is_better_where_it_is_what_is_compared() -> None:
    little = [record("replay", i, (0.8 + i / 1000, 0.7 + i / 100, 0.9)) for i in range(3)]
    much = [record("finetune", i, (0.9, 0.1 - i / 100, 0.9)) for i in range(3)]
    (table,) = tables_of(*little, *much, metrics=("forgetting", "learning_accuracy"))
    assert marks(table, "forgetting") == {"replay": "best", "finetune": ""}
    assert marks(table, "learning_accuracy") == {"replay": "", "finetune": "best"}
    assert [row.label for row in table.rows] == ["replay", "finetune"]
    (beside,) = tables_of(*little, *much, metrics=("learning_accuracy", "forgetting"))
    assert set(marks(beside, "forgetting").values()) == {""}  # who learns nothing forgets nothing


def test_the_gap_is_paired_with_the_best_reference() -> None:
    better = accuracies("joint", 0.9, 0.9, hyper_parameters={"lr": 0.3})
    (table,) = tables_of(
        *accuracies("joint", 0.5, 0.5), *better, *accuracies("replay", 0.7, 0.6, 0.2)
    )
    gap = table.cells["replay", PLACE].gap
    assert gap is not None
    assert gap.n == 2
    assert gap.value == pytest.approx(0.25)
    assert all(table.cells[row.label, PLACE].gap is None for row in table.rows[:1])


LEVELS = st.lists(st.integers(0, 1000).map(lambda level: level / 1000), min_size=2, max_size=12)


@given(LEVELS, LEVELS)
def test_differences_mirror_each_other(ours: list[float], theirs: list[float]) -> None:
    """Whichever row is the baseline: opposite values, mirrored intervals, the same p over the same seeds."""
    records = [*accuracies("replay", *ours), *accuracies("nearest", *theirs)]
    there, back = (
        tables_of(*records, baseline=baseline)[0]
        .column(PLACE, "average_accuracy")[label]
        .difference
        for baseline, label in (("nearest", "replay"), ("replay", "nearest"))
    )
    assert there is not None
    assert back is not None
    assert there.estimate.n == min(len(ours), len(theirs))
    assert there.estimate.value == pytest.approx(-back.estimate.value)
    assert there.estimate.low == pytest.approx(-(back.estimate.high or 0))
    assert there.p == pytest.approx(back.p)


def test_a_baseline_that_is_missing_somewhere() -> None:
    multi = {"scenario": "task-incremental"}
    (table,) = tables_of(
        *accuracies("replay", 0.8, 0.9),
        *accuracies("replay", 0.8, 0.9, **multi),
        *accuracies("nearest", 0.7, 0.8),
        baseline="nearest",
    )
    assert "The baseline nearest has no result on task-incremental." in table.notes
    assert table.cells["replay", "task-incremental"].scores["average_accuracy"].difference is None
    other = accuracies("finetune", 0.5, dataset={"name": "other", "hash": "o"})
    found = tables_of(*accuracies("nearest", 0.7, 0.8), *other, baseline="nearest")
    assert found[0].notes == ["The baseline nearest has no row in this table."]


def test_a_baseline_of_several_variants_must_be_chosen() -> None:
    variants = [
        *accuracies("replay", 0.8, 0.9),
        *accuracies("replay", 0.7, 0.9, hyper_parameters={"lr": 9.0}),
    ]
    (table,) = tables_of(*variants, baseline="replay")
    assert "choose one: 'replay lr=0.1', 'replay lr=9.0'" in table.notes[0]
    (table,) = tables_of(*variants, baseline="replay lr=9.0")
    assert table.column(PLACE, "average_accuracy")["replay lr=0.1"].difference is not None


def test_unknown_names_are_refused_with_a_hint() -> None:
    with pytest.raises(UsageError, match=r"unknown metric 'forgeting'. Did you mean 'forgetting'"):
        tables_of(record(), metrics=("forgeting",))
    with pytest.raises(UsageError, match=r"unknown baseline 'repaly'. Did you mean 'replay'"):
        tables_of(record(), baseline="repaly")


def test_a_metric_only_the_files_know() -> None:
    (table,) = tables_of(record(metrics={"stability_gap": 0.25}), metrics=("stability_gap",))
    score = table.column(PLACE, "stability_gap")["replay"]
    assert score.estimate is not None
    assert score.estimate.value == 0.25


def test_forgetting_brings_learning_accuracy() -> None:
    assert with_companions(["forgetting"]) == ("forgetting", "learning_accuracy")
    assert with_companions(["forgetting_as_pycil"])[-1] == "learning_accuracy"
    asked = ["learning_accuracy", "forgetting", "forgetting"]
    assert with_companions(asked) == ("learning_accuracy", "forgetting")
    assert with_companions(["average_accuracy"]) == ("average_accuracy",)


def test_what_a_reader_must_know_is_said() -> None:
    odd = [record("replay", i, (0.9, 0.8, 0.8 + i / 1000)) for i in range(6)]
    odd.append(record("replay", 6, (0.9, 0.2, 0.3), provenance={"host": "elsewhere"}))
    (table,) = tables_of(
        *odd,
        failed("replay", 7, "the loss became NaN"),
        record("nearest", 0, metrics={"average_accuracy": 0.5, "forgetting": None}),
        record("nearest", 1),
    )
    notes = "\n".join(table.notes)
    assert "replay on class-incremental, seed 7: failed: the loss became NaN" in notes
    assert "outlier in average accuracy: seed 6 (25.00); kept in the mean" in notes
    assert "nearest on class-incremental: forgetting is undefined in 1 of 2 runs" in notes
    assert "Seconds were measured on 2 different machines" in notes


def test_the_effect_of_the_order_of_a_memory_is_said() -> None:
    runs = []
    for seed, sd in ((0, 0.01), (1, 0.03)):
        runs.append(record("replay", seed))
        runs[-1]["metrics"] |= {"order_sd": sd, "orders": 5}
    (table,) = tables_of(*runs, record("nearest"))
    said = [note for note in table.notes if "order in which" in note]
    assert said == [
        "replay on class-incremental: average accuracy differs with the order in which exemplars are shown:"
        " sd 2.00 over 5 orders, mean of 2 runs (at most 3.00)."
    ]


def test_crossed_seeds_are_said() -> None:
    runs = [
        record(
            seed=s, cells=(0.9, 0.5 + o / 10, 0.7 + s / 50), protocol={"named_seeds": {"order": o}}
        )
        for o in range(3)
        for s in range(4)
    ]
    (table,) = tables_of(*runs)
    score = table.column(PLACE, "average_accuracy")["replay"]
    assert score.estimate is not None
    assert score.estimate.n == 3
    assert "replay on class-incremental: 12 runs with crossed seeds count as n = 3." in table.notes
