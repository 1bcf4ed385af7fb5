"""Mixed precision: what is computed in bfloat16, what stays float32, who is refused, and what a run is called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

import clbench
from clbench.cli import main
from clbench.configuration import Configuration, Grid
from clbench.contract import reason_against
from clbench.errors import UsageError
from clbench.evaluator import Outcome, run_stream
from clbench.expansion import expand
from clbench.gradient import Batch, GradientParameters, GradientStrategy
from clbench.grid import Request, build
from clbench.precision import Precision
from clbench.runner import Execution
from clbench.specification import run_hash
from clbench.specify import prepare, specify
from clbench.strategy import Strategy
from clbench.stream import Stream
from clbench.sweep import Job, grouped
from clbench.words import protocol_line
from tests.toys import STRATEGIES, make, runnable, stream_of, unprepared

ABLE = {"ewc", "finetune", "joint", "l2", "lwf", "mas", "online-ewc", "replay", "si"}
COMMITTED = "62a92a57c2f8"
"""Of a result in results/reference: digits, class-incremental, finetune."""


def stream_in(precision: Precision, scenario: str = "class-incremental", **options: Any) -> Stream:
    """Return a stream that asks for a precision."""
    stream = stream_of(scenario, **options)
    stream.info = replace(stream.info, precision=precision)
    return stream


class Seen:
    """Notes in which type a network's last layer answers, in training and in evaluation."""

    def __init__(self, network: nn.Module) -> None:
        self.types: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
        *_, last = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
        last.register_forward_hook(lambda layer, _, out: self.types[layer.training].add(out.dtype))


# What is computed in what.


@pytest.mark.parametrize("name", sorted(ABLE - {"joint", "lwf"}))
@pytest.mark.parametrize(
    ("precision", "expected"), [("float32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_steps_and_answers_are_computed_in_it_and_all_else_stays_float32(
    precision: Precision, expected: torch.dtype, name: str
) -> None:
    stream = stream_in(precision)
    strategy: Any = make(name, stream.info)
    seen = Seen(strategy.network)
    (experience,) = stream.deliver(0)
    for batch in strategy.lessons(experience):
        assert seen.types[True] <= {expected}
        strategy.step(batch)
    assert seen.types[True] == {expected}
    seen.types[False].clear()  # of importances, which are float32
    with torch.no_grad():
        logits = strategy.predict(stream.test_set(2).x, None)
    assert seen.types[False] == {expected}
    assert logits.dtype == torch.float32
    for parameter in strategy.network.parameters():
        assert parameter.dtype == torch.float32
        state = strategy.optimizer.state[parameter]
        assert {value.dtype for value in state.values()} == {torch.float32}


def test_gradients_are_float32() -> None:
    kept: list[torch.dtype] = []

    class Watcher(GradientStrategy):
        def before_step(self) -> None:
            kept.extend(p.grad.dtype for p in self.network.parameters() if p.grad is not None)

    stream = stream_in("bf16")
    learner = Watcher(GradientParameters.parse({"epochs": 1}, ""))
    learner.setup(stream.info)
    learner.learn(next(stream.deliver(0)))
    assert set(kept) == {torch.float32}


@pytest.mark.parametrize("network", ["mlp", "conv4"])
def test_the_numbers_are_others_but_close(network: str) -> None:
    predicted = []
    for precision in get_args(Precision):
        stream = stream_in(precision)
        strategy = make("finetune", stream.info, network=network, epochs=3)
        strategy.learn(next(stream.deliver(0)))
        predicted.append(strategy.predict(stream.test_set(2).x, None))
    usual, mixed = predicted
    assert not torch.equal(usual, mixed)
    assert (mixed - usual).norm() < 0.3 * usual.norm()  # Adam enlarges what differs


def test_it_learns(tmp_path: Path) -> None:
    found = [
        clbench.run(
            "task-incremental",
            "finetune",
            options={"samples": 150},
            hyper_parameters={"epochs": 5},
            precision=precision,
            device="cpu",
            results=tmp_path,
            quiet=True,
        ).frame["learning_accuracy"]
        for precision in get_args(Precision)
    ]
    usual, mixed = (float(column.iloc[0]) for column in found)
    assert usual > 0.9
    assert abs(mixed - usual) < 0.05


def test_a_base_split_is_learnt_in_it_too() -> None:
    stream = stream_in("bf16", base_classes=2, experiences=1)
    strategy = make("finetune", stream.info)
    seen: list[torch.dtype] = []
    build = strategy.build  # type: ignore[attr-defined]

    def watched(info: Any) -> nn.Module:
        network: nn.Module = build(info)
        network.register_forward_hook(lambda *said: seen.append(said[2].dtype))
        return network

    strategy.build = watched  # type: ignore[attr-defined]
    run_stream(stream, strategy, Outcome())
    assert set(seen) == {torch.bfloat16}


def test_episodes_are_answered_in_it() -> None:
    options = {"ways": 2, "shots": 2, "queries": 2, "test_episodes": 2}
    given: dict[str, Any] = {"dataset": "digits", "scenario": "episodic", "options": options}
    specification, reason = specify(strategy="finetune", precision="bf16", **given)
    assert reason is None
    stream, strategy = prepare(specification)
    assert stream.info.precision == "bf16"
    assert not isinstance(stream, Stream)
    for batch in stream.test_episodes():
        assert batch.episodes.info.precision == "bf16"
        assert strategy.answer(batch.episodes).dtype == torch.float32


# Who can.


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_either_heeds_it_or_says_why_not(name: str) -> None:
    stream = stream_in("bf16")
    if not runnable(name, stream.info):
        return  # it cannot learn this stream in any precision
    reason = reason_against(unprepared(name), stream.info)
    assert (reason is None) == (name in ABLE)
    if reason is None:
        outcome = Outcome()
        run_stream(stream, make(name, stream.info), outcome)
        assert len(outcome.matrix) == 3
    else:
        assert reason.startswith("computes in float32 only; precision bf16 is for")


def test_a_step_of_ones_own_is_refused_and_a_loss_is_not() -> None:
    class OwnStep(GradientStrategy):
        def step(self, batch: Batch) -> None: ...

    class OwnAnswer(GradientStrategy):
        def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
            return super().predict(x, task)

    class OwnLoss(GradientStrategy):
        def loss(self, network: Any, batch: Batch) -> Tensor:
            return 2 * super().loss(network, batch)

    def refused(kind: type[Strategy], precision: Precision) -> bool:
        info = stream_in(precision).info
        return reason_against(kind(GradientParameters.parse({}, "")), info) is not None

    assert [refused(kind, "bf16") for kind in (OwnStep, OwnAnswer, OwnLoss)] == [True, True, False]
    assert not refused(OwnStep, "float32")


def test_who_cannot_is_skipped_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "run --scenario class-incremental --strategy nearest --precision bf16 --json -q"
    assert main([*words.split(), f"--results={tmp_path}"]) == 0
    (cell,) = json.loads(capsys.readouterr().out)
    assert cell["status"] == "skipped"
    assert cell["file"] is None
    assert "computes in float32 only" in cell["reason"]


def test_seeds_are_not_stacked_in_it(tmp_path: Path) -> None:
    stacks = []
    for precision in get_args(Precision):
        request = Request("digits", "class-incremental", "finetune", range(2), precision=precision)
        cells = build([request], tmp_path)
        jobs = [Job(cell.specification, cell.path, tmp_path, Execution()) for cell in cells]
        stacks.append(grouped(jobs, 2))
    assert [len(groups) for groups, _ in stacks] == [1, 2]
    assert "float32 only" in stacks[1][1]["finetune"]


# What a run is called.


def test_float32_runs_keep_their_hash_and_others_have_one_of_their_own() -> None:
    given: dict[str, Any] = {"dataset": "digits", "scenario": "class-incremental"}
    given["hyper_parameters"] = {"lr": 0.003, "epochs": 100, "noise": 0.6}
    hashes = {}
    for precision in get_args(Precision):
        specification, _ = specify(strategy="finetune", precision=precision, **given)
        assert specification["protocol"]["precision"] == precision
        assert (f"; computed in {precision}." in protocol_line(specification)) == (
            precision != "float32"
        )
        assert prepare(specification)[0].info.precision == precision
        hashes[precision] = run_hash(specification)
    assert hashes["float32"] == run_hash(specify(strategy="finetune", **given)[0]) == COMMITTED
    assert hashes["bf16"] != COMMITTED


def test_the_nearer_word_wins() -> None:
    common = Grid.parse(
        {"scenario": "given", "strategy": "finetune", "precision": "bf16"}, "the file"
    )
    configuration = Configuration("file", common, (Grid().over(common),))
    typed = Grid.parse({"precision": "float32"}, "the command line")
    assert [r.precision for r in expand(configuration, Grid())] == ["bf16"]
    assert [r.precision for r in expand(configuration, typed)] == ["float32"]


def test_a_wrong_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", "--scenario", "class-incremental", "--strategy", "finetune"]
    assert main([*words, "--precision", "fp16"]) == 2
    assert "'fp16' is not one of 'float32', 'bf16'" in capsys.readouterr().err
    Path("mine.toml").write_text('precision = "fp16"\n', "utf-8")
    assert main([*words, "--config", "mine.toml"]) == 2
    sentence = "precision must be 'float32' or 'bf16', not 'fp16'."
    assert capsys.readouterr().err == f"Error: mine.toml: {sentence}\n"
    with pytest.raises(UsageError, match=r"^clbench\.run: precision must be 'float32' or 'bf16'"):
        clbench.run("class-incremental", "finetune", precision="fp16")
    with pytest.raises(UsageError, match=r"^unknown precision 'fp16'\. .*bf16, float32\.$"):
        clbench.make_stream("class-incremental", precision="fp16")
    assert not Path("results").exists()
