"""`run_one`: from a specification to a record; the one way a run happens, wherever it is called from."""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from clbench import anytime, metrics
from clbench.blame import raised
from clbench.budget import budget, start_counting
from clbench.captured import capture_steps
from clbench.checkpoint import Checkpoint, storing
from clbench.compiled import compile_network, uncompiled_because
from clbench.episode_evaluator import meta_train, run_episodes
from clbench.episode_stream import EpisodeStream
from clbench.errors import NonFiniteLossError, ResultsError, UsageError
from clbench.evaluator import Anytime, Course, Outcome, Progress, course, learn_each
from clbench.problem_evaluator import run_problems
from clbench.problem_stream import ProblemStream
from clbench.provenance import provenance
from clbench.results import Record
from clbench.seeds import global_state, global_state_of_a_run, set_global_state
from clbench.specification import Specification
from clbench.specify import prepare
from clbench.strategy import Effort, Strategy
from clbench.stream import Stream
from clbench.trained_states import TrainedStates

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Execution:
    """Where a run happens; changes no number beyond floating-point order."""

    device: str = "cpu"
    data_dir: Path | None = None
    threads: int = 1
    """CPU threads. One is as fast for small networks, and the same bits alone or beside other runs."""
    capture: bool = False
    """Training steps as CUDA graphs, where the strategy can (`clbench.graphs`)."""
    compiled: bool = False
    """Methods of the network compiled by torch, where the strategy names some (`clbench.compiled`)."""

    def how(self, strategy: Strategy | None, together: int) -> str:
        """Return in words how a run was executed: what else may change its last bits."""
        words = ["alone" if together == 1 else f"one of {together} together"]
        if self.compiled and strategy is not None and uncompiled_because(type(strategy)) is None:
            words.append("compiled")
        return ", ".join(words)


def choose_device(name: str) -> str:
    """Return the device ``name`` stands for; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: There is no such device on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise UsageError(
            f"device {name!r} cannot be used here ({reason}); try auto or cpu"
        ) from None
    return name


def run_one(
    specification: Specification,
    execution: Execution | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    trained: TrainedStates | None = None,
) -> Record:
    """Run a specification and return its record; a failure is a record too.

    Args:
        specification: From `specify`.
        execution: Device, threads and data directory; a checkpoint's device and threads go before.
        progress: Told of every step and row.
        checkpoint: Where to go on from, and what to write after each experience; None does neither.
        trained: Trained states to take over and to add to; None always meta-trains and keeps nothing.

    Raises:
        KeyboardInterrupt: The user interrupted; there is no record.
    """
    run = Run(specification, execution or Execution(), checkpoint, trained)
    threads_before = torch.get_num_threads()
    try:
        run.resume()
        torch.set_num_threads(run.execution.threads)
        with global_state_of_a_run(specification["seed"]):
            return run.record(progress)
    finally:
        torch.set_num_threads(threads_before)


def failed_record(specification: Specification, execution: Execution, error: Exception) -> Record:
    """Return the record of a run of which nothing but its end is known."""
    now = datetime.now(UTC)
    return {
        "status": "failed",
        "specification": specification,
        "error": _describe(error, 0),
        "matrix": [],
        "metrics": dict.fromkeys(metrics.METRICS),
        "budget": budget(None, Outcome(), "cpu"),
        "provenance": provenance(execution.device, execution.threads, now, 0.0),
    }


@dataclass
class Run:
    """A run on its way: what a checkpoint holds, and how it becomes a record."""

    specification: Specification
    execution: Execution
    checkpoint: Checkpoint | None
    trained: TrainedStates | None
    outcome: Outcome = field(default_factory=Outcome)
    seconds_before: float = 0.0
    resumed_at: list[dict[str, Any]] = field(default_factory=list)
    strategy_state: dict[str, Any] | None = None
    """Of the checkpoint, until the strategy is restored from it."""
    meta_trained_by: dict[str, Any] | None = None
    """Which other run's trained state is tested, and when that was trained."""
    _strategy: Strategy | None = None
    curve_settings: dict[str, Any] = field(default_factory=dict)
    """How that run was tested, as its learning curve was, where this one is tested otherwise."""

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one and its device is here."""
        saved = self.checkpoint.load(self.specification) if self.checkpoint else None
        if saved is None or not _is_here(saved["device"]):
            return
        self.execution = replace(self.execution, device=saved["device"], threads=saved["threads"])
        self.outcome = Outcome(**saved["outcome"])
        self.seconds_before = saved["seconds"]
        self.strategy_state = saved["strategy"]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        place = {"experience": len(self.outcome.matrix) - 1, "time": now}
        if self.outcome.training is not None:
            place["episodes"] = self.outcome.training["drawn"]
        self.resumed_at = [*saved["resumed_at"], place]

    def record(self, progress: Progress | None) -> Record:
        """Run to the end, whichever it is."""
        try:
            stream, strategy = self.begin()
            self._run(stream, strategy, progress)
        except (Exception, SystemExit) as error:  # it may fail in any way; the other runs go on
            return self.ended(error)
        return self.ended()

    def begin(self) -> tuple[Stream | EpisodeStream, Strategy]:
        """Start the clock; return stream and strategy, as they were if the run is resumed."""
        self._started, self._begun = datetime.now(UTC), time.perf_counter()
        start_counting(self.execution.device)
        execution = self.execution
        stream, strategy = prepare(self.specification, execution.device, execution.data_dir)
        if self.strategy_state is not None:
            _restore(strategy, self.strategy_state)
            self.strategy_state = None
        if execution.capture:
            capture_steps(strategy)
        if execution.compiled:
            compile_network(strategy)
        self._strategy = strategy
        return stream, strategy

    def course(self, stream: Stream, strategy: Strategy, progress: Progress | None) -> Course:
        """Yield the experiences of a stream for the strategy to learn."""
        during = self.specification["protocol"].get("anytime")
        anytime = Anytime(**during) if during else None
        return course(
            stream, strategy, self.outcome, progress, lambda: self._save(strategy), anytime
        )

    def ended(self, error: BaseException | None = None, together: int = 1) -> Record:
        """Return the record, of a run that failed if there is an error; it may have run in step with others."""
        record: Record = {"status": "ok", "specification": self.specification}
        spent, error = self._spent(error)
        if error is not None:
            record["status"] = "failed"
            record["error"] = _describe(error, len(self.outcome.matrix))
        record |= self._measured(error is None)
        record["budget"] = spent
        record["provenance"] = provenance(
            self.execution.device,
            self.execution.threads,
            self._started,
            self._seconds(),
            self.execution.how(self._strategy, together),
        )
        if self.resumed_at:
            record["provenance"]["resumed_at"] = self.resumed_at
        if self.meta_trained_by:
            record["provenance"]["meta_trained_by"] = self.meta_trained_by
        return record

    def _spent(self, error: BaseException | None) -> tuple[dict[str, Any], BaseException | None]:
        """Return what it cost and how it ended: a strategy that cannot say what it cost has failed."""
        device = self.execution.device
        try:
            return budget(self._strategy, self.outcome, device), error
        except (Exception, SystemExit) as caught:  # a plug-in's methods may fail in any way
            return budget(None, self.outcome, device), error or caught

    def _run(
        self, stream: Stream | EpisodeStream, strategy: Strategy, progress: Progress | None
    ) -> None:
        def save() -> None:
            self._save(strategy)

        if isinstance(stream, EpisodeStream):
            first = not self.outcome.matrix[1:]  # of several problems
            if self.trained is not None and strategy.meta_trained and first:
                self._meta_train_once(self.trained, stream, strategy, progress)
            if isinstance(stream, ProblemStream):
                run_problems(stream, strategy, self.outcome, progress, save)
            else:
                run_episodes(stream, strategy, self.outcome, progress, save)
            return
        learn_each(strategy, self.course(stream, strategy, progress), stream.info.device)

    def _meta_train_once(
        self,
        states: TrainedStates,
        stream: EpisodeStream,
        strategy: Strategy,
        progress: Progress | None,
    ) -> None:
        """Take over the state of a run that was trained alike; where there is none, meta-train and keep it."""
        with states.claimed(self.specification, stream, strategy) as claim:
            found = None if self.outcome.meta_trained else claim.load()
            if found is not None:
                self.outcome = Outcome(**found["outcome"])
                _restore(strategy, found["strategy"])
                self.meta_trained_by, self.curve_settings = found["by"], found["asked"]
                return
            meta_train(stream, strategy, self.outcome, progress, lambda: self._save(strategy))
            state = self._state(strategy)
            with storing(strategy.state_dict):
                claim.keep(self.specification, state)

    def _save(self, strategy: Strategy) -> None:
        """Write a checkpoint; where that fails the run goes on without, and says so once."""
        nothing_yet = not self.outcome.matrix[1:] and self.outcome.training is None
        if self.checkpoint is None or nothing_yet or not strategy.resumable:
            return
        state = self._state(strategy)
        try:
            with storing(strategy.state_dict):
                self.checkpoint.save(self.specification, state)
        except ResultsError as error:
            _log.warning("no checkpoints from here on: %s", error)
            self.checkpoint = None

    def _state(self, strategy: Strategy) -> dict[str, Any]:
        return {
            "strategy": {
                "state": strategy.state_dict(),
                "effort": asdict(strategy.effort),
                "global": global_state(),
            },
            "outcome": asdict(self.outcome),
            "seconds": self._seconds(),
            "device": self.execution.device,
            "threads": self.execution.threads,
            "resumed_at": self.resumed_at,
        }

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self._begun

    def _measured(self, finished: bool) -> Record:
        matrix, trace = self.outcome.matrix, self.outcome.trace
        asked = anytime.METRICS if trace or "anytime" in self.specification["protocol"] else {}
        values: dict[str, float | None] = dict.fromkeys([*metrics.METRICS, *asked])
        if finished:
            values = metrics.compute_all(matrix)
            values |= {name: metric.compute(trace) for name, metric in asked.items()}
            values |= self.outcome.spread
        measured: Record = {"matrix": matrix, "metrics": values}
        if self.outcome.by_presentation:
            measured["by_presentation"] = self.outcome.by_presentation
        if self.outcome.curve:
            measured["learning_curve"] = self.outcome.curve
            if self.curve_settings:
                measured["learning_curve_settings"] = self.curve_settings
        return measured | ({"anytime": trace} if asked else {})


def _restore(strategy: Strategy, saved: dict[str, Any]) -> None:
    strategy.load_state_dict(saved["state"])
    strategy.effort = Effort(**saved["effort"])
    set_global_state(saved["global"])


def _is_here(device: str) -> bool:
    try:
        choose_device(device)
    except UsageError:
        return False
    return True


def _describe(error: BaseException, rows: int) -> dict[str, Any]:
    place = {"experience": max(rows - 1, 0), "step": None}
    if isinstance(error, NonFiniteLossError):
        place = {"experience": error.experience, "step": error.step}
    return {
        "type": type(error).__name__,
        "message": str(error) if isinstance(error, NonFiniteLossError) else raised(error),
        **place,
        "traceback": "".join(traceback.format_exception(error)),
    }
