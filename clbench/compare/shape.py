"""What a file must have to be read as a result."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from clbench.parameters import NaturalInt


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Dataset(_Strict):
    name: str
    hash: str


class _StreamOptions(_Strict):
    class_order: str | list[int]
    online: bool
    batch_size: int
    boundaries: bool


class _EpisodeOptions(_Strict):
    ways: int
    shots: int
    queries: int
    rotations: str
    episodes: int
    test_episodes: int


def _kind(options: Any) -> str:
    return "episodes" if isinstance(options, dict) and "shots" in options else "stream"


_Options = Annotated[
    Annotated[_StreamOptions, Tag("stream")] | Annotated[_EpisodeOptions, Tag("episodes")],
    Discriminator(_kind),
]


class _Scenario(_Strict):
    name: str
    options: _Options


class _HyperParameters(_Strict):
    memory_size: NaturalInt | None = None


class _Strategy(_Strict):
    name: str
    hyper_parameters: _HyperParameters


class _Protocol(_Strict):
    evaluation: int
    precision: str
    named_seeds: dict[Literal["order", "init", "train", "memory"], NaturalInt]
    head: str
    train_mask: str
    test_mask: str
    tells_task: bool
    evaluated_on: str
    transductive: bool


class _Specification(_Strict):
    dataset: _Dataset
    scenario: _Scenario
    strategy: _Strategy
    seed: NaturalInt
    protocol: _Protocol


class _Metrics(_Strict):
    ci95: float | None = None
    episodes: int | None = None


class Shape(_Strict):
    """What a file must have to be read as a result; what it has beyond is kept."""

    status: Literal["ok", "failed", "skipped"]
    specification: _Specification
    matrix: list[list[float | None]] | None = None
    metrics: _Metrics | None = None
    budget: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    error: dict[str, Any] | None = None
