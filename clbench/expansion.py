"""From a configuration and what is typed above it to requests: the nearer word wins, `vary` multiplies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from clbench.assignments import parse_seeds, share_out
from clbench.configuration import Configuration, Grid, Table
from clbench.errors import UsageError, about, unknown
from clbench.evaluator import Anytime
from clbench.grid import Request
from clbench.parameters import Parameters
from clbench.specify import scenario_class, strategy_class

_DEFAULTS = Grid(dataset=["digits"], seeds=[0])


def expand(configuration: Configuration, typed: Grid) -> list[Request]:
    """Return what a configuration and the command line ask for together.

    Args:
        configuration: From a file, or an empty one.
        typed: What the command line and the environment say. Its scenarios and strategies select among those of a
            grid, or are those of a grid that names none; all else wins over the file.

    Raises:
        UsageError: A name or key is unknown, or nothing is left to run.
    """
    with about(configuration.name):
        streams = _Axis("scenario", "options", _options, configuration, typed)
        learners = _Axis("strategy", "hyper_parameters", _hyper_parameters, configuration, typed)
    requests: list[Request] = []
    for number, grid in enumerate(configuration.grids, 1):
        origin = configuration.where(number)
        with about(origin):
            requests += _requests(grid, typed, streams, learners, origin)
    if not requests:
        raise UsageError(f"{configuration.name}: no grid has such a scenario with such a strategy")
    return requests


def _requests(
    grid: Grid, typed: Grid, streams: _Axis, learners: _Axis, origin: str
) -> Iterator[Request]:
    said = typed.over(grid).over(_DEFAULTS)
    seeds, named_seeds = _seeds(said)
    axes = (dict.fromkeys(said.dataset), streams.settings(grid), learners.settings(grid))
    for dataset, (scenario, options), (strategy, hyper_parameters) in product(*axes):
        yield Request(
            dataset=dataset,
            scenario=scenario,
            strategy=strategy,
            seeds=seeds,
            options=options,
            hyper_parameters=hyper_parameters,
            named_seeds=named_seeds,
            anytime=_anytime(said),
            precision=said.precision,
            origin=origin,
        )


def _options(scenario: str) -> type[Parameters]:
    return scenario_class(scenario)[0].Options


def _hyper_parameters(strategy: str) -> type[Parameters]:
    return strategy_class(strategy)[0].Parameters


def _seeds(said: Grid) -> tuple[list[int], dict[str, list[int]]]:
    """Return the seeds, and the values of each named seed."""
    found = {
        key.removesuffix("_seeds"): parse_seeds(",".join(map(str, getattr(said, key))), key)
        for key in Grid.model_fields
        if key.endswith("seeds") and key in said.model_fields_set
    }
    return found.pop("seeds"), found


def _anytime(said: Grid) -> Anytime | None:
    if said.eval_every is not None:
        return Anytime(said.eval_every, said.eval_samples)
    if said.eval_samples is not None:
        raise UsageError("--eval-samples needs --eval-every")
    return None


class _Axis:
    """The scenarios of all grids with their options, or the strategies with their hyper-parameters."""

    def __init__(
        self,
        kind: str,
        table: str,
        model: Callable[[str], type[Parameters]],
        configuration: Configuration,
        typed: Grid,
    ) -> None:
        self._kind, self._table = kind, table
        self._asked: list[str] = getattr(typed, kind)
        members = [name for grid in configuration.grids for name in self._members(grid)]
        every = list(dict.fromkeys(members))
        for name in self._asked:
            if name not in every:
                model(name)  # a name that nothing has is refused here, with a did-you-mean
                raise UsageError(
                    f"the configuration has no {kind} {name!r}; it has {', '.join(sorted(every))}"
                )
        self._keys = {name: list(model(name).model_fields) for name in every}
        self._common = self._layer(configuration.common, every)
        self._typed = self._layer(typed, self._asked or every)

    def settings(self, grid: Grid) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each selected member of a grid with each combination of its values."""
        members = self._members(grid)
        if not members:
            raise UsageError(
                f"no {self._kind} is named; give --{self._kind}, or --config with a file that names one"
            )
        layers = (self._common, self._layer(grid, members), self._typed)
        for name in members:
            if self._asked and name not in self._asked:
                continue
            values: dict[str, list[Any]] = {}
            for layer in layers:
                values |= layer.get(name, {})
            for picked in product(*values.values()):
                yield name, dict(zip(values, picked, strict=True))

    def _members(self, grid: Grid) -> list[str]:
        """Return the grid's scenarios or strategies, whether asked for or not."""
        return list(dict.fromkeys(getattr(grid, self._kind) or self._asked))

    def _layer(self, grid: Grid, owners: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
        """Return by owner and key the values that one place names: one, unless it varies."""
        fixed, varied = grid.settings(self._table)
        pairs = [(key, [value]) for key, value in self._pairs(fixed, owners)]
        pairs += self._pairs(varied, owners)
        return share_out(pairs, {owner: self._keys[owner] for owner in owners})

    def _named(self, name: str, owners: Sequence[str]) -> str:
        """Return the owner of a name, or of the class's own name in ``FILE.py:CLASS``, where that is one's alone."""
        if name in owners:
            return name
        found = {owner for owner in owners if owner.rpartition(":")[2] == name}
        if len(found) != 1:
            raise UsageError(unknown(self._kind, name, owners))
        return found.pop()

    def _pairs(self, table: Table, owners: Sequence[str]) -> list[tuple[str, Any]]:
        """Return plain keys, then those in the table of one owner as ``owner.key``."""
        pairs = [(key, value) for key, value in table.items() if not isinstance(value, dict)]
        for owner, own in table.items():
            if isinstance(own, dict):
                named = self._named(owner, owners)
                pairs += [(f"{named}.{key}", value) for key, value in own.items()]
        return pairs
