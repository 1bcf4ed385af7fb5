"""The runs below some folders: read as data, checked, each counted once.

Nothing in a file is executed, and every string from it is made printable, so that no name can steer a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clbench import anytime, results
from clbench.compare.shape import Shape
from clbench.dialects import BTI, DIALECTS
from clbench.errors import ResultsError
from clbench.metrics import METRICS, Metric
from clbench.seeds import Seeds
from clbench.specification import canonical

CATALOGUE: dict[str, Metric[Any]] = {
    **METRICS,
    **anytime.METRICS,
    **{metric.name: metric for metric in (*DIALECTS.values(), BTI)},
}
"""Every metric that is a function of the matrix, by name."""


@dataclass(frozen=True)
class Run:
    """One run as its file tells it."""

    path: Path
    record: dict[str, Any]
    seeds: Seeds

    @property
    def specification(self) -> dict[str, Any]:
        """What was run."""
        found: dict[str, Any] = self.record["specification"]
        return found

    @cached_property
    def essence(self) -> dict[str, Any]:
        """What was run, without seeds and without what changes no number: see `essence`."""
        return essence(self.specification)

    @property
    def finished(self) -> bool:
        """Whether it has a result."""
        return bool(self.record["status"] == "ok")

    @property
    def reason(self) -> str:
        """Why it failed or was skipped."""
        told = (self.record.get("error") or {}).get("message") or self.record.get("reason")
        return " ".join(str(told or "no reason given").split())

    def metric(self, name: str) -> float | None:
        """Return a metric: as stored, else of the stored matrix; None if it is not defined."""
        stored = self.record.get("metrics") or {}
        if name in stored or name not in CATALOGUE:
            return number(stored.get(name))
        if name in anytime.METRICS:  # always stored by a run that was asked for them
            return None
        try:
            return CATALOGUE[name].compute(self.record.get("matrix") or [])
        except ValueError:  # no (T+1) × T matrix
            return None

    def cost(self, name: str) -> float | None:
        """Return an entry of the budget; ``seconds`` is training and evaluation together."""
        budget = self.record.get("budget") or {}
        if name != "seconds":
            return number(budget.get(name))
        parts = [number(budget.get(key)) for key in ("train_seconds", "eval_seconds")]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == 2 else None

    @property
    def started(self) -> str:
        """When it began, as ISO 8601 in UTC; empty if the file does not say."""
        return str((self.record.get("provenance") or {}).get("started") or "")


@dataclass(frozen=True)
class Collection:
    """What was found below some folders."""

    runs: tuple[Run, ...]
    ignored: tuple[str, ...]
    """A sentence for each JSON file that is not a result."""
    repeated: int
    """Runs found more than once; the newest that finished is kept."""
    contradicting: int
    """Those of them whose files differ in their matrix."""


def number(value: Any) -> float | None:
    """Return the value if it is a number."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def collect(folders: Sequence[Path]) -> Collection:
    """Return the runs below the folders.

    Raises:
        ResultsError: A folder does not exist, or there is no result in any.
    """
    runs, ignored = [], []
    for path in sorted({path.resolve() for folder in folders for path in _files(folder)}):
        try:
            runs.append(read_run(path))
        except ValueError as error:
            ignored.append(f"{printable(str(path))}: {error}")
    if not runs:
        listed = ", ".join(str(folder) for folder in folders)
        seen = f" (left out: {'; '.join(ignored)})" if ignored else ""
        raise ResultsError(f"no results below {listed}{seen}; `clbench run` makes some")
    return counted_once(runs, ignored)


def counted_once(runs: Iterable[Run], ignored: Sequence[str] = ()) -> Collection:
    """Return the runs as a collection: of several files about one run the newest that finished."""
    found: dict[tuple[str, Seeds], list[Run]] = {}
    for run in runs:
        found.setdefault((canonical(run.essence), run.seeds), []).append(run)
    several = [same for same in found.values() if len(same) > 1]
    contradicting = sum(
        len({canonical(run.record.get("matrix")) for run in same}) > 1 for same in several
    )
    kept = tuple(max(same, key=lambda run: (run.finished, run.started)) for same in found.values())
    return Collection(kept, tuple(ignored), len(several), contradicting)


def _files(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        raise ResultsError(f"results folder {folder} does not exist")
    return results.files(folder)


RESOLVED = ("head", "train_mask", "test_mask")
"""Options that the protocol tells as they were resolved."""


def essence(specification: dict[str, Any]) -> dict[str, Any]:
    """Return what was run without its seeds, the same for two specifications that mean the same.

    The dataset counts by its content; what is none is as good as absent; the batch size is that of an online stream.
    """
    scenario, strategy = specification["scenario"], specification["strategy"]
    ignored = RESOLVED if scenario["options"].get("online") else (*RESOLVED, "batch_size")
    options = {k: v for k, v in scenario["options"].items() if k not in ignored}
    protocol = {k: v for k, v in specification["protocol"].items() if k != "named_seeds"}
    return {
        "dataset": specification["dataset"]["hash"],
        "scenario": {**_set(scenario), "options": _set(options)},
        "strategy": {**_set(strategy), "hyper_parameters": _set(strategy["hyper_parameters"])},
        "protocol": _set(protocol),
    }


def _set(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def read_run(path: Path) -> Run:
    """Return the run in a file.

    Raises:
        ValueError: The file is damaged, or not a result of this version.
    """
    try:
        text = path.read_text("utf-8")
        record = json.loads(text, parse_int=_bounded(int), parse_float=_bounded(float))
        Shape.model_validate(record)
        clean = _each_string(results.finite(record), printable)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"damaged, not JSON ({printable(str(error))})") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ValueError(f"not a result: {printable(place)}: {first['msg'].lower()}") from None
    specification = clean["specification"]
    seeds = Seeds.of(specification["seed"], **specification["protocol"]["named_seeds"])
    return Run(path, clean, seeds)


_LARGEST = 1e100
"""Of a number in a file: statistics can square it and add it up."""


def _bounded(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(digits: str) -> float:
        if abs(float(digits)) > _LARGEST:
            raise ValueError(f"damaged, a number beyond {_LARGEST:g}")
        return kind(digits)

    return parse


def printable(text: str) -> str:
    r"""Return the text with every control character as its escape, ESC as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _each_string(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _each_string(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_string(item, change) for item in value]
    return value
