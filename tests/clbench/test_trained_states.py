"""Meta-training is done once: who was trained alike takes over the state, and nobody else does."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from filelock import FileLock

from clbench import results
from clbench.evaluator import Silent
from clbench.grid import Request, build
from clbench.meta_training import training_specification
from clbench.results import Record
from clbench.runner import Execution, run_one
from clbench.specification import run_hash
from clbench.specify import prepare
from clbench.sweep import Job, perform
from tests.clbench.test_episode_evaluator import OPTIONS as TOY
from tests.clbench.test_episode_evaluator import PROTOTYPES, noisy_classes
from tests.clbench.test_resume import killed_at

OPTIONS = TOY | {"validation_classes": 3}
STEPS = 19
"""Of 600 episodes in batches of 32."""


class Counting(Silent):
    """Counts training steps."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self) -> None:
        self.steps += 1


def job_of(
    folder: Path, hyper: dict[str, Any] | None = None, dataset: str = "digits", **options: Any
) -> Job:
    request = Request(
        dataset, "episodic", PROTOTYPES, options=OPTIONS | options, hyper_parameters=hyper or {}
    )
    (cell,) = build([request], folder)
    return Job(cell.specification, cell.path, folder, Execution())


def done(job: Job) -> tuple[Record, int]:
    """Return the record of a job, and how many training steps were taken for it."""
    counting = Counting()
    record = perform(job, counting).record
    assert record is not None
    assert record["status"] == "ok", record.get("error")
    return record, counting.steps


def what_was_found(record: Record) -> Any:
    spent = {k: record["budget"][k] for k in ("steps", "samples_seen", "parameters")}
    return record["matrix"], record["metrics"], spent


AS_FIRST = {"meta_ways": 2, "meta_shots": 1, "meta_queries": 5}


@pytest.mark.parametrize(
    ("hyper", "options", "curve"),
    [
        (AS_FIRST, {"ways": 3, "shots": 2}, {"options.ways": 2, "options.shots": 1}),
        (AS_FIRST, {"queries": 7}, {"options.queries": 5}),
        ({}, {"test_episodes": 70}, {}),
        ({}, {"validation": True}, {}),
        ({"norm": 1.0}, {}, {"norm": 2.0}),
        ({"meta_ways": 2}, {}, {}),
    ],
)
def test_who_is_trained_alike_only_tests(
    hyper: dict[str, Any], options: dict[str, Any], curve: dict[str, Any], tmp_path: Path
) -> None:
    first_job, job = job_of(tmp_path), job_of(tmp_path, hyper, **options)
    first, steps = done(first_job)
    assert steps == STEPS
    assert "meta_trained_by" not in first["provenance"]
    second, steps = done(job)
    assert steps == 0
    assert second["provenance"]["meta_trained_by"]["run"] == first_job.path.stem
    assert what_was_found(second) == what_was_found(run_one(job.specification))
    assert second["budget"]["train_seconds"] == first["budget"]["train_seconds"]
    assert second["learning_curve"] == first["learning_curve"]
    assert second.get("learning_curve_settings", {}) == curve


def test_a_test_only_parameter_and_other_ways_change_the_answers(tmp_path: Path) -> None:
    jobs = [job_of(tmp_path), job_of(tmp_path, {"norm": 1.0}), job_of(tmp_path, AS_FIRST, ways=3)]
    assert len({done(job)[0]["metrics"]["average_accuracy"] for job in jobs}) == 3


def test_training_episodes_have_the_shape_the_parameters_say(tmp_path: Path) -> None:
    job = job_of(tmp_path, {"meta_ways": 3, "meta_shots": 2, "meta_queries": 4})
    assert done(job)[0]["budget"]["samples_seen"] == 600 * 3 * (2 + 4)


def key(hyper: dict[str, Any] | None = None, seed: int = 0, **given: Any) -> str:
    specification = job_of(Path("nowhere"), hyper, **given).specification | {"seed": seed}
    training = training_specification(specification, *prepare(specification))  # type: ignore[arg-type]
    return run_hash(training) + str(seed)


@pytest.mark.parametrize(
    ("hyper", "options"),
    [
        ({"lr": 0.01}, {}),
        ({"meta_ways": 3}, {}),
        ({}, {"ways": 3}),
        ({}, {"shots": 2}),
        ({}, {"episodes": 601}),
        ({}, {"train_classes": 5}),
        ({}, {"validation_classes": 2}),
        ({}, {"seed": 1}),
        ({}, {"keep": "best"}),
    ],
)
def test_whatever_changes_training_is_part_of_the_key(
    hyper: dict[str, Any], options: dict[str, Any]
) -> None:
    assert key(hyper, **options) != key()


def test_what_only_tests_is_part_of_the_key_where_the_curve_chooses_the_state() -> None:
    assert key(AS_FIRST, ways=3) == key({"norm": 1.0}) == key(validation=True) == key()
    best = [key(AS_FIRST, ways=3, keep="best"), key({"norm": 1.0}, keep="best"), key(keep="best")]
    assert len(set(best)) == 3
    assert (
        key(keep="best", test_episodes=7, validation=True) == key(AS_FIRST, keep="best") == best[2]
    )


def test_a_split_that_follows_the_ways_is_another_training(tmp_path: Path) -> None:
    """A twelfth of 24 classes is held out for 2 ways; for 3 it would be too few, so that all 24 train."""
    split: dict[str, Any] = {"train_classes": 24, "validation_classes": "none"}
    data = noisy_classes(tmp_path)
    two, three = (key(AS_FIRST, dataset=data, ways=ways, **split) for ways in (2, 3))
    assert two == key(dataset=data, ways=2, **split) != three


def test_the_best_state_is_taken_over_too(tmp_path: Path) -> None:
    done(job_of(tmp_path, keep="best"))
    job = job_of(tmp_path, keep="best", test_episodes=70)
    record, steps = done(job)
    assert steps == 0
    assert what_was_found(record) == what_was_found(run_one(job.specification))


def test_force_trains_again_and_keeps_the_new_state(tmp_path: Path) -> None:
    done(job_of(tmp_path))
    (kept,) = (tmp_path / ".trained").iterdir()
    stale_before = kept.stat().st_mtime + 1e-6
    for ways, expected in ((3, STEPS), (2, 0)):
        job = replace(job_of(tmp_path, AS_FIRST, ways=ways), stale_before=stale_before)
        assert done(job)[1] == expected


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign"])
def test_a_damaged_state_is_trained_anew(damage: str, tmp_path: Path) -> None:
    done(job_of(tmp_path))
    (kept,) = (tmp_path / ".trained").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "foreign": b"x"}[damage])
    assert done(job_of(tmp_path, test_episodes=70))[1] == STEPS
    assert done(job_of(tmp_path, test_episodes=71))[1] == 0


def test_a_state_that_cannot_be_kept_costs_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".trained").touch()
    assert done(job_of(tmp_path))[1] == STEPS
    assert "the trained state is not kept for other runs: cannot write" in caplog.text


def test_trained_states_are_no_results(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    done(job)
    (tmp_path / ".trained" / "x.json").write_text("{}")
    assert list(results.files(tmp_path)) == [job.path]
    assert not list(tmp_path.rglob("*.tmp"))


# Several processes, and dead ones.


def command(folder: Path, **options: Any) -> list[str]:
    typed = [f"-S{key}={json.dumps(value)}" for key, value in (OPTIONS | options).items()]
    start = [sys.executable, "-m", "clbench", "run", "-q", "--scenario", "episodic", "--json"]
    return [*start, "--strategy", PROTOTYPES, "--results", str(folder), *typed]


@pytest.mark.parametrize("place", ["save:1", "save:2"])
def test_who_is_killed_at_the_end_of_training_leaves_nothing_broken(
    place: str, tmp_path: Path
) -> None:
    """The first file torch saves is the checkpoint at the end of training, the second the trained state."""
    killed_at(place, command(tmp_path))
    assert not (tmp_path / ".trained").exists() or not list((tmp_path / ".trained").iterdir())
    record, steps = done(job_of(tmp_path))
    assert steps == (STEPS if place == "save:1" else 0)
    assert what_was_found(record) == what_was_found(run_one(job_of(tmp_path).specification))
    assert done(job_of(tmp_path, test_episodes=70))[1] == 0


def test_who_wants_a_training_that_another_is_at_waits_and_takes_it_over(tmp_path: Path) -> None:
    done(job_of(tmp_path))
    (kept,) = (tmp_path / ".trained").iterdir()
    aside = kept.rename(tmp_path / "aside")
    counting = Counting()
    waiting = Thread(target=perform, args=(job_of(tmp_path, test_episodes=70), counting))
    with FileLock(results.lock_path(tmp_path, kept)):
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        aside.rename(kept)
    waiting.join()
    assert counting.steps == 0
