"""The checks. Each takes a strategy and a scenario and raises `ViolationError` with what it saw."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clbench.conformance.toys import Subject, answers, last, learnt, pieces, stream_of
from clbench.evaluator import Outcome, run_stream
from clbench.seeds import global_state_of_a_run
from clbench.strategy import Strategy, tensors_in


class ViolationError(Exception):
    """A promise that was not kept; says what was seen."""


@dataclass(frozen=True)
class Check:
    """A promise and how it is checked."""

    name: str
    promise: str
    run: Callable[[Subject, str], None]
    """Of a strategy, in a scenario."""


def require(kept: bool, seen: str) -> None:
    """Raise what was seen unless the promise was kept."""
    if not kept:
        raise ViolationError(seen)


def same(a: Tensor, b: Tensor, seen: str) -> None:
    """Raise what was seen, and by how much, unless two answers have the same bits."""
    if not torch.equal(a, b):
        apart = (a - b).nan_to_num(0, 0, 0).abs().max().item()
        raise ViolationError(f"{seen} (logits differ by up to {apart:.2g})")


def learns(subject: Subject, scenario: str) -> None:
    """Compare learning accuracy with the best constant answer, four standard deviations above it."""
    stream = stream_of(subject, scenario, samples=100)
    strategy, outcome = subject.make(stream.info, small=False), Outcome()
    with global_state_of_a_run(stream.info.seeds.train):
        run_stream(stream, strategy, outcome)
    reached = np.mean([outcome.matrix[task + 1][task] for task in range(len(stream))])
    test = stream.test_set(len(stream))
    shares = [torch.unique(test.y[test.task == t], return_counts=True)[1] for t in (0, 1)]
    constant = float(np.mean([share.max() / share.sum() for share in shares]))
    needed = constant + 4 * math.sqrt(constant * (1 - constant) / len(test.y))
    require(
        bool(reached > needed),
        f"learning accuracy is {100 * reached:.0f} %, a constant answer has {100 * constant:.0f} %;"
        f" above {100 * needed:.0f} % counts as learning",
    )


def deterministic(subject: Subject, scenario: str) -> None:
    """Run twice under one seed."""
    stream = stream_of(subject, scenario)
    first, second = (answers(last(learnt(subject, stream)), stream) for _ in range(2))
    same(first, second, "two runs under the same seed gave different answers")


def leaves_global_state(subject: Subject, scenario: str) -> None:
    """Run, and look at the global generators of Python, numpy and torch."""
    stream = stream_of(subject, scenario)
    before = random.getstate(), str(np.random.get_state())  # noqa: NPY002 (the global one is meant)
    with global_state_of_a_run(0):
        seeded = torch.initial_seed()
        for _ in learnt(subject, stream):
            pass
        require(torch.initial_seed() == seeded, "it seeds torch's global generator")
        strategy = subject.make(stream.info)
        pieces(strategy, stream, 0)
        answers(strategy, stream)
        require(torch.initial_seed() == seeded, "it seeds torch's global generator")
    require(random.getstate() == before[0], "it draws from, or seeds, Python's global generator")
    now = str(np.random.get_state())  # noqa: NPY002
    require(now == before[1], "it draws from, or seeds, numpy's global generator")


def lives_in_its_state(subject: Subject, scenario: str) -> None:
    """Put a fresh one, loaded from `state_dict`, in its place between experiences: as a resumed run does."""
    if not subject.kind.resumable:
        raise NotHereError("it declares that a killed run begins again (resumable)")
    stream = stream_of(subject, scenario)

    def fresh(strategy: Strategy) -> Strategy:
        other = subject.make(stream.info)
        other.load_state_dict(_stored(strategy.state_dict()))
        return other

    whole, swapped = (last(learnt(subject, stream, between)) for between in (_itself, fresh))
    same(
        answers(whole, stream),
        answers(swapped, stream),
        "a fresh object loaded from state_dict() goes on differently: something is kept elsewhere",
    )


def keeps_its_budget(subject: Subject, scenario: str) -> None:
    """Count the bytes of its state: no more exemplars than `memory_size`, and nothing else that grows."""
    stream = stream_of(subject, scenario, samples=60)
    trained, counted = [], []
    for strategy in learnt(subject, stream):
        state = strategy.state_dict()
        of = strategy.trained_keys()
        trained.append(_bytes({k: v for k, v in state.items() if k in of and k != "optimizer"}))
        counted.append(strategy.memory_bytes())
    require(
        trained[0] == trained[-1],
        f"state_dict() entries that count as network ({', '.join(of)}) grew from {trained[0]:,} to"
        f" {trained[-1]:,} bytes",
    )
    if "memory_size" in subject.kind.Parameters.model_fields and strategy.memory is not None:
        one = _bytes(next(stream.deliver(0))[torch.arange(1)].__dict__)
        allowed = (strategy.memory.capacity + 1) * one + _SLACK
        require(
            counted[-1] <= allowed,
            f"it keeps {counted[-1]:,} bytes beside its network;"
            f" {strategy.memory.capacity} exemplars take {allowed:,}",
        )


_SLACK = 4096
"""Bytes for counters and masks beside the exemplars."""


def predict_leaves_no_trace(subject: Subject, scenario: str) -> None:
    """Ask several times between experiences, and not at all: later answers must not differ."""
    stream = stream_of(subject, scenario)
    test = stream.test_set(len(stream))

    def asked(strategy: Strategy) -> Strategy:
        before = _frozen(strategy.state_dict())
        x = test.x.clone()
        told = test.task if stream.info.tells_task else None
        with torch.no_grad():
            first = strategy.predict(x, told)
            require(torch.equal(x, test.x), "predict changes the images that it is given")
            same(first, strategy.predict(x, told), "asked twice, it answers differently")
        require(_frozen(strategy.state_dict()) == before, "predict changes state_dict()")
        return strategy

    often, never = (last(learnt(subject, stream, between)) for between in (asked, _itself))
    seen = "what it learns depends on whether predict was called before: test data reach it"
    same(answers(often, stream), answers(never, stream), seen)


def ignores_its_batch(subject: Subject, scenario: str) -> None:
    """Ask for test samples together, in another order, and alone."""
    stream = stream_of(subject, scenario)
    strategy = last(learnt(subject, stream))
    if strategy.transductive:
        return  # declared, and marked in every table
    whole = answers(strategy, stream)
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
    for rows in (order, order[:7], *order[:12, None]):
        part, expected = answers(strategy, stream, rows).to(whole), whole[rows]
        require(
            torch.allclose(part, expected, atol=1e-4, rtol=1e-4),
            f"logits depend on the other samples of the batch (asked {len(rows)} of {len(whole)});"
            " declare transductive = True if that is meant",
        )


def leaves_training_data(subject: Subject, scenario: str) -> None:
    """Compare an experience's tensors before and after it was learnt."""
    stream = stream_of(subject, scenario)
    with global_state_of_a_run(0):
        strategy = subject.make(stream.info)
        if subject.kind.needs_base:
            pieces(strategy, stream, 0)
        (experience,) = stream.deliver(1)
        before = experience.x.clone(), experience.y.clone()
        strategy.learn(experience)
    kept = torch.equal(experience.x, before[0]) and torch.equal(experience.y, before[1])
    require(kept, "learn changes the experience that it is given")


def needs_what_it_says(subject: Subject, scenario: str) -> None:
    """Count experiences from 7: only a strategy that declares `needs_boundaries` may look at their number."""
    if subject.kind.needs_boundaries:
        return
    stream = stream_of(subject, scenario)

    def run(first: int) -> Tensor:
        with global_state_of_a_run(0):
            strategy = subject.make(stream.info)
            for index in range(len(stream)):
                if index == 0 and subject.kind.needs_base:
                    pieces(strategy, stream, 0)
                    continue
                for experience in stream.deliver(index):
                    strategy.learn(replace(experience, index=index + first))
            return answers(strategy, stream)

    seen = "it uses the experience's number, which it does not declare (needs_boundaries = True)"
    same(run(0), run(7), seen)


def gives_logits(subject: Subject, scenario: str) -> None:
    """Look at the logits before learning and after each experience."""
    stream = stream_of(subject, scenario)
    test = stream.test_set(len(stream))
    shape = (len(test.y), stream.info.classes)

    def look(strategy: Strategy) -> Strategy:
        with torch.no_grad():
            found = strategy.predict(test.x, test.task if stream.info.tells_task else None)
        require(isinstance(found, Tensor), f"predict returns {type(found).__name__}, not a tensor")
        require(found.shape == shape, f"logits have shape {tuple(found.shape)}, not {shape}")
        require(found.is_floating_point(), f"logits are {found.dtype}, not floating point")
        require(found.device.type == stream.info.device.type, f"logits are on {found.device}")
        require(not bool(found.isnan().any()), "logits are NaN")
        return strategy

    with global_state_of_a_run(0):
        look(subject.make(stream.info))
    last(learnt(subject, stream, look))


def survives_few_samples(subject: Subject, scenario: str) -> None:
    """Learn experiences of one sample, so that the other class has none, and of 17: the last batch is odd."""
    for samples in (1, 17):
        stream = stream_of(subject, scenario, samples=samples)
        answers(last(learnt(subject, stream)), stream)


def agrees_on_the_gpu(subject: Subject, scenario: str) -> None:
    """Compare answers of the CPU and of the GPU, within tolerance."""
    if not torch.cuda.is_available():
        raise NotHereError("there is no CUDA device here")
    found = []
    for device in ("cpu", "cuda"):
        stream = stream_of(subject, scenario, device=device)
        found.append(answers(last(learnt(subject, stream)), stream).cpu())
    agreement = (found[0].argmax(1) == found[1].argmax(1)).float().mean().item()
    require(agreement > 0.9, f"only {100 * agreement:.0f} % of the answers agree")


class NotHereError(Exception):
    """A check that cannot be made on this machine; says why."""


CHECKS = (
    Check("learns", "is better than a constant answer right after each task", learns),
    Check("deterministic", "gives the same bits twice under one seed", deterministic),
    Check("global state", "seeds and draws from no global generator", leaves_global_state),
    Check("state", "lives in state_dict() between experiences, and resumes", lives_in_its_state),
    Check("budget", "keeps no more than memory_size exemplars", keeps_its_budget),
    Check("no trace", "predict changes nothing", predict_leaves_no_trace),
    Check("batch", "an answer depends on its own sample alone", ignores_its_batch),
    Check("data", "learn changes no training data", leaves_training_data),
    Check("needs", "uses only what it declares to need", needs_what_it_says),
    Check("logits", "predict returns finite scores [N, C]", gives_logits),
    Check(
        "few samples", "survives one sample, a class without any, odd batches", survives_few_samples
    ),
    Check("gpu", "answers alike on CPU and GPU", agrees_on_the_gpu),
)


def _itself(strategy: Strategy) -> Strategy:
    return strategy


def _stored(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as it comes back from a checkpoint: tensors and plain values alone."""
    file = BytesIO()
    torch.save(state, file)
    file.seek(0)
    try:
        found: dict[str, Any] = torch.load(file, weights_only=True)
    except Exception as error:
        raise ViolationError(
            f"state_dict() holds more than nested dicts and lists of tensors and plain values: {error}"
        ) from error
    return found


def _frozen(state: dict[str, Any]) -> bytes:
    """Return what is equal only for equal states."""
    file = BytesIO()
    torch.save(state, file)
    return file.getvalue()


def _bytes(state: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors_in(state))
