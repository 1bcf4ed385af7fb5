"""Any-time evaluation: hand-computed metrics of a trace, and a trace that leaves a run as it was."""

from __future__ import annotations

from typing import Any

import pytest

from clbench import anytime
from clbench.anytime import Trace
from clbench.evaluator import Anytime, Outcome, run_stream
from tests.toys import SCENARIOS, STRATEGIES, make, numbered_dataset, stream_of


def points(*rows: tuple[int, int, list[float]]) -> Trace:
    """Return a trace of (experience, step, accuracies)."""
    return [{"experience": e, "step": s, "accuracy": a} for e, s, a in rows]


TRACE = points(
    (1, 5, [0.5]),
    (1, 9, [0.9]),
    (2, 5, [0.3, 0.5]),
    (2, 9, [0.7, 0.8]),
    (3, 5, [0.6, 0.2, 0.4]),
    (3, 9, [0.4, 0.6, 0.8]),
)


def test_metrics_by_hand() -> None:
    values = {name: metric.compute(TRACE) for name, metric in anytime.METRICS.items()}
    assert values == pytest.approx(
        {
            "average_anytime_accuracy": (0.5 + 0.9 + 0.4 + 0.75 + 0.4 + 0.6) / 6,
            "min_accuracy": (0.3 + 0.2) / 2,
            "worst_case_accuracy": 0.8 / 3 + 2 / 3 * 0.25,
            "stability_gap": ((0.9 - 0.3) + (0.7 - 0.4) + (0.8 - 0.2)) / 3,
        }
    )


def test_metrics_that_need_two_tasks_are_null_for_one() -> None:
    values = {name: metric.compute(TRACE[:2]) for name, metric in anytime.METRICS.items()}
    assert values == {
        "average_anytime_accuracy": pytest.approx(0.7),
        "min_accuracy": None,
        "worst_case_accuracy": None,
        "stability_gap": None,
    }
    assert all(metric.compute([]) is None for metric in anytime.METRICS.values())


def run(scenario: str, name: str, watched: Anytime | None, **options: Any) -> Outcome:
    """Return what a run leaves."""
    stream = stream_of(scenario, **options)
    outcome = Outcome()
    run_stream(stream, make(name, stream.info), outcome, anytime=watched)
    return outcome


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_watching_changes_no_number(scenario: str, name: str) -> None:
    watched = run(scenario, name, Anytime(every=2))
    assert watched.matrix == run(scenario, name, None).matrix
    ends = [[p for p in watched.trace if p["experience"] == i][-1] for i in (1, 2)]
    for learnt, end in enumerate(ends, 1):  # all test samples: the point at the end is the row
        assert end["accuracy"] == watched.matrix[learnt][:learnt]


def test_points_come_every_so_many_steps_and_at_the_end() -> None:
    trace = run("class-incremental", "finetune", Anytime(every=2)).trace  # 24 samples, batches of 8
    assert [(p["experience"], p["step"]) for p in trace] == [(1, 2), (1, 3), (2, 2), (2, 3)]
    trace = run("class-incremental", "finetune", Anytime(every=3)).trace
    assert [(p["experience"], p["step"]) for p in trace] == [(1, 3), (2, 3)]


def test_hidden_boundaries_do_not_restart_the_count() -> None:
    options = {"online": True, "boundaries": False, "batch_size": 8}
    trace = run("class-incremental", "finetune", Anytime(every=2), **options).trace
    assert [(p["experience"], p["step"]) for p in trace] == [(1, 2), (1, 3), (2, 2), (2, 3)]


def test_a_subsample_is_the_same_at_every_point() -> None:
    stream = stream_of("class-incremental")
    first, second = stream.sampled_test_set(1, 3), stream.sampled_test_set(2, 3)
    assert first.task.tolist() == [0] * 3
    assert sorted(second.task.tolist()) == [0] * 3 + [1] * 3
    assert second.x[second.task == 0].equal(first.x)
    assert len(stream.sampled_test_set(2, 1000).y) == len(stream.test_set(2).y)


def test_a_subsample_is_drawn_whatever_order_the_data_come_in() -> None:
    data = numbered_dataset([6, 6, 6, 6], [40, 40, 40, 40])  # sorted by class
    stream = stream_of("task-incremental", data, class_order="natural")
    test = stream.sampled_test_set(2, 20)
    assert test.task.tolist() == [0] * 20 + [1] * 20
    for task in range(2):
        assert len(set(test.y[test.task == task].tolist())) == 2
