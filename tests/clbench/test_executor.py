"""Worker processes: the same numbers as alone, a death that costs one run, and no survivors."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from clbench import executor, results
from clbench.cli import main
from clbench.executor import Workers
from clbench.importing import import_torch
from clbench.scoring import Row

KILLER = Path(__file__).with_name("killed.py")
COMMAND = [sys.executable, "-m", "clbench", "run", "--scenario", "class-incremental", "-q"]
ENDLESS = ["--strategy", "finetune", "-sepochs=100000", "--jobs", "2", "--seeds", "0-1"]


def run(*arguments: str, kill: str = "") -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and what ``--json`` prints of a grid of short runs."""
    ended = subprocess.run(
        [*COMMAND, "--json", "-Ssamples=40", *arguments],
        env=os.environ | {"CLBENCH_TEST_KILL": kill},
        stdout=subprocess.PIPE,
        check=False,
    )
    return ended.returncode, json.loads(ended.stdout)


def test_jobs_change_no_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = ["--strategy", "replay", "--strategy", "nearest", "--seeds", "0-1"]
    here = [*COMMAND[3:], "--json", "-Ssamples=40", *grid, "--results", str(tmp_path / "alone")]
    assert main(here) == 0
    alone = json.loads(capsys.readouterr().out)
    code, together = run(*grid, "--results", str(tmp_path / "jobs"), "--jobs", "2")
    assert code == 0
    assert [cell["metrics"] for cell in together] == [cell["metrics"] for cell in alone]
    assert len({cell["file"] for cell in together}) == 4


def test_a_killed_worker_costs_one_run_which_the_next_call_finishes(tmp_path: Path) -> None:
    grid = ["--strategy", "finetune", "--seeds", "0-3", "--results", str(tmp_path)]
    grid += ["--plugin", str(KILLER)]
    # in the second run of each worker, 5 experiences a run
    code, cells = run(*grid, "--jobs", "2", kill="learn:7")
    assert code == 1
    dead = [cell for cell in cells if cell["status"] == "failed"]
    assert {cell["reason"] for cell in dead} == {"the worker process died (SIGKILL)"}
    assert {cell["status"] for cell in cells} == {"ok", "failed"}
    stored = results.read(Path(dead[0]["file"]))
    assert stored is not None
    assert stored["status"] == "failed"
    code, cells = run(*grid)
    assert code == 0
    done = [cell for cell in cells if cell["status"] == "ok"]
    assert len(done) == len(dead)
    record = results.read(Path(done[0]["file"]))
    assert record is not None
    assert record["provenance"]["resumed_at"][0]["experience"] == 1


Start = Callable[[Path], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return what starts an endless sweep in a process group of its own; nothing of it outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(folder: Path) -> subprocess.Popen[bytes]:
        command = [*COMMAND, *ENDLESS, "--results", str(folder)]
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:  # waits, and closes the pipe
            pass


def wait_until_both_are_claimed(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Return when both runs of a sweep are somebody's."""
    deadline = time.monotonic() + 60
    while len(list(folder.rglob("*.lock"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def are_released(folder: Path) -> bool:
    """Return whether every run's lock is free within a few seconds: its process is gone."""
    try:
        for path in folder.rglob("*.lock"):
            with FileLock(path, timeout=10):
                pass
    except Timeout:
        return False
    return True


def is_empty(group: int) -> bool:
    """Return whether no process of a group is left within a few seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_workers_end_with_a_killed_parent_and_so_does_what_they_were_forked_from(
    start: Start, tmp_path: Path
) -> None:
    process = start(tmp_path)
    wait_until_both_are_claimed(process, tmp_path)
    process.kill()
    process.communicate()
    assert are_released(tmp_path)
    assert is_empty(process.pid)


@pytest.mark.parametrize("to_all", [True, False])
def test_an_interrupt_ends_parent_and_workers(to_all: bool, start: Start, tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_until_both_are_claimed(process, tmp_path)
    if to_all:  # as a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in printed
    assert are_released(tmp_path)
    assert is_empty(process.pid)
    assert not list(results.files(tmp_path))


def test_a_plug_in_that_fails_in_workers_alone_is_said_once_for_each_run(tmp_path: Path) -> None:
    plugin = tmp_path / "shy.py"
    plugin.write_text(
        "import multiprocessing\n"
        "if multiprocessing.parent_process() is not None:\n    raise RuntimeError('not here')\n"
    )
    grid = ["--strategy", "finetune", "--seeds", "0-1", "--jobs", "2", "--plugin", str(plugin)]
    code, cells = run(*grid, "--results", str(tmp_path / "r"))
    assert code == 1
    assert all("fails to import: RuntimeError: not here" in cell["reason"] for cell in cells)


def wait_for_workers(process: subprocess.Popen[bytes]) -> None:
    """Return when a sweep has started a process."""
    deadline = time.monotonic() + 60
    while subprocess.run(
        ["pgrep", "-P", str(process.pid)], stdout=subprocess.DEVNULL, check=False
    ).returncode:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_an_interrupt_while_workers_start_prints_no_traceback(
    seconds: float, start: Start, tmp_path: Path
) -> None:
    process = start(tmp_path)
    wait_for_workers(process)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in printed


def test_an_interrupt_while_what_forks_workers_is_started_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers are to ignore it. The parent did so, too, while they started, and Ctrl-C was lost."""
    monkeypatch.setattr(executor, "_GPUS", ())
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(forkserver, "ensure_running", lambda: os.kill(os.getpid(), signal.SIGINT))
    monkeypatch.setitem(executor._born, "by", "spawn")
    with pytest.raises(KeyboardInterrupt):
        executor.fork_workers()


@pytest.mark.parametrize(("by", "waits"), [("spawn", True), ("forkserver", False)])
def test_an_interrupt_while_a_worker_starts_is_not_lost(
    by: Any, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until a process is spawned, but not until one is forked, for which imports of seconds may be due."""
    context: Any = multiprocessing.get_context(by)
    reached = []

    def start(_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        reached.append(by)

    monkeypatch.setattr(context.Process, "start", start)
    with pytest.raises(KeyboardInterrupt):
        executor._Worker(context, import_torch, ())
    assert bool(reached) == waits


def test_a_worker_whose_start_is_interrupted_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("spawn")
    started: list[Any] = []
    begin = context.Process.start

    def start(self: Any) -> None:
        begin(self)
        started.append(self)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(context.Process, "start", start)
    with pytest.raises(KeyboardInterrupt):
        executor._Worker(context, import_torch, ())
    started[0].join(10)
    assert started[0].exitcode == -signal.SIGKILL


class Unwatched:
    """Shows nothing."""

    def started(self, number: int) -> None: ...
    def steps(self, number: int, count: int) -> None: ...
    def experience(self, number: int, learnt: int, of: int, row: Row) -> None: ...
    def trained(self, number: int, episodes: int, of: int, accuracy: float | None) -> None: ...


@pytest.mark.parametrize("by", ["spawn", "forkserver"])
def test_workers_have_the_environment_of_the_day(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What forks them has that of the day it was started."""
    monkeypatch.setitem(executor._born, "by", by)
    for value in ("one", "two"):
        monkeypatch.setenv("CLBENCH_TEST_DAY", value)
        # A job is to say a variable, in words that a worker can import.
        told = Workers(1, import_torch).run(os.getenv, {0: "CLBENCH_TEST_DAY"}, Unwatched())
        assert dict(told) == {0: value}


def test_where_nothing_can_be_forked_from_workers_are_spawned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its socket lies in TMPDIR, which may be longer than a socket's path can be."""

    def too_long() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(forkserver, "ensure_running", too_long)
    monkeypatch.setitem(executor._born, "by", "spawn")
    executor.fork_workers()
    assert executor._born["by"] == "spawn"


def test_where_a_gpu_is_workers_are_spawned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_GPUS", (str(tmp_path),))
    monkeypatch.setitem(executor._born, "by", "spawn")
    executor.fork_workers()
    assert executor._born["by"] == "spawn"
