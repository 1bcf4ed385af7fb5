"""Episodes that are sequences: what is asked, how it is counted, who can answer."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clbench.episode_evaluator import run_episodes
from clbench.episode_sampler import Episodes
from clbench.episode_stream import EpisodeStream
from clbench.errors import ClbenchError, UsageError
from clbench.evaluator import Outcome
from clbench.grid import Cell
from clbench.present import tables
from clbench.runner import run_one
from clbench.specification import run_hash
from clbench.specify import prepare, specify
from tests.toys import Spy

OPTIONS: dict[str, Any] = {
    "protocol": "presentations",
    "presentations": 4,
    "ways": 3,
    "episodes": 8,
    "test_episodes": 50,
    "curve_episodes": 4,
}
SMALL = {"controller": 8, "slot_size": 4, "slots": 8, "meta_batch": 4}


def specified(**changes: Any) -> tuple[Any, str | None]:
    strategy, hyper = changes.pop("strategy", "mann"), changes.pop("hyper_parameters", SMALL)
    return specify(
        dataset="digits",
        scenario="episodic",
        strategy=strategy,
        options=OPTIONS | changes,
        hyper_parameters=hyper if strategy == "mann" else {},
    )


def stream_of(**changes: Any) -> EpisodeStream:
    stream, _ = prepare(specified(**changes)[0])
    assert isinstance(stream, EpisodeStream)
    return stream


def test_every_class_is_presented_as_often_in_a_random_order() -> None:
    batch = next(stream_of().test_episodes())
    labels = batch.episodes.labels
    assert labels.shape == (32, 12)
    assert batch.episodes.support.shape == (32, 12, 1, 8, 8)
    assert batch.episodes.query.shape[1] == 0
    assert (functional.one_hot(labels).sum(1) == 4).all()
    assert len({tuple(row) for row in labels.tolist()}) > 30


class Remembers(Spy):
    """Right from the second presentation of a class on; names the last class at the first."""

    def present(self, episodes: Episodes) -> Tensor:
        told = functional.one_hot(episodes.labels).float()
        known = (told.cumsum(1) - told).gather(2, episodes.labels[:, :, None]) > 0
        last = torch.tensor([0.0, 0.0, 1.0])
        return torch.where(known, told, last)


def test_accuracy_is_told_by_presentation_and_is_the_mean_of_all_steps() -> None:
    stream, outcome, strategy = stream_of(), Outcome(), Remembers()
    strategy.setup(stream.info)
    run_episodes(stream, strategy, outcome)
    assert outcome.by_presentation == pytest.approx([1 / 3, 1, 1, 1])
    assert outcome.matrix == [[None], [pytest.approx(fmean(outcome.by_presentation))]]
    assert outcome.spread["episodes"] == 50


def test_an_answer_of_a_wrong_shape_is_refused() -> None:
    class Short(Remembers):
        def present(self, episodes: Episodes) -> Tensor:
            return super().present(episodes)[:, 1:]

    stream, strategy = stream_of(), Short()
    strategy.setup(stream.info)
    with pytest.raises(ClbenchError, match="present must return logits"):
        run_episodes(stream, strategy, Outcome())


@pytest.mark.parametrize("kind", ["lrua", "ntm", "lstm"])
def test_no_answer_depends_on_labels_told_later(kind: str) -> None:
    hyper = {"addressing": kind, "controller": 8, "meta_batch": 4}
    specification, _ = specified(hyper_parameters=hyper)
    stream, strategy = prepare(specification)
    assert isinstance(stream, EpisodeStream)
    given = next(stream.test_episodes()).episodes
    others = Episodes(given.info, given.support, given.labels.clone(), given.query)
    others.labels[:, 5:] = (given.labels[:, 5:] + 1) % 3
    differs = (strategy.present(given) != strategy.present(others)).flatten(2).any(2).any(0)
    assert differs.tolist() == [False] * 6 + [True] * 6


def test_the_record_and_the_table_tell_accuracy_by_presentation(tmp_path: Any) -> None:
    specification, _ = specified()
    record = run_one(specification)
    assert record["status"] == "ok", record["error"]
    assert len(record["by_presentation"]) == 4
    mean = record["metrics"]["average_accuracy"]
    assert fmean(record["by_presentation"]) == pytest.approx(mean)
    text = tables([Cell(specification, tmp_path / "a-s0.json", "ok", record=record)])
    assert "3-way sequences, 4 presentations of a class" in text
    assert "Accuracy in % on the first, second … presentation of a class" in text
    assert f"{100 * record['by_presentation'][3]:.1f}" in text


def test_who_does_not_answer_along_a_sequence_is_skipped_with_a_reason() -> None:
    for strategy in ("nearest", "finetune", "metanet"):
        _, reason = specified(strategy=strategy)
        assert reason == "does not answer along a sequence, as protocol=presentations asks"
    assert specified()[1] is None


def test_too_many_presentations_and_presentations_without_the_protocol_are_refused() -> None:
    with pytest.raises(UsageError, match="presentations=500 needs 500 different samples"):
        specified(presentations=500)
    with pytest.raises(UsageError, match="presentations needs protocol=presentations"):
        specified(protocol="shots", presentations=3)


def test_images_are_resized_for_episodes() -> None:
    stream, full = stream_of(size=4), stream_of()
    small = next(stream.test_episodes()).episodes
    large = next(full.test_episodes()).episodes
    assert stream.info.shape == (1, 4, 4)
    assert small.support.shape == (32, 12, 1, 4, 4)
    assert small.support.dtype == large.support.dtype
    assert torch.equal(small.labels, large.labels)
    difference = small.support.float().mean() - large.support.float().mean()
    assert difference.abs() < 0.05 * large.support.float().mean()


def test_specifications_of_before_are_as_they_were() -> None:
    plain = specify(dataset="digits", scenario="episodic", strategy="nearest")[0]
    assert not {"protocol", "presentations", "size"} & set(plain["scenario"]["options"])
    sized = specify(dataset="digits", scenario="episodic", strategy="nearest", options={"size": 4})
    assert run_hash(sized[0]) != run_hash(plain)
