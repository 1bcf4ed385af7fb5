"""Choosing hyper-parameters on validation data: what to try, how it went, what to take.

The protocol: choices are made on held-out training data with seeds from 100 on, the same small number of trials for
every strategy of a table, and everything tried is recorded. Test data cannot be chosen on: see `check_honest`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

from clbench.errors import UsageError
from clbench.grid import Cell
from clbench.statistics import mean_interval
from clbench.words import counted, ranges

FIRST_SEED = 100
"""Seeds below are for the final runs on test data."""

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """One setting that was tried, with its runs."""

    settings: Settings
    cells: Sequence[Cell]

    def scores(self, metric: str) -> list[float]:
        """Return the metric of every run that has it."""
        records = [cell.record for cell in self.cells if cell.record is not None]
        values = [record["metrics"].get(metric) for record in records]
        return [value for value in values if value is not None]

    def score(self, metric: str) -> float | None:
        """Return the mean over the seeds; None if a run failed or has no such metric."""
        scores = self.scores(metric)
        return sum(scores) / len(scores) if scores and len(scores) == len(self.cells) else None

    def words(self, metric: str) -> str:
        """Return how it went: mean and half a 95 % interval in %, or what went wrong."""
        score = self.score(metric)
        if score is None:
            reasons = {cell.reason for cell in self.cells if cell.reason}
            return "; ".join(sorted(reasons)) or f"{metric} is not defined"
        _, half = mean_interval(self.scores(metric))
        return f"{100 * score:.2f}" + (f" ± {100 * half:.2f}" if half is not None else "")


class Search(Protocol):
    """Suggests settings, batch by batch, and may learn from how they went."""

    def __len__(self) -> int:
        """Return the number of trials."""

    def suggest(self) -> list[Settings]:
        """Return what to try next; nothing when that was all."""

    def tell(self, scores: Sequence[float | None]) -> None:
        """Say how the last suggestions went; None for one that failed."""


class GridSearch:
    """Every combination of the values given.

    Raises:
        UsageError: A value is there twice.
    """

    def __init__(self, values: Mapping[str, Sequence[Any]]) -> None:
        for key, listed in values.items():
            if any(value in listed[:i] for i, value in enumerate(listed)):
                raise UsageError(f"--vary {key} names a value twice: {list(listed)}")
        self._all: list[Settings] = [
            dict(zip(values, combination, strict=True)) for combination in product(*values.values())
        ]
        self._suggested = False

    def __len__(self) -> int:
        return len(self._all)

    def suggest(self) -> list[Settings]:
        """Return all of them, once."""
        batch = [] if self._suggested else self._all
        self._suggested = True
        return batch

    def tell(self, scores: Sequence[float | None]) -> None:
        """Learn nothing."""


class OptunaSearch:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), seeded.

    Args:
        values: Choices.
        ranges: Lowest and highest value; both integers for an integer. Searched on a logarithmic scale where the
            highest is 100 times the lowest or more.
        trials: How many.
        maximise: Whether more is better.

    Raises:
        UsageError: Optuna is not installed.
    """

    def __init__(
        self,
        values: Mapping[str, Sequence[Any]],
        ranges: Mapping[str, tuple[float, float]],
        trials: int,
        maximise: bool,
    ) -> None:
        try:
            import optuna
        except ImportError:
            raise UsageError("--search optuna needs Optuna: pip install 'clbench[tune]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._values, self._ranges = values, ranges
        self._count = self._left = trials
        self._study = optuna.create_study(
            direction="maximize" if maximise else "minimize",
            sampler=optuna.samplers.TPESampler(seed=FIRST_SEED),
        )

    def __len__(self) -> int:
        return self._count

    def suggest(self) -> list[Settings]:
        """Return the sampler's next suggestion."""
        if not self._left:
            return []
        self._left -= 1
        self._trial = self._study.ask()
        chosen = {k: self._trial.suggest_categorical(k, list(v)) for k, v in self._values.items()}
        return [chosen | {key: self._within(key, *ends) for key, ends in self._ranges.items()}]

    def _within(self, key: str, low: float, high: float) -> float:
        log = low > 0 and high >= 100 * low
        if isinstance(low, int) and isinstance(high, int):
            return self._trial.suggest_int(key, low, high, log=log)
        return self._trial.suggest_float(key, low, high, log=log)

    def tell(self, scores: Sequence[float | None]) -> None:
        """Let the sampler learn; a failed trial counts as failed."""
        from optuna.trial import TrialState

        (score,) = scores
        state = TrialState.FAIL if score is None else TrialState.COMPLETE
        self._study.tell(self._trial, score, state)


def check_honest(cells: Sequence[Cell]) -> None:
    """Refuse runs that would look at test data.

    Raises:
        UsageError: Says what to set.
    """
    if any(c.specification["protocol"]["evaluated_on"] != "validation" for c in cells):
        raise UsageError(
            "hyper-parameters are chosen on held-out training data: validation must be above 0"
        )


def check_size(seeds: Sequence[int], trials: int, most: int) -> None:
    """Refuse the final seeds, and more trials than allowed.

    Raises:
        UsageError: Says which.
    """
    if min(seeds) < FIRST_SEED:
        raise UsageError(
            f"seeds below {FIRST_SEED} are for the final runs on test data;"
            f" choose with seeds from {FIRST_SEED} on, not {min(seeds)}"
        )
    if trials > most:
        raise UsageError(
            f"{trials} trials are more than {most}; name fewer values, or allow more with"
            " --max-trials and give every strategy of your table as many"
        )


def best(trials: Sequence[Trial], metric: str, maximise: bool) -> Trial | None:
    """Return the trial with the best mean, the first of equals; None if all failed."""
    scored = [(trial.score(metric), trial) for trial in trials]
    known = [(score, trial) for score, trial in scored if score is not None]
    sign = 1 if maximise else -1
    return max(known, key=lambda item: sign * item[0])[1] if known else None


def as_configuration(
    chosen: Trial,
    trials: Sequence[Trial],
    metric: str,
    fixed: Settings,
    plugins: Sequence[str] = (),
) -> str:
    """Return the choice as a configuration for ``clbench run --config``, everything tried in its comments.

    Args:
        chosen: From `best`.
        trials: All of them.
        metric: What was compared.
        fixed: Hyper-parameters that all trials had in common.
        plugins: Loaded before.
    """
    spec = chosen.cells[0].specification
    names = {key: spec[key]["name"] for key in ("dataset", "scenario", "strategy")}
    seeds = sorted({cell.specification["seed"] for cell in chosen.cells})
    options = {k: v for k, v in spec["scenario"]["options"].items() if v is not None}
    share = options.pop("validation")
    lines = [
        f"# Chosen from {counted(len(trials), 'trial')} by {metric} on held-out training data"
        f" (validation={share}, seeds {ranges(seeds)}), in %:"
    ]
    lines += [
        f"# {'*' if t is chosen else ' '} {said(t.settings)}: {t.words(metric)}" for t in trials
    ]
    lines += [f"{key} = {json.dumps(name, ensure_ascii=False)}" for key, name in names.items()]
    lines += [f"plugin = {json.dumps(list(plugins))}"] if plugins else []
    lines += ['seeds = "0-9"', "", "[options]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    lines += ["", "[hyper_parameters]"]
    lines += [f"{k} = {json.dumps(v)}" for k, v in ({**fixed, **chosen.settings}).items()]
    return "\n".join(lines) + "\n"


def said(settings: Settings) -> str:
    """Return settings in words."""
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
