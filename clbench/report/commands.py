"""The command line that runs a specification again, from the specification alone."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clbench.assignments import parse_value
from clbench.compare.collection import Run
from clbench.words import ranges

_NAMED_SEEDS = ("order", "init", "train", "memory")


def command(runs: Sequence[Run]) -> str:
    """Return the shell command for runs that differ in their seeds only.

    Every option and hyper-parameter is said, so that a later default changes nothing.
    """
    return " ".join(shlex.quote(word) for word in ["clbench", "run", *_words(runs)])


def _words(runs: Sequence[Run]) -> Iterator[str]:
    specification = runs[0].specification
    for key in ("dataset", "scenario", "strategy"):
        yield from (f"--{key}", specification[key]["name"])
    yield from ("--seeds", ranges({run.specification["seed"] for run in runs}, dash="-"))
    for name in _NAMED_SEEDS:
        own = [run.specification["protocol"]["named_seeds"].get(name) for run in runs]
        if known := {seed for seed in own if seed is not None}:
            yield from (f"--{name}-seeds", ranges(known, dash="-"))
    anytime = specification["protocol"].get("anytime") or {}
    for key in ("every", "samples"):
        if anytime.get(key) is not None:
            yield from (f"--eval-{key}", str(anytime[key]))
    if specification["protocol"]["precision"] != "float32":
        yield from ("--precision", specification["protocol"]["precision"])
    yield from _settings("-S", specification["scenario"]["options"])
    yield from _settings("-s", specification["strategy"]["hyper_parameters"])


def _settings(option: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values that are set, as TOML; a string without quotes where it is read back as it stands."""
    for key, value in values.items():
        if value is not None:
            plain = isinstance(value, str) and parse_value(value.strip()) == value
            told = value if plain else json.dumps(value, ensure_ascii=False)
            yield from (option, f"{key}={told}")
