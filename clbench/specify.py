"""From names and settings to the full specification of a run, and from that to stream and strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from clbench.blame import blamed
from clbench.contract import check_made_of, check_strategy, make, reason_against
from clbench.dataset import Dataset, data_folder
from clbench.dataset import load as load_dataset
from clbench.episode_plan import EpisodeScenario, plan_episodes
from clbench.episode_stream import EpisodeStream
from clbench.errors import ClbenchError, UsageError, about, unknown
from clbench.evaluator import Anytime
from clbench.meta_training import meta_shape
from clbench.parameters import Parameters
from clbench.precision import Precision
from clbench.problem_stream import ProblemOptions, ProblemStream
from clbench.registry import Prefix, Resolved, check_class, check_parameters, resolve
from clbench.scenario import Labels, Scenario, ScenarioOptions, plan_stream
from clbench.seeds import Seeds
from clbench.specification import EVALUATION_VERSION, Specification
from clbench.strategy import Strategy
from clbench.stream import Stream


@lru_cache(maxsize=4)
def dataset_of(name: str, data_dir: Path | None) -> Dataset:
    """Return a dataset, kept for the next run of the same process."""
    return load_dataset(name, data_dir or data_folder(None))


def strategy_class(name: str) -> tuple[type[Strategy], Resolved]:
    """Return the strategy a name stands for.

    Raises:
        UsageError: There is none, or its class cannot work.
    """
    found = resolve("strategies", name)
    if isinstance(found.target, type) and issubclass(found.target, Prefix):
        raise UsageError(f"strategy {name!r} needs {found.target.wants} behind a colon")
    return check_strategy(found), found


def scenario_class(name: str) -> tuple[type[Scenario] | type[EpisodeScenario], Resolved]:
    """Return the scenario a name stands for.

    Raises:
        UsageError: There is none, or it is neither a `Scenario` nor an `EpisodeScenario`.
    """
    found = resolve("scenarios", name)
    check_class(found, "scenario", (Scenario, EpisodeScenario))
    own = ScenarioOptions if issubclass(found.target, Scenario) else Parameters
    check_parameters(found, "scenario", "Options", own)
    check_made_of(found, "scenario")
    return found.target, found


def specify(  # noqa: PLR0913 (all that a run is)
    *,
    dataset: str,
    scenario: str,
    strategy: str,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    hyper_parameters: Mapping[str, Any] | None = None,
    seeds: Mapping[str, int] | None = None,
    anytime: Anytime | None = None,
    precision: Precision = "float32",
    data_dir: Path | None = None,
) -> tuple[Specification, str | None]:
    """Return the full specification of a run, and why it must be skipped (None if it need not).

    Args:
        dataset: Name, as on the command line.
        scenario: Name.
        strategy: Name.
        seed: The run's seed.
        options: Scenario options that differ from the defaults.
        hyper_parameters: Hyper-parameters that differ from the defaults.
        seeds: Named seeds that differ: ``order``, ``init``, ``train``, ``memory``.
        anytime: Evaluate while learning, too.
        precision: Of forward passes.
        data_dir: Data directory; None is the usual one.

    Raises:
        UsageError: A name, option or value is wrong.
        DataError: The dataset is missing or damaged.
    """
    seeds = _named_seeds(seeds)
    learner, found_learner = strategy_class(strategy)
    stream_kind, found_stream = scenario_class(scenario)
    hyper = learner.Parameters.parse(hyper_parameters or {}, f"strategy {strategy!r}")
    chosen = stream_kind.Options.parse(options or {}, f"scenario {scenario!r}")
    data = dataset_of(dataset, data_dir)
    stream = build_stream(
        stream_kind, chosen, data, scenario, Seeds.of(seed, **seeds), "cpu", data_dir, precision
    )
    if anytime and isinstance(stream, EpisodeStream):
        raise UsageError(f"scenario {scenario!r}: any-time evaluation needs experiences to learn")
    with blamed(f"strategy {strategy!r}"):
        candidate = make(learner, hyper)
    _refuse_idle(hyper, hyper_parameters or {}, stream, f"strategy {strategy!r}")
    if isinstance(stream, EpisodeStream) and learner.meta_trained:
        with about(f"strategy {strategy!r}, training episodes"):
            stream.check_training(**meta_shape(candidate))
    specification = {
        "dataset": {"name": dataset, "hash": data.hash},
        "scenario": _named(
            found_stream, stream_kind.version, "options", _resolved(stream, learner)
        ),
        "strategy": _named(found_learner, learner.version, "hyper_parameters", hyper),
        "seed": seed,
        "protocol": _protocol(stream, candidate, seeds, anytime),
    }
    with blamed(f"strategy {strategy!r}"):
        reason = reason_against(candidate, stream.info)
        if reason is None:
            candidate.check(stream.info)
    return specification, reason


def _named_seeds(given: Mapping[str, int] | None) -> dict[str, int]:
    """Return the named seeds.

    Raises:
        UsageError: There is none of such a name.
    """
    names = [field.name for field in fields(Seeds)]
    for name in given or {}:
        if name not in names:
            raise UsageError(unknown("named seed", name, names))
    return dict(given or {})


def _refuse_idle(
    hyper: Parameters, given: Mapping[str, Any], stream: Stream | EpisodeStream, owner: str
) -> None:
    """Refuse hyper-parameters that would do nothing here but make another run of it.

    Raises:
        UsageError: Names the first, and the scenario's option of that name where there is one.
    """
    on_episodes = isinstance(stream, EpisodeStream)
    idle = sorted((hyper.on_streams if on_episodes else hyper.on_episodes) & set(given))
    if not idle:
        return
    name, place = idle[0], "streams" if on_episodes else "episodes"
    option = name in type(stream.options).model_fields
    hint = f"; the scenario's option is -S {name}=…" if option else ""
    raise UsageError(f"{owner}: {name} is for {place} and does nothing here{hint}")


def _resolved(stream: Stream | EpisodeStream, learner: type[Strategy]) -> Parameters:
    """Return the options with what others imply recorded; they agree when the specification is read back."""
    if isinstance(stream, Stream):
        return stream.options.model_copy(update={"experiences": len(stream)})
    return stream.options if learner.meta_trained else stream.options.untrained()


def _named(found: Resolved, number: int, key: str, values: Parameters) -> dict[str, Any]:
    return {
        "name": found.name,
        "version": number,
        "source": found.source,
        key: values.specified(),
    }


def _protocol(
    stream: Stream | EpisodeStream,
    learner: Strategy,
    seeds: Mapping[str, int],
    anytime: Anytime | None,
) -> dict[str, Any]:
    protocol: dict[str, Any] = {
        "evaluation": EVALUATION_VERSION,
        "precision": stream.info.precision,
        "named_seeds": dict(sorted(seeds.items())),
        **stream.plan.protocol,
        "transductive": learner.transductive,
    }
    return protocol | ({"anytime": asdict(anytime)} if anytime else {})


def labels_of(data: Dataset) -> Labels:
    """Return what a scenario may look at of a dataset."""
    train, test = data.experience_train, data.experience_test
    return Labels(
        data.y_train.numpy(),
        data.y_test.numpy(),
        len(data.classes),
        data.classes,
        None if train is None else train.numpy(),
        None if test is None else test.numpy(),
    )


def build_stream(
    kind: type[Scenario] | type[EpisodeScenario],
    options: Any,
    data: Dataset,
    name: str,
    seeds: Seeds,
    device: str,
    data_dir: Path | None,
    precision: Precision = "float32",
) -> Stream | EpisodeStream:
    """Return what a scenario makes of a dataset.

    Raises:
        UsageError: The options do not fit the dataset.
    """
    labels = labels_of(data)
    said: dict[str, Any] = {"scenario": name, "seeds": seeds, "precision": precision}
    said["device"] = torch.device(device)
    with about(f"scenario {name!r}"), blamed("its plan"):
        if issubclass(kind, EpisodeScenario):
            episodes = plan_episodes(kind(), labels, options, seeds.order)
            if isinstance(options, ProblemOptions):
                second = dataset_of(options.then, data_dir)
                return ProblemStream(data, second, episodes, options, **said)
            return EpisodeStream(data, episodes, options, **said)
        return Stream(data, plan_stream(kind(), labels, options, seeds.order), options, **said)


def prepare(
    specification: Specification, device: str = "cpu", data_dir: Path | None = None
) -> tuple[Stream | EpisodeStream, Strategy]:
    """Return what a specification says: the stream on a device, and the strategy set up for it.

    Raises:
        ClbenchError: The dataset or the source of a plug-in is not the one it was made for.
    """
    learner, found_learner = strategy_class(specification["strategy"]["name"])
    kind, found_kind = scenario_class(specification["scenario"]["name"])
    for part, found in (("strategy", found_learner), ("scenario", found_kind)):
        if found.source != specification[part]["source"]:
            raise ClbenchError(f"the source of {found.name!r} changed since the run was specified")
    options = kind.Options.parse(specification["scenario"]["options"], "scenario")
    data = dataset_of(specification["dataset"]["name"], data_dir)
    if data.hash != specification["dataset"]["hash"]:
        raise ClbenchError("the dataset changed since the run was specified")
    seeds = Seeds.of(specification["seed"], **specification["protocol"]["named_seeds"])
    name = specification["scenario"]["name"]
    precision = specification["protocol"]["precision"]
    stream = build_stream(kind, options, data, name, seeds, device, data_dir, precision)
    if stream.plan.protocol.get("then_hash") != specification["protocol"].get("then_hash"):
        raise ClbenchError("the second dataset changed since the run was specified")
    hyper = specification["strategy"]["hyper_parameters"]
    strategy = learner(learner.Parameters.parse(hyper, "strategy"))
    strategy.setup(stream.info)
    return stream, strategy
