"""Which runs may stand in one table, and how its rows and columns are called.

A table holds runs that agree in everything but the strategy: dataset (by its hash), the options of the stream, what it
is evaluated on, transductive or not, memory, passes. Scenarios stand side by side as columns; one that was run under
several protocols, say with two heads, gets a table for each. ``docs/comparing.md`` has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from clbench.compare.collection import Run
from clbench.episode_plan import TRAINING
from clbench.scenario import DisjointOptions
from clbench.specification import EVALUATION_VERSION, canonical
from clbench.words import differing, in_words, memory, passes

REFERENCE = "joint"
"""The upper reference: it may keep all data and go over them again, and stands in every table of its stream."""

Facets = dict[str, str]
"""What a table's runs have in common, in words; what is usual goes without saying."""


@dataclass(frozen=True)
class Row:
    """A strategy, or one variant of it."""

    label: str
    strategy: str
    runs: Mapping[str, tuple[Run, ...]]
    """By scenario."""


@dataclass(frozen=True)
class Group:
    """Runs that may share a table."""

    facets: Facets
    scenarios: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """What the runs have in common, in one line."""
        return ", ".join(words for words in self.facets.values() if words)


@dataclass(frozen=True)
class _Learner:
    """The runs of one strategy with one set of hyper-parameters."""

    runs: tuple[Run, ...]
    memory: str
    """Size and policy; empty for one without a memory, which stands in every table."""
    passes: str
    """One or several; empty for one that does not count in epochs, which stands in every table."""


def groups(runs: Iterable[Run]) -> list[Group]:
    """Return the runs as groups of comparable ones, sorted by title."""
    runs = sorted(runs, key=lambda run: (run.specification["dataset"]["name"], run.path))
    names = _dataset_names(runs)
    found = []
    for (content, facets), members in _by(runs, _stream_key).items():
        for extra, part in _protocols(members):
            learners = [_learner(same) for same in _by(part, _strategy_key).values()]
            for shared, chosen in _tables(learners):
                whole = {"dataset": names[content], **dict(facets), **extra, **shared}
                found.append(_group(whole, chosen))
    return sorted(found, key=lambda group: group.title)


def _dataset_names(runs: Iterable[Run]) -> dict[str, str]:
    """Return a name for each dataset hash, with the hash where one name stands for several contents."""
    names: dict[str, str] = {}
    for run in runs:
        dataset = run.specification["dataset"]
        names.setdefault(dataset["hash"], dataset["name"])
    several = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {
        content: f"{name} ({content})" if name in several else name
        for content, name in names.items()
    }


def _by(runs: Iterable[Run], key: Any) -> dict[Any, list[Run]]:
    parts: dict[Any, list[Run]] = {}
    for run in runs:
        parts.setdefault(key(run), []).append(run)
    return parts


def _stream_key(run: Run) -> tuple[str, tuple[tuple[str, str], ...]]:
    facets = {**_measured(run.essence["protocol"]), **_stream(run.essence["scenario"]["options"])}
    return run.essence["dataset"], tuple((name, words) for name, words in facets.items() if words)


_MEASURED = ("evaluation", "precision", "evaluated_on", "transductive")


def _measured(protocol: Mapping[str, Any]) -> Facets:
    """Return how a run was measured."""
    version, precision, place, transductive = (protocol[name] for name in _MEASURED)
    return {
        "evaluation": "" if version == EVALUATION_VERSION else f"evaluation version {version}",
        "precision": "" if precision == "float32" else str(precision),
        "evaluated on": "" if place == "test" else f"{place} data",
        "transductive": "transductive" if transductive else "",
    }


_SHARED = {name: field.default for name, field in DisjointOptions.model_fields.items()}
"""Options that streams have in common, and their defaults."""


def _stream(options: Mapping[str, Any]) -> Facets:
    """Return the options that streams have in common; scenarios that agree in them stand side by side."""
    told = {name: value for name, value in options.items() if name in _SHARED}
    facets = {}
    if "experiences" in told or "shots" not in options:
        facets["experiences"] = f"{told.pop('experiences', '?')} experiences"
    if told.pop("online", False):
        facets["online"] = f"online, batches of {told.pop('batch_size')}"
    facets |= {
        name: f"{name}={in_words(value)}" for name, value in told.items() if value != _SHARED[name]
    }
    return facets


def _protocols(runs: list[Run]) -> list[tuple[Facets, list[Run]]]:
    """Return the runs in parts in which each scenario has one protocol, and what sets a part apart."""
    together: list[Run] = []
    parts: list[tuple[Facets, list[Run]]] = []
    for scenario, members in _by(runs, lambda r: r.specification["scenario"]["name"]).items():
        variants = _by(members, lambda run: canonical(_own(run)))
        if len(variants) == 1:
            together += members
            continue
        settings = [_own(same[0]) for same in variants.values()]
        for same, words in zip(variants.values(), differing(settings), strict=True):
            parts.append(({"scenario": f"{scenario} {words}"}, same))
    return [*([({}, together)] if together else []), *parts]


def _own(run: Run) -> dict[str, Any]:
    """Return what the scenario alone has: its version, its options, heads and masks as resolved from them."""
    scenario, protocol = run.essence["scenario"], run.essence["protocol"]
    parts = {**scenario, **scenario["options"], **protocol}
    left_out = ("name", "options", *_SHARED, *_MEASURED, *TRAINING)
    return {k: v for k, v in parts.items() if k not in left_out}


def _training(run: Run) -> dict[str, Any]:
    """Return the options that are of a meta-learner's training: they tell rows apart, not tables."""
    options = run.essence["scenario"]["options"]
    return {f"training.{k}": options[k] for k in TRAINING} if options.get("episodes") else {}


def _strategy_key(run: Run) -> str:
    return canonical([run.essence["strategy"], _training(run)])


def _learner(runs: list[Run]) -> _Learner:
    specification = runs[0].specification
    options = specification["scenario"]["options"]
    if specification["strategy"]["name"] == REFERENCE:
        return _Learner(tuple(runs), "", "")
    size = 0 if "shots" in options else exemplars(runs)  # episodes leave nothing to the next
    kept = f"memory {memory(specification, size)}" if size else ""
    count = passes(specification)
    told = "" if count is None else "one pass" if count == 1 else "several passes"
    return _Learner(tuple(runs), kept, told)


def exemplars(runs: Sequence[Run]) -> int:
    """Return the size of a variant's memory; one that names none is held to what it kept."""
    size = runs[0].specification["strategy"]["hyper_parameters"].get("memory_size")
    if isinstance(size, int):
        return size
    return max(int(run.cost("memory_examples") or 0) for run in runs)


def _tables(learners: list[_Learner]) -> list[tuple[Facets, list[_Learner]]]:
    """Return the learners of each memory and number of passes, those that have none in every table."""
    memories = sorted({learner.memory for learner in learners} - {""}) or [""]
    counts = sorted({learner.passes for learner in learners} - {""}) or [""]
    tables = []
    for kept, told in product(memories, counts):
        fit = [x for x in learners if x.memory in ("", kept) and x.passes in ("", told)]
        tables.append(({"memory": kept, "passes": told}, fit))
    sets = [{id(x) for x in fit} for _, fit in tables]
    return [
        table
        for i, (table, own) in enumerate(zip(tables, sets, strict=True))
        if not any(own < other or (own == other and i > j) for j, other in enumerate(sets))
    ]


def _group(facets: Facets, learners: list[_Learner]) -> Group:
    runs = [run for learner in learners for run in learner.runs]
    scenarios = tuple(sorted({run.specification["scenario"]["name"] for run in runs}))
    rows: list[Row] = []
    notes: list[str] = []
    for strategy, members in _by(runs, lambda run: run.specification["strategy"]["name"]).items():
        variants = _by(members, _strategy_key)
        settings = [variant(same[0]) for same in variants.values()]
        words = differing(settings)
        if _one_each(variants.values()):
            rows.append(_row(strategy, strategy, members))
            notes += _where(strategy, list(variants.values()), words)
        else:
            for same, told in zip(variants.values(), words, strict=True):
                rows.append(_row(f"{strategy} {told}", strategy, same))
    return Group(facets, scenarios, tuple(rows), tuple(notes))


def _row(label: str, strategy: str, runs: list[Run]) -> Row:
    mark = " (transductive)" if runs[0].specification["protocol"]["transductive"] else ""
    by_scenario = _by(runs, lambda run: run.specification["scenario"]["name"])
    return Row(label + mark, strategy, {name: tuple(same) for name, same in by_scenario.items()})


def _one_each(variants: Iterable[list[Run]]) -> bool:
    """Return whether no scenario was run with two variants, so that one row can hold them all."""
    places = [{r.specification["scenario"]["name"] for r in same} for same in variants]
    return sum(map(len, places)) == len(set().union(*places))


def _where(strategy: str, variants: list[list[Run]], words: list[str]) -> list[str]:
    """Return a note of which variant stands in which column, where there are several."""
    if len(variants) == 1:
        return []
    told = [
        f"{words[i]} on {', '.join(sorted({r.specification['scenario']['name'] for r in same}))}"
        for i, same in enumerate(variants)
    ]
    return [f"{strategy}: {'; '.join(told)}."]


def variant(run: Run) -> dict[str, Any]:
    """Return what tells the variants of a run's strategy apart: hyper-parameters, version, source."""
    strategy = run.essence["strategy"]
    parts = {**strategy, **strategy["hyper_parameters"], **_training(run)}
    return {k: v for k, v in parts.items() if k not in ("name", "hyper_parameters")}
