"""Checkpoints: what a killed run needs to go on where it was, as tensors and plain values, never as pickled objects."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clbench.blame import defined_at
from clbench.errors import ClbenchError, ResultsError
from clbench.results import written_whole
from clbench.specification import Specification, canonical


@contextmanager
def storing(method: Callable[[], Any]) -> Iterator[None]:
    """Let what cannot be stored of a strategy's state be said in words of the strategy.

    Raises:
        ClbenchError: ``method``, its `state_dict`, returned something else than tensors and plain values.
    """
    try:
        yield
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ClbenchError(
            f"{method.__name__} must return tensors and plain values: {error}{defined_at(method)}"
        ) from error


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint file of one run."""

    path: Path
    """Below ``DIR/.work``; named after the result file."""
    scratch: Path | None = None
    """Where it is written before it takes its place; None is the folder it lies in."""

    def save(self, specification: Specification, state: dict[str, Any]) -> None:
        """Write the state, whole or not at all.

        Args:
            specification: Of the run; a checkpoint of another is not loaded.
            state: Nested dicts and lists of tensors and plain values.

        Raises:
            ResultsError: The file could not be written.
        """
        document = {"made_for": _identity(specification), "state": state}
        try:
            with written_whole(self.path, self.scratch or self.path.parent) as temporary:
                torch.save(document, temporary)
        except RuntimeError as error:  # torch's writer, where the disk is full
            raise ResultsError(f"cannot write {self.path}: {error}") from error

    def load(self, specification: Specification) -> dict[str, Any] | None:
        """Return the state; None if there is none, it is damaged, or it belongs to another run or torch version."""
        try:
            document = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # whatever torch trips over in a damaged file
            return None
        if not isinstance(document, dict) or document.get("made_for") != _identity(specification):
            return None
        state = document.get("state")
        return state if isinstance(state, dict) else None

    def older_than(self, time: float) -> bool:
        """Return whether it is there and was written before a time (seconds since 1970)."""
        try:
            return self.path.stat().st_mtime < time
        except OSError:
            return False

    def remove(self) -> None:
        """Delete the file if it is there."""
        self.path.unlink(missing_ok=True)


def _identity(specification: Specification) -> list[str]:
    """Return what must agree for a checkpoint to give the bits of an undisturbed run."""
    return [canonical(specification), str(torch.__version__)]
