"""Configurations: what a TOML file may say about the grids to run. Its keys are those of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator

from clbench import config_files
from clbench.parameters import Parameters, PositiveInt
from clbench.precision import Precision


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


# One value, or a list of them.
Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Seeds = Annotated[list[int | str], BeforeValidator(_listed), Field(min_length=1)]
Table = dict[str, Any]

_TABLES = {"options", "hyper_parameters", "vary"}
_RUNNING = ("device", "threads", "jobs", "results", "data_dir")


class Grid(Parameters):
    """What may be said of one grid, in a file or on the command line."""

    noun: ClassVar[str] = "key"
    list_hint: ClassVar[str] = ""

    dataset: Names = Field(default_factory=list)
    scenario: Names = Field(default_factory=list)
    strategy: Names = Field(default_factory=list)
    seeds: Seeds = Field(default_factory=list)
    order_seeds: Seeds = Field(default_factory=list)
    init_seeds: Seeds = Field(default_factory=list)
    train_seeds: Seeds = Field(default_factory=list)
    memory_seeds: Seeds = Field(default_factory=list)
    eval_every: PositiveInt | None = None
    eval_samples: PositiveInt | None = None
    precision: Precision = "float32"
    options: Table = Field(default_factory=dict)
    """Scenario options; a table named like a scenario holds those of it alone."""
    hyper_parameters: Table = Field(default_factory=dict)
    """Hyper-parameters; a table named like a strategy holds those of it alone."""
    vary: Table = Field(default_factory=dict)
    """The same with lists of values: hyper-parameters, and scenario options under ``options``."""

    @field_validator("vary")
    @classmethod
    def _lists(cls, table: Table) -> Table:
        if not isinstance(table.get("options", {}), dict):
            raise ValueError("options must be a table of scenario options")
        for key, value in table.items():
            if isinstance(value, dict):
                cls._lists(value)
            elif not isinstance(value, list) or not value:
                raise ValueError(f"{key} must be a list of values to try, not {value!r}")
        return table

    def over(self, lower: Grid) -> Grid:
        """Return this grid with what it leaves unsaid taken from a lower one, the tables aside."""
        unsaid = set(Grid.model_fields) - _TABLES - self.model_fields_set
        return self.model_copy(
            update={key: getattr(lower, key) for key in unsaid & lower.model_fields_set}
        )

    def settings(self, table: str) -> tuple[Table, Table]:
        """Return what is set and what is varied of ``"options"`` or ``"hyper_parameters"``."""
        options = self.vary.get("options", {})
        others = {key: values for key, values in self.vary.items() if key != "options"}
        return getattr(self, table), options if table == "options" else others


class _File(Grid):
    """The top level of a file: what holds for every grid and for the whole call."""

    description: str = ""
    device: str | None = None
    threads: PositiveInt | None = None
    jobs: PositiveInt | None = None
    results: str | None = None
    data_dir: str | None = None
    plugin: Names = Field(default_factory=list)
    grid: list[Table] = Field([{}], min_length=1)

    @field_validator("grid", mode="before")
    @classmethod
    def _double_brackets(cls, value: Any) -> Any:
        if isinstance(value, dict):
            raise ValueError("a grid begins with [[grid]], in double brackets")
        return value


@dataclass(frozen=True)
class Configuration:
    """The grids to run, and how. Without a file: one grid of which the command line says everything."""

    name: str = ""
    """As typed after ``--config``."""
    common: Grid = field(default_factory=Grid)
    """The file's own tables of settings, which lie under those of every grid."""
    grids: tuple[Grid, ...] = (Grid(),)
    """The grids, the rest of the file inherited."""
    plugins: tuple[str, ...] = ()
    running: Mapping[str, Any] = field(default_factory=dict)
    """Device, threads, jobs, results folder and data folder, as far as the file names them."""

    def where(self, number: int) -> str:
        """Return what messages call the grid ``number``, counted from 1."""
        return f"grid {number} of {self.name}" if len(self.grids) > 1 else self.name


def load(name: str) -> Configuration:
    """Read and check a configuration.

    Args:
        name: Of a shipped one, or the path of a file.

    Raises:
        UsageError: It is missing or not TOML, a key is unknown or a value of the wrong type.
    """
    file = _File.parse(config_files.read(name), name)
    parsed = (Grid.parse(table, f"grid {i} of {name}") for i, table in enumerate(file.grid, 1))
    return Configuration(
        name=name,
        common=file,
        grids=tuple(grid.over(file) for grid in parsed),
        plugins=tuple(file.plugin),
        running={key: getattr(file, key) for key in _RUNNING if key in file.model_fields_set},
    )
