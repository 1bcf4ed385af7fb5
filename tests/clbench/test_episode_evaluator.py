"""Episodes as a run: fixed test episodes, fresh learners, meta-training, its curve, its checkpoints, the record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clbench import episode_evaluator
from clbench.checkpoint import Checkpoint
from clbench.episode_evaluator import run_episodes
from clbench.episode_sampler import EpisodeBatch, Episodes
from clbench.episode_stream import EpisodeStream, TrainingEpisodes
from clbench.errors import ClbenchError, NonFiniteLossError, UsageError
from clbench.evaluator import Outcome
from clbench.results import Record, finite
from clbench.runner import run_one
from clbench.specification import Specification, run_hash
from clbench.specify import prepare, specify
from clbench.statistics import mean_interval
from clbench.strategy import Strategy
from tests.clbench.test_isolation import reachable
from tests.toys import Spy

PROTOTYPES = f"{Path(__file__).with_name('prototypes.py')}:Prototypes"
OPTIONS: dict[str, Any] = {
    "ways": 2,
    "queries": 5,
    "train_classes": 6,
    "validation_classes": 2,
    "rotations": "none",
    "episodes": 600,
    "test_episodes": 150,
    "curve": 4,
    "curve_episodes": 40,
}


def specification_of(strategy: str, seed: int = 0, **changes: Any) -> Specification:
    hyper = changes.pop("hyper_parameters", {})
    specification, reason = specify(
        dataset="digits",
        scenario="episodic",
        strategy=strategy,
        seed=seed,
        options=OPTIONS | changes,
        hyper_parameters=hyper,
    )
    assert reason is None
    return specification


def prepared(strategy: str, **changes: Any) -> tuple[EpisodeStream, Strategy]:
    stream, learner = prepare(specification_of(strategy, **changes))
    assert isinstance(stream, EpisodeStream)
    return stream, learner


def bits(batches: Iterator[EpisodeBatch]) -> list[bytes]:
    return [b.episodes.query.numpy().tobytes() + b.targets.numpy().tobytes() for b in batches]


# The episodes.


def test_at_one_seed_every_strategy_is_asked_the_same_questions() -> None:
    (ours, _), (theirs, _), (other, _) = (
        prepared("nearest"),
        prepared(PROTOTYPES),
        prepared("nearest", seed=1),
    )
    assert bits(ours.test_episodes()) == bits(ours.test_episodes()) == bits(theirs.test_episodes())
    assert bits(ours.test_episodes()) != bits(other.test_episodes())
    assert sum(len(batch.episodes) for batch in ours.test_episodes()) == 150


def images(batches: Iterator[EpisodeBatch]) -> set[bytes]:
    return {
        image.numpy().tobytes()
        for batch in batches
        for image in torch.cat([batch.episodes.support, batch.episodes.query], 1).flatten(0, 1)
    }


def test_training_validation_and_test_share_no_image() -> None:
    stream, _ = prepared(PROTOTYPES)
    training = images(stream.training().batches(50))
    validation, test = images(stream.curve_episodes()), images(stream.test_episodes())
    assert not training & validation
    assert not training & test
    assert not validation & test


def test_nothing_but_training_images_can_be_reached_from_what_a_meta_learner_is_given() -> None:
    stream, _ = prepared(PROTOTYPES)
    held: list[Tensor] = []

    class Looking(First):
        meta_trained = True

        def meta_train(self, episodes: TrainingEpisodes) -> None:
            for batch in episodes.batches(300):
                held.extend(reachable(episodes, batch))

        def first_bad_step(self) -> None:
            return None

    run_episodes(stream, Looking(), Outcome())
    stored = [x for x in held if x.dtype == torch.uint8 and x.shape[-3:] == stream.info.shape]
    seen = {image.numpy().tobytes() for x in stored for image in x.reshape(-1, *x.shape[-3:])}
    assert images(stream.training().batches(50)) <= seen
    assert not seen & images(stream.test_episodes())
    assert not seen & images(stream.curve_episodes())


def test_training_goes_on_where_its_state_says() -> None:
    stream, _ = prepared(PROTOTYPES)
    whole = bits(stream.training().batches(50, ways=3, shots=2))
    first, second = stream.training(), stream.training()
    batches = first.batches(50, ways=3, shots=2)
    begun = bits(next(batches) for _ in range(5))
    second.load_state_dict(first.state_dict())
    assert begun + bits(second.batches(50, ways=3, shots=2)) == whole
    assert (first.drawn, second.drawn, len(whole)) == (250, 600, 12)


def test_the_last_batch_is_what_is_left() -> None:
    stream, _ = prepared(PROTOTYPES, episodes=70)
    assert [len(b.episodes) for b in stream.training().batches(32)] == [32, 32, 6]


def test_oblong_images_cannot_be_rotated(tmp_path: Path) -> None:
    y = np.arange(10).repeat(20)
    x = np.zeros((200, 4, 6), np.uint8)
    np.savez(tmp_path / "oblong.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(UsageError, match="rotations=train needs square images, not 4×6"):
        specify(dataset=f"npz:{tmp_path / 'oblong.npz'}", scenario="episodic", strategy="nearest")


# Answers.


@pytest.mark.parametrize("shots", [1, 3])
def test_nearest_answers_all_episodes_at_once_as_a_fresh_learner_answers_each(shots: int) -> None:
    stream, nearest = prepared("nearest", shots=shots)
    for batch in stream.test_episodes():
        together = nearest.answer(batch.episodes)
        alone = Strategy.answer(nearest, batch.episodes)
        assert torch.equal(together, alone)


@pytest.mark.parametrize("strategy", ["nearest", "finetune", PROTOTYPES])
def test_an_answer_depends_on_its_own_episode_and_query_alone(strategy: str) -> None:
    stream, learner = prepared(strategy)
    asked = next(stream.test_episodes()).episodes
    whole = learner.answer(asked)
    some = Episodes(asked.info, asked.support[5:8], asked.labels[5:8], asked.query[5:8, :4])
    torch.testing.assert_close(learner.answer(some), whole[5:8, :4], atol=1e-4, rtol=1e-4)


def test_finetune_learns_every_support_set_from_scratch() -> None:
    stream, learner = prepared("finetune", hyper_parameters={"epochs": 30, "lr": 0.01})
    before = learner.state_dict()["network"]
    asked = next(stream.test_episodes()).episodes
    assert torch.equal(learner.answer(asked), learner.answer(asked))
    assert learner.effort.steps == 2 * 32 * 30
    after = learner.state_dict()["network"]
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_finetune_is_above_chance() -> None:
    record = run_one(specification_of("finetune", hyper_parameters={"epochs": 30, "lr": 0.01}))
    assert record["metrics"]["average_accuracy"] > 0.7


class First(Spy):
    """Always answers the first way."""

    def answer(self, episodes: Episodes) -> Tensor:
        logits = torch.zeros(*episodes.query.shape[:2], episodes.info.classes)
        logits[..., 0] = 1
        return logits


def test_the_matrix_and_the_interval_of_hand_made_answers() -> None:
    stream, _ = prepared("nearest", ways=4, train_classes=5, validation_classes=0)
    outcome = Outcome()
    run_episodes(stream, First(), outcome)
    assert outcome.matrix == [
        [None],
        [0.25],
    ]  # labels are permuted, but every way is asked as often
    assert outcome.spread == {"ci95": 0.0, "episodes": 150}


def test_the_interval_is_a_t_interval_over_episodes() -> None:
    stream, nearest = prepared("nearest")
    outcome = Outcome()
    run_episodes(stream, nearest, outcome)
    accuracies = [
        float(hit)
        for b in stream.test_episodes()
        for hit in (nearest.answer(b.episodes).argmax(2) == b.targets).double().mean(1)
    ]
    assert outcome.matrix[1] == [pytest.approx(fmean(accuracies))]
    assert outcome.spread["ci95"] == pytest.approx(mean_interval(accuracies)[1])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            lambda logits: logits[:, :, :1],
            r"answer must return logits of shape \[E, Q, N\] = \(32, 10, 2\)",
        ),
        (lambda logits: logits * torch.nan, "answers to episodes became NaN"),
    ],
)
def test_wrong_answers_get_a_sentence(wrong: Any, words: str) -> None:
    class Wrong(First):
        def answer(self, episodes: Episodes) -> Tensor:
            answered: Tensor = wrong(super().answer(episodes))
            return answered

    with pytest.raises(ClbenchError, match=words):
        run_episodes(prepared("nearest")[0], Wrong(), Outcome())


# Meta-training.


def noisy_classes(folder: Path) -> str:
    """Return a dataset whose classes differ in one row of pixels; the others are noise, for a learner to ignore."""
    generator = np.random.default_rng(0)
    y = np.arange(40).repeat(20)
    x = generator.integers(0, 256, (800, 6, 6)).astype(np.uint8)
    x[:, 0] = generator.integers(0, 256, (40, 6))[y] // 8 * 8
    np.savez(folder / "noisy.npz", x_train=x, y_train=y, x_test=x[::2], y_test=y[::2])
    return f"npz:{folder / 'noisy.npz'}"


def test_a_meta_learner_beats_itself_untrained_and_its_curve_rises(tmp_path: Path) -> None:
    records = []
    for length in (10_000, 0):
        options = {"validation_classes": 5, "rotations": "none", "episodes": length, "curve": 4}
        specification, _ = specify(
            dataset=noisy_classes(tmp_path),
            scenario="episodic",
            strategy=PROTOTYPES,
            options=options,
        )
        records.append(run_one(specification))
    trained, untrained = (record["metrics"]["average_accuracy"] for record in records)
    assert trained > untrained + 0.2
    curve = records[0]["learning_curve"]
    assert [point["episodes"] for point in curve] == [2528, 5024, 7520, 10_000]
    assert curve[-1]["train_seconds"] > curve[0]["train_seconds"] > 0
    assert curve[-1]["accuracy"] > curve[0]["accuracy"]
    assert "learning_curve" not in records[1]
    assert records[0]["budget"]["steps"] == 313
    assert records[0]["budget"]["samples_seen"] == 10_000 * 5 * 11


def test_the_record_of_an_episodic_run() -> None:
    record = run_one(specification_of("nearest"))
    assert record["status"] == "ok"
    assert record["matrix"][0] == [None]
    assert len(record["matrix"]) == 2
    found = record["metrics"]
    assert found["average_accuracy"] == record["matrix"][1][0] == found["learning_accuracy"]
    assert found["forgetting"] is found["backward_transfer"] is found["forward_transfer"] is None
    assert 0 < found["ci95"] < 0.1
    assert found["episodes"] == 150


def comparable(record: Record) -> Any:
    """Return what must not depend on when and in how many pieces a run was made."""
    curve = [(p["episodes"], p["accuracy"]) for p in record["learning_curve"]]
    counts = {k: record["budget"][k] for k in ("steps", "samples_seen", "parameters")}
    return finite([record["matrix"], record["metrics"], curve, counts])


class Killed(BaseException):
    pass


class Ageing(First):
    """Answers by nearest neighbours after the second of four batches, and the first way before and afterwards."""

    meta_trained = True
    age = 0

    def meta_train(self, episodes: TrainingEpisodes) -> None:
        for _ in episodes.batches(episodes.length // 4):
            self.age += 1

    def answer(self, episodes: Episodes) -> Tensor:
        if self.age != 2:
            return super().answer(episodes)
        query, support = (x.flatten(2).float() for x in (episodes.query, episodes.support))
        by_label = episodes.labels.argsort(1)[:, None].expand(-1, query.shape[1], -1)
        return -torch.cdist(query, support).gather(2, by_label)

    def state_dict(self) -> dict[str, Any]:
        return {"age": self.age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.age = state["age"]


@pytest.mark.parametrize(("keep", "age"), [("last", 4), ("best", 2)])
def test_what_is_tested_is_the_last_state_or_the_best(keep: str, age: int) -> None:
    stream, _ = prepared(PROTOTYPES, keep=keep)
    learner, outcome = Ageing(), Outcome()
    run_episodes(stream, learner, outcome)
    assert learner.age == age
    accuracies = [point["accuracy"] for point in outcome.curve]
    assert [accuracies[i] for i in (0, 2, 3)] == [0.5] * 3
    assert accuracies[1] > 0.6
    assert (outcome.matrix[1][0] == 0.5) == (keep == "last")


@pytest.mark.parametrize(("save", "keep"), [(1, "last"), (3, "last"), (7, "best"), (13, "best")])
def test_killed_meta_training_goes_on_to_the_same_bits(
    save: int, keep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = specification_of(PROTOTYPES, keep=keep)
    whole = run_one(specification)
    monkeypatch.setattr(episode_evaluator, "SAVE_EVERY", 0.0)
    checkpoint = Checkpoint(tmp_path / "x.checkpoint")
    saves = 0
    original = Checkpoint.save

    def killing(self: Checkpoint, *arguments: Any) -> None:
        nonlocal saves
        saves += 1
        original(self, *arguments)
        if saves == save:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", killing)
        with pytest.raises(Killed):
            run_one(specification, checkpoint=checkpoint)
    resumed = run_one(specification, checkpoint=checkpoint)
    (place,) = resumed["provenance"]["resumed_at"]
    assert place["episodes"] == 32 * save
    assert comparable(resumed) == comparable(whole)


def test_a_checkpoint_is_due_after_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def ticking() -> float:
        nonlocal now
        now += 25.0  # once when a batch is done, and once more after a save
        return now

    monkeypatch.setattr(time, "monotonic", ticking)
    stream, learner = prepared(PROTOTYPES, episodes=640)
    saved: list[int] = []
    outcome = Outcome()

    def save() -> None:
        assert outcome.training is not None
        saved.append(outcome.training["drawn"])

    run_episodes(stream, learner, outcome, save=save)
    assert saved == [160, 320, 480, 640, 640]


def test_a_loss_that_is_not_finite_ends_the_run_with_its_step() -> None:
    stream, learner = prepared(PROTOTYPES, hyper_parameters={"lr": 1e30})
    with pytest.raises(NonFiniteLossError, match="experience 0, step 1"):
        run_episodes(stream, learner, Outcome())


def test_more_ways_in_training_than_classes_fail_the_run_with_a_sentence(tmp_path: Path) -> None:
    source = Path(PROTOTYPES.partition(":")[0]).read_text("utf-8")
    file = tmp_path / "wide.py"
    file.write_text(source.replace(".batch_size)", ".batch_size, ways=5)"), "utf-8")
    record = run_one(specification_of(f"{file}:Prototypes"))
    said = record["error"]["message"]
    assert said.startswith("an episode of 5 ways needs more than the 4 classes there are (")
    assert "wide.py:" in said


# What may run, and as what.


def test_training_options_are_no_part_of_a_run_that_is_not_trained() -> None:
    hashes = [run_hash(specification_of("nearest", episodes=n, curve=n)) for n in (10, 20)]
    trained = [run_hash(specification_of(PROTOTYPES, episodes=n)) for n in (10, 20)]
    assert hashes[0] == hashes[1]
    assert trained[0] != trained[1]


@pytest.mark.parametrize(
    ("scenario", "strategy", "words"),
    [
        ("class-incremental", PROTOTYPES, "needs training episodes"),
        ("episodic", "metanet-frozen", "needs a base split"),
    ],
)
def test_impossible_pairs_are_skipped_with_a_reason(
    scenario: str, strategy: str, words: str
) -> None:
    _, reason = specify(dataset="digits", scenario=scenario, strategy=strategy)
    assert reason is not None
    assert words in reason


def test_a_meta_learner_without_an_answer_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "silent.py"
    file.write_text(
        "from clbench.gradient import GradientStrategy\n"
        "class Silent(GradientStrategy):\n    meta_trained = True\n",
        "utf-8",
    )
    with pytest.raises(UsageError, match="is meta-trained but does not define answer"):
        specify(dataset="digits", scenario="episodic", strategy=f"{file}:Silent")


def test_a_memory_too_small_for_a_support_set_is_refused() -> None:
    with pytest.raises(UsageError, match="memory_size=5 is too small for a support set of 6"):
        specification_of("nearest", shots=3, hyper_parameters={"memory_size": 5})
