"""The states in which meta-training ended, kept in a results folder: it is done once, and tested in many ways.

A state is found by the run's training specification (`clbench.meta_training`). The claim to it is an OS lock: who wants
the same training at the same time waits, and finds the state then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from clbench import results
from clbench.checkpoint import Checkpoint
from clbench.episode_stream import EpisodeStream
from clbench.errors import ResultsError
from clbench.meta_training import answering, training_specification
from clbench.specification import Specification, result_path, run_hash
from clbench.strategy import Strategy

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedState:
    """A claimed place for the trained state of one training specification."""

    file: Checkpoint
    training: Specification
    asked: dict[str, Any]
    """How the run that claims it is tested."""

    def load(self) -> dict[str, Any] | None:
        """Return what was kept, with ``asked`` reduced to where its run was tested otherwise; None if nothing is."""
        state = self.file.load(self.training)
        if state is None:
            return None
        otherwise = {k: v for k, v in state["asked"].items() if v != self.asked.get(k)}
        return state | {"asked": otherwise}

    def keep(self, specification: Specification, state: dict[str, Any]) -> None:
        """Keep a run's state, signed by the run; where that fails, say so and go on."""
        signature = {
            "run": result_path(Path(), specification).stem,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": state["device"],
            "threads": state["threads"],
        }
        try:
            self.file.save(self.training, state | {"by": signature, "asked": self.asked})
        except ResultsError as error:
            _log.warning("the trained state is not kept for other runs: %s", error)


@dataclass(frozen=True)
class TrainedStates:
    """All of a results folder: ``DIR/.trained/<hash of the training specification>-s<seed>.pt``."""

    folder: Path
    """The results folder."""
    stale_before: float | None = None
    """States written before this time (seconds since 1970) are deleted, not used; None uses all."""

    @contextmanager
    def claimed(
        self, specification: Specification, stream: EpisodeStream, strategy: Strategy
    ) -> Iterator[TrainedState]:
        """Yield the place of a run's trained state, once no other process is at the same training.

        Raises:
            ResultsError: The folder cannot be written to.
        """
        training = training_specification(specification, stream, strategy)
        path = self.folder / results.TRAINED / f"{run_hash(training)}-s{training['seed']}.pt"
        with FileLock(results.lock_path(self.folder, path)):
            file = Checkpoint(path, self.folder / results.WORK)
            if self.stale_before is not None and file.older_than(self.stale_before):
                file.remove()
            yield TrainedState(file, training, answering(stream, strategy))
