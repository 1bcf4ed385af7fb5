"""What every meta-learner has: the shape of the episodes it is trained on."""

from __future__ import annotations

from pydantic import Field

from clbench.parameters import LATER, Parameters, PositiveInt


class MetaTrainingParameters(Parameters):
    """Hyper-parameters of meta-training on episodes."""

    meta_ways: PositiveInt | None = Field(
        None,
        description="classes in a meta-training episode; none: as in test episodes",
        json_schema_extra=LATER,
    )
    meta_shots: PositiveInt | None = Field(
        None,
        description="support samples of each class in it; none: as in test episodes",
        json_schema_extra=LATER,
    )
    meta_queries: PositiveInt | None = Field(
        None,
        description="query samples of each class in it; none: as in test episodes",
        json_schema_extra=LATER,
    )
