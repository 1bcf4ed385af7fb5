"""Two problems of episodes: what each draws from, what is of its own, the trace, and going on after a kill."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clbench import episode_evaluator
from clbench.checkpoint import Checkpoint
from clbench.episode_sampler import EpisodeBatch, Episodes
from clbench.errors import UsageError
from clbench.evaluator import Outcome
from clbench.problem_evaluator import run_problems
from clbench.problem_stream import ProblemStream
from clbench.results import Record
from clbench.runner import run_one
from clbench.specification import Specification
from clbench.specify import dataset_of, prepare, specify
from clbench.strategy import Strategy
from clbench.trained_states import TrainedStates

PROTOTYPES = f"{Path(__file__).with_name('prototypes.py')}:Prototypes"
OPTIONS: dict[str, Any] = {
    "ways": 3,
    "queries": 4,
    "train_classes": 6,
    "rotations": "none",
    "episodes": 6,
    "curve": 2,
    "test_episodes": 10,
    "then": "digits",
    "permutations": 3,
    "then_episodes": 10,
    "then_test_episodes": 7,
    "probe_every": 4,
}
HYPER = {"network": "mlp", "hidden": [24, 16], "lr": 0.01}


def specification_of(seed: int = 0, **changes: Any) -> Specification:
    specification, reason = specify(
        dataset="digits",
        scenario="meta-continual",
        strategy="metanet",
        seed=seed,
        options=OPTIONS | changes,
        hyper_parameters=HYPER,
    )
    assert reason is None
    return specification


def prepared(**changes: Any) -> tuple[ProblemStream, Any]:
    stream, learner = prepare(specification_of(**changes))
    assert isinstance(stream, ProblemStream)
    return stream, learner


def images(batches: Iterable[EpisodeBatch]) -> Tensor:
    """Return all images of episodes, [N, pixels]."""
    shown = [torch.cat([b.episodes.support, b.episodes.query], 1).flatten(0, 1) for b in batches]
    return torch.cat(shown).flatten(1)


def content(x: Tensor) -> set[tuple[int, ...]]:
    """Return what no permutation of the pixels changes of images [N, pixels]."""
    return {tuple(image) for image in x.flatten(1).sort(1).values.tolist()}


def test_the_first_problem_is_that_of_the_scenario_episodic() -> None:
    stream, _ = prepared()
    shared = {key: OPTIONS[key] for key in list(OPTIONS)[:7]}
    plain, _ = prepare(
        specify(dataset="digits", scenario="episodic", strategy="nearest", options=shared)[0]
    )
    assert set(stream.plan.train) | set(stream.plan.test) == set(range(10))
    assert not set(stream.plan.train) & set(stream.plan.test)
    ours, theirs = images(stream.test_episodes()), images(plain.test_episodes())  # type: ignore[union-attr]
    assert torch.equal(ours, theirs)


def test_the_second_problem_permutes_training_images_to_train_and_test_images_to_test() -> None:
    data = dataset_of("digits", None)
    second = prepared(then_episodes=40, then_test_episodes=40)[0].second
    for batches, x in (
        (second.training().batches(40), data.x_train),
        (second.test_episodes(), data.x_test),
    ):
        shown = images(batches)
        orders = second.views(training=True)
        assert content(shown) <= content(x)
        known = {tuple(image) for image in x.flatten(1).tolist()}
        inverses = orders.argsort(1)
        undone = [[tuple(i) in known for i in shown[:, inverse].tolist()] for inverse in inverses]
        assert all(map(any, undone))  # every permutation is in use,
        assert all(map(any, zip(*undone, strict=True)))  # and no other
    assert {tuple(sorted(order)) for order in orders.tolist()} == {tuple(range(64))}
    assert len({tuple(order) for order in orders.tolist()}) == 3


def test_the_second_problems_draws_are_its_own() -> None:
    """The same dataset, split and shape in both: yet other episodes, by other seeds."""
    stream, _ = prepared(permutations=1)
    first, second = stream.info.seeds, stream.second.info.seeds
    assert {first.order, first.init, first.train}.isdisjoint(
        {second.order, second.init, second.train}
    )
    assert [stream.info.problem, stream.second.info.problem] == [0, 1]


def weights(learner: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in learner.network.state_dict().items()}


def split(named: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return W and Q, and Z and G."""
    own = [value for name, value in named.items() if name[0] in "WQ"]
    meta = [value for name, value in named.items() if name[0] not in "WQ" and "offset" not in name]
    return own, meta


def test_slow_weights_rest_bit_for_bit_and_meta_weights_go_on() -> None:
    stream, learner = prepared()
    learner.meta_train(stream.training())
    own, meta = split(weights(learner))
    steps = {p: s["step"].item() for p, s in learner.optimizer.state.items()}
    learner.begin_problem(stream.second.info)
    drawn, kept = split(weights(learner))
    assert not any(torch.equal(a, b) for a, b in zip(own, drawn, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(meta, kept, strict=True))
    assert set(learner.optimizer.state) == set(steps) - set(learner.own_weights(learner.network))
    learner.meta_train(stream.second.training())
    new, changed = split(weights(learner))
    assert not any(torch.equal(a, b) for a, b in zip(drawn, new, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(meta, changed, strict=True))
    assert all(
        torch.equal(a, b) for a, b in zip(own, learner.state_dict()["resting"][0], strict=True)
    )


def test_each_problem_is_answered_by_its_own_weights_without_a_trace() -> None:
    stream, learner = prepared()
    learner.meta_train(stream.training())
    asked = next(stream.test_episodes()).episodes
    before = learner.answer(asked)
    learner.begin_problem(stream.second.info)
    awake = weights(learner)
    assert torch.equal(learner.answer(asked), before)  # Z and G are as they were
    assert all(torch.equal(awake[name], value) for name, value in weights(learner).items())
    learner.meta_train(stream.second.training())
    assert not torch.equal(learner.answer(asked), before)


def test_every_probe_asks_the_same_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, learner = prepared()
    asked: dict[int, list[bytes]] = {0: [], 1: []}
    answer = type(learner).answer

    def recording(self: Any, episodes: Episodes) -> Tensor:
        asked[episodes.info.problem].append(episodes.query.numpy().tobytes())
        answered: Tensor = answer(self, episodes)
        return answered

    monkeypatch.setattr(type(learner), "answer", recording)
    run_problems(stream, learner, Outcome())
    assert [len(set(each)) for each in asked.values()] == [1, 1]
    assert [len(each) for each in asked.values()] == [4, 4]


def comparable(record: Record) -> Any:
    counts = {k: record["budget"][k] for k in ("steps", "samples_seen", "memory_bytes")}
    return record["matrix"], record["anytime"], record["metrics"], counts


def test_the_record_has_a_row_after_each_problem_and_the_trace() -> None:
    record = run_one(specification_of())
    assert record["status"] == "ok", record.get("error")
    trace = record["anytime"]
    assert [(p["experience"], p["step"]) for p in trace] == [
        (1, 6),
        (2, 0),
        (2, 4),
        (2, 8),
        (2, 10),
    ]
    before, after = trace[1]["accuracy"], trace[-1]["accuracy"]
    assert record["matrix"] == [[None, None], before, after]
    assert trace[0]["accuracy"] == before[:1]
    assert record["metrics"]["forgetting"] == pytest.approx(before[0] - after[0])
    assert record["budget"]["steps"] == 16
    assert len({point["accuracy"][0] for point in trace}) > 2  # it is no constant answer
    assert comparable(run_one(specification_of())) == comparable(record)
    assert comparable(run_one(specification_of(seed=1))) != comparable(record)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("save", [3, 8, 13, 18])
def test_a_killed_run_goes_on_to_the_same_bits_in_either_problem(
    save: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification, states = specification_of(), TrainedStates(tmp_path)
    whole = run_one(specification)
    monkeypatch.setattr(episode_evaluator, "SAVE_EVERY", 0.0)
    checkpoint = Checkpoint(tmp_path / "x.checkpoint")
    saves, original = 0, Checkpoint.save

    def killing(self: Checkpoint, *arguments: Any) -> None:
        nonlocal saves
        original(self, *arguments)
        saves += self.path == checkpoint.path
        if saves == save:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", killing)
        with pytest.raises(Killed):
            run_one(specification, checkpoint=checkpoint, trained=states)
    resumed = run_one(specification, checkpoint=checkpoint, trained=states)
    assert resumed["provenance"]["resumed_at"][0]["experience"] == (0 if save < 8 else 1)
    assert comparable(resumed) == comparable(whole)
    assert comparable(run_one(specification, trained=states)) == comparable(whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"then": "mnist-"}, "unknown dataset"),
        ({"validation": True, "validation_classes": 3}, "validation=true is for the scenario"),
        ({"ways": 4, "permutations": 1, "queries": 90}, "different samples of a class"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        specification_of(**changes)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    import numpy as np

    x, y = np.zeros((40, 6, 6), np.uint8), np.arange(2).repeat(20)
    np.savez(tmp_path / "small.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(UsageError, match=r"images of shape \(1, 6, 6\), the first problem's have"):
        specification_of(then=f"npz:{tmp_path / 'small.npz'}")


@pytest.mark.parametrize("strategy", ["nearest", "finetune", PROTOTYPES])
def test_who_has_no_weights_of_its_own_for_each_problem_is_skipped(strategy: str) -> None:
    _, reason = specify(
        dataset="digits", scenario="meta-continual", strategy=strategy, options=OPTIONS
    )
    assert reason == "has no weights of its own for each of several problems (begin_problem)"
    assert Strategy.begin_problem.__doc__
