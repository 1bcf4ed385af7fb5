"""What of a run decides its meta-training: runs that agree in that are trained once (`clbench.trained_states`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field

from clbench.episode_stream import EpisodeStream
from clbench.parameters import LATER, Parameters, PositiveInt
from clbench.specification import Specification
from clbench.strategy import Strategy

SHAPE = ("ways", "shots", "queries")


class MetaTrainingParameters(Parameters):
    """Hyper-parameters of a meta-learner that may be trained on other episodes than it is tested on.

    Its training episodes then have this shape. Where a field is set, nothing that training changes may depend on the
    test episodes' value: a network for N ways is built for ``meta_ways``, not for ``info.classes``.
    """

    meta_ways: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="classes in a meta-training episode; none: as at test",
        json_schema_extra=LATER,
    )
    meta_shots: PositiveInt | None = Field(
        None,
        description="support samples of each class in a meta-training episode; none: as at test",
        json_schema_extra=LATER,
    )
    meta_queries: PositiveInt | None = Field(
        None,
        description="query samples of each class in a meta-training episode; none: as at test",
        json_schema_extra=LATER,
    )


def meta_shape(strategy: Strategy) -> dict[str, int | None]:
    """Return ways, shots and queries of a strategy's training episodes; None: as at test."""
    return {name: getattr(strategy.parameters, f"meta_{name}", None) for name in SHAPE}


def training_specification(
    specification: Specification, stream: EpisodeStream, strategy: Strategy
) -> Specification:
    """Return what decides the state that meta-training ends in, the kind of device and the classes among it.

    Under ``keep=best`` the learning curve chooses that state, and its episodes are asked like test episodes; so then
    everything that decides answers is part of it. Whether answers are transductive is said by a hyper-parameter.
    """
    chosen_by_answers = stream.options.keep == "best"
    only_asked = {"test_episodes", "validation"} | (set() if chosen_by_answers else set(SHAPE))
    only_answers = {f"meta_{name}" for name in SHAPE}
    only_answers |= set() if chosen_by_answers else strategy.test_only
    scenario, learner = specification["scenario"], specification["strategy"]
    return specification | {
        "dataset": {"hash": specification["dataset"]["hash"]},
        "scenario": scenario | {"options": _without(only_asked, scenario["options"])},
        "strategy": learner
        | {"hyper_parameters": _without(only_answers, learner["hyper_parameters"])},
        "protocol": _without({"evaluated_on"}, specification["protocol"]) | {"transductive": False},
        "meta_training": {
            "shape": asdict(stream.shape.changed(**meta_shape(strategy))),
            "classes": stream.plan.train.tolist(),
            "validation_classes": stream.plan.validation.tolist(),
            "device": stream.info.device.type,
        },
    }


def _without(names: set[str], values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def answering(stream: EpisodeStream, strategy: Strategy) -> dict[str, Any]:
    """Return the settings, as a configuration calls them, by which runs of the same training may differ."""
    values = strategy.parameters.model_dump(mode="json")
    shape = {f"options.{key}": value for key, value in asdict(stream.shape).items()}
    return shape | {name: values[name] for name in sorted(strategy.test_only)}
