"""A run that is killed goes on where it was, to the same bits; nobody does a run twice."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from clbench import results
from clbench.checkpoint import Checkpoint
from clbench.grid import Request, build
from clbench.results import Record
from clbench.runner import Execution, run_one
from clbench.specification import Specification
from clbench.specify import strategy_class
from clbench.sweep import Job, perform
from tests.clbench.forked import exit_code
from tests.toys import STRATEGIES, TINY

KILLER = Path(__file__).with_name("killed.py")
CLBENCH = [sys.executable, "-m", "clbench"]
COMMAND = [*CLBENCH, "run", "--scenario", "class-incremental", "-q"]


def _base_split(strategy: str) -> dict[str, int]:
    """Return a base split for one that cannot do without, and for one that keeps more than a network of it."""
    return {"base_classes": 4} if strategy in ("joint", "metanet-frozen") else {}


def specification_of(
    strategy: str, folder: Path, **options: Any
) -> tuple[Specification, Path, list[str]]:
    """Return a short run on digits, where its result belongs, and the command that makes it."""
    options = {"samples": 40, **_base_split(strategy), **options}
    known = strategy_class(strategy)[0].Parameters.model_fields
    hyper = {key: value for key, value in TINY.items() if key in known}
    request = Request(
        "digits", "class-incremental", strategy, options=options, hyper_parameters=hyper
    )
    (cell,) = build([request], folder)
    typed = [f"-s{key}={json.dumps(value)}" for key, value in hyper.items()]
    typed += [f"-S{key}={json.dumps(value)}" for key, value in options.items()]
    command = [*COMMAND, "--strategy", strategy, "--results", str(folder), *typed]
    return cell.specification, cell.path, command


def killed_at(place: str, command: list[str]) -> None:
    """Run a command that kills itself at a place."""
    arguments = [*command[len(CLBENCH) :], "--plugin", str(KILLER)]
    assert exit_code(arguments, os.environ | {"CLBENCH_TEST_KILL": place}) == -signal.SIGKILL


def without_times(record: Record) -> Record:
    """Return what must not depend on when and in how many pieces a run was made."""
    budget = {k: v for k, v in record["budget"].items() if "seconds" not in k and "peak" not in k}
    kept = {k: v for k, v in record.items() if k not in ("provenance", "budget", "error")}
    return kept | {"budget": budget}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_killed_run_goes_on_to_the_same_bits(strategy: str, tmp_path: Path) -> None:
    specification, path, command = specification_of(strategy, tmp_path)
    killed_at("learn:4", command)
    assert results.read(path) is None
    done = perform(Job(specification, path, tmp_path, Execution()))
    assert done.status == "ok"
    assert done.record is not None
    (resumed,) = done.record["provenance"]["resumed_at"]
    assert resumed["experience"] == 3
    assert without_times(done.record) == without_times(run_one(specification))
    left = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(left) == [path.name, path.with_suffix(".lock").name]


@pytest.mark.parametrize(("place", "resumed_at"), [("save:2", 1), ("write:3", 1), ("write:9", 4)])
def test_a_kill_while_a_file_is_written_leaves_the_one_before(
    place: str, resumed_at: int, tmp_path: Path
) -> None:
    specification, path, command = specification_of("replay", tmp_path)
    killed_at(place, command)
    assert results.read(path) is None
    orphans = list((tmp_path / ".work").rglob("*.tmp"))
    assert len(orphans) == 1
    done = perform(Job(specification, path, tmp_path, Execution()))
    assert done.record is not None
    assert done.record["provenance"]["resumed_at"][0]["experience"] == resumed_at
    assert without_times(done.record) == without_times(run_one(specification))
    results.sweep(tmp_path)
    assert orphans[0].exists()  # somebody may be writing it
    long_ago = time.time() - 2 * results.ORPHANED_AFTER
    os.utime(orphans[0], (long_ago, long_ago))
    results.sweep(tmp_path)
    assert not orphans[0].exists()


def test_a_run_killed_twice_says_so(tmp_path: Path) -> None:
    specification, path, command = specification_of("replay", tmp_path)
    killed_at("learn:2", command)
    killed_at("learn:2", command)  # of those that are left
    done = perform(Job(specification, path, tmp_path, Execution()))
    assert done.record is not None
    assert [r["experience"] for r in done.record["provenance"]["resumed_at"]] == [1, 2]
    assert without_times(done.record) == without_times(run_one(specification))


def test_a_resumed_run_keeps_its_checkpoints_threads(tmp_path: Path) -> None:
    specification, path, command = specification_of("replay", tmp_path)
    killed_at("learn:3", [*command, "--threads", "2"])
    done = perform(Job(specification, path, tmp_path, Execution(threads=1)))
    assert done.record is not None
    assert done.record["provenance"]["threads"] == 2


def checkpoint_of(tmp_path: Path) -> tuple[Checkpoint, Specification]:
    """Return a checkpoint with a small state, and whose it is."""
    specification, _, _ = specification_of("finetune", tmp_path)
    checkpoint = Checkpoint(tmp_path / ".work" / "x.checkpoint")
    checkpoint.save(specification, {"a": torch.arange(3), "b": [1, {"c": 2.0}]})
    return checkpoint, specification


def test_a_checkpoint_returns_what_was_saved_to_its_own_run_only(tmp_path: Path) -> None:
    checkpoint, specification = checkpoint_of(tmp_path)
    state = checkpoint.load(specification)
    assert state is not None
    assert state["a"].tolist() == [0, 1, 2]
    assert checkpoint.load(specification | {"seed": 1}) is None


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "pickle"])
def test_a_damaged_checkpoint_is_ignored(damage: str, tmp_path: Path) -> None:
    checkpoint, specification = checkpoint_of(tmp_path)
    whole = checkpoint.path.read_bytes()
    if damage == "pickle":
        torch.save({"made_for": None, "state": Path("x")}, checkpoint.path)
    else:
        content = {"cut": whole[: len(whole) // 2], "empty": b"", "foreign": b"hello"}[damage]
        checkpoint.path.write_bytes(content)
    assert checkpoint.load(specification) is None


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    checkpoint, specification = checkpoint_of(tmp_path)
    witness = tmp_path / "witness"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (witness,)

    torch.save({"made_for": None, "state": Evil()}, checkpoint.path)
    assert checkpoint.load(specification) is None
    assert not witness.exists()


def test_a_run_goes_on_where_no_checkpoint_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    specification, _, _ = specification_of("finetune", tmp_path)
    (tmp_path / "file").touch()
    record = run_one(specification, checkpoint=Checkpoint(tmp_path / "file" / "x.checkpoint"))
    assert record["status"] == "ok"
    assert caplog.text.count("no checkpoints from here on: cannot write") == 1


def test_a_full_disk_fails_the_run_with_a_sentence_and_leaves_no_broken_file(
    tmp_path: Path,
) -> None:
    _, path, command = specification_of("replay", tmp_path)

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    ended = subprocess.run(
        command, preexec_fn=small_files_only, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "cannot write" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert not path.exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_processes_on_one_folder_do_each_run_once(tmp_path: Path) -> None:
    command = [*COMMAND, "--strategy", "replay", "--strategy", "finetune", "--seeds", "0-2"]
    command += ["--results", str(tmp_path), "-Ssamples=60", "--json"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [json.loads(process.communicate()[0]) for process in started]
    assert [process.returncode for process in started] == [0, 0]
    statuses = [[cell["status"] for cell in cells] for cells in printed]
    assert all({a, b} == {"ok", "found"} for a, b in zip(*statuses, strict=True))
    assert len(list(results.files(tmp_path))) == 6


def test_a_run_that_another_process_does_is_left_for_last(tmp_path: Path) -> None:
    specification, path, _ = specification_of("finetune", tmp_path)
    job = Job(specification, path, tmp_path, Execution())
    lock = results.work_path(tmp_path, path, ".lock")
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert perform(job).status == "claimed"
    assert perform(job).status == "ok"
    assert perform(job).status == "found"
    again = Job(specification, path, tmp_path, Execution(), stale_before=time.time() + 1)
    assert perform(again).status == "ok"


DROPOUT = """
from clbench import GradientStrategy
from torch.nn.functional import cross_entropy, dropout

class Dropped(GradientStrategy):
    def loss(self, network, batch):
        return cross_entropy(dropout(network(batch.x), 0.5), batch.y)
"""


def test_layers_that_draw_globally_are_seeded_and_resumed_too(tmp_path: Path) -> None:
    (tmp_path / "dropped.py").write_text(DROPOUT)
    name = f"{tmp_path / 'dropped.py'}:Dropped"
    specification, path, command = specification_of(name, tmp_path / "r")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    undisturbed = run_one(specification)
    assert torch.equal(torch.get_rng_state(), before)
    killed_at("learn:4", command)
    done = perform(Job(specification, path, tmp_path / "r", Execution()))
    assert done.record is not None
    assert done.record["provenance"]["resumed_at"]
    assert without_times(done.record) == without_times(undisturbed)
    other = run_one(specification | {"seed": 1})
    assert other["matrix"] != undisturbed["matrix"]


def test_force_does_not_go_on_from_an_old_checkpoint(tmp_path: Path) -> None:
    specification, path, command = specification_of("finetune", tmp_path)
    killed_at("learn:4", command)
    job = Job(specification, path, tmp_path, Execution(), stale_before=time.time())
    done = perform(job)
    assert done.record is not None
    assert "resumed_at" not in done.record["provenance"]


def test_a_plug_in_that_changed_since_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "dropped.py").write_text(DROPOUT)
    specification, _, _ = specification_of(f"{tmp_path / 'dropped.py'}:Dropped", tmp_path)
    edited = specification | {"strategy": specification["strategy"] | {"source": "0" * 16}}
    record = run_one(edited)
    assert record["status"] == "failed"
    assert "changed since the run was specified" in record["error"]["message"]
