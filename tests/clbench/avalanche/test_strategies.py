"""Avalanche's strategies under our evaluator."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clbench.checkpoint import Checkpoint
from clbench.cli import main
from clbench.errors import ClbenchError, UsageError
from clbench.evaluator import Outcome, run_stream
from clbench.experience import masked
from clbench.runner import run_one
from clbench.specify import specify, strategy_class
from clbench.strategy import Strategy
from clbench.stream import Stream
from tests.clbench.avalanche.small import digits, prepared, unprepared
from tests.toys import SCENARIOS, make

RUNNING = (
    *("AGEM", "CWRStar", "CoPE", "Cumulative", "DER", "ER_ACE", "ER_AML", "EWC", "FeatureReplay"),
    *("FromScratchTraining", "GDumb", "GEM", "GSS_greedy", "GenerativeReplay", "ICaRL", "LFL"),
    *("LwF", "MAS", "MER", "MIR", "Naive", "PNNStrategy", "PackNet", "Replay", "SCR"),
    *("StreamingLDA", "SynapticIntelligence"),
)
NOT_RUNNING = {
    "AETraining": "autoencoder",
    "AR1": "MobileNet",
    "BiC": r"MultiStepLR\(verbose=",
    "ExpertGateStrategy": "AlexNet",
    "JointTraining": "all experiences at once",
    "LearningToPrompt": "vision transformer",
    "VAETraining": "generator",
}


def run(strategy: Strategy, stream: Stream) -> list[Any]:
    """Return the matrix."""
    outcome = Outcome()
    run_stream(stream, strategy, outcome)
    return outcome.matrix


def test_every_class_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    from clbench.avalanche.kinds import classes

    assert main(["show", "strategy", "avalanche"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in RUNNING)
    assert sorted(classes()) == sorted([*RUNNING, *NOT_RUNNING])


def test_a_class_that_cannot_run_says_why_whatever_is_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "run --scenario class-incremental --strategy avalanche:BiC -s epochs=2"
    main([*words.split(), f"--results={tmp_path}", "--json"])
    (cell,) = json.loads(capsys.readouterr().out)
    assert cell["status"] == "skipped"
    assert re.search(NOT_RUNNING["BiC"], cell["reason"])


@pytest.mark.parametrize("name", sorted([*RUNNING, *NOT_RUNNING]))
def test_every_class_runs_or_says_why_not(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name in NOT_RUNNING:
        reason = unprepared(name).skip_reason(digits().info)
        assert reason is not None
        with pytest.raises(AssertionError, match=NOT_RUNNING[name]):
            raise AssertionError(reason)
        assert main(["show", "strategy", f"avalanche:{name}"]) == 0
        assert "It cannot run: it " in capsys.readouterr().out
        return
    runs = 0
    for scenario in SCENARIOS:
        stream = digits(scenario)
        if unprepared(name).skip_reason(stream.info):
            continue
        strategy = prepared(name, stream)
        matrix = run(strategy, stream)
        for learnt, row in enumerate(matrix):
            defined = [value for value in row if value is not None]
            assert len(defined) == stream.defined_tasks(learnt)
            assert all(0 <= value <= 1 for value in defined)
        assert strategy.effort.steps > 0
        assert strategy.memory_bytes() >= 64 * len(strategy.memory or ())
        runs += 1
    assert runs == {"ICaRL": 2, "PNNStrategy": 1, "PackNet": 1}.get(name, 3)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Naive", 0),
        ("Replay", 100),
        ("AGEM", 100),
        ("GEM", 100),
        ("ICaRL", 98),
        ("Cumulative", 120),
    ],
)
def test_exemplars_are_counted(name: str, kept: int) -> None:
    stream = digits()
    strategy = prepared(name, stream)
    run(strategy, stream)
    assert strategy.memory is not None
    assert len(strategy.memory) == kept


def test_importances_and_old_parameters_are_counted() -> None:
    stream = digits()
    strategy = prepared("EWC", stream)
    run(strategy, stream)
    # Importances of two experiences, parameters after the last one or two.
    assert prepared("Naive", stream).memory_bytes() == 0
    assert strategy.memory_bytes() >= 3 * 4 * strategy.parameter_count()


def test_samples_that_were_replayed_are_counted() -> None:
    stream = digits()
    naive, replay = prepared("Naive", stream), prepared("Replay", stream)
    run(naive, stream)
    run(replay, stream)
    assert naive.effort.samples_seen == 120
    assert naive.effort.steps == 12
    assert replay.effort.samples_seen == 180


def test_replay_beats_naive_by_thirty_points() -> None:
    stream = digits(experiences=5, samples=150)
    finals = []
    for name in ("Naive", "Replay"):
        strategy = prepared(name, stream, hidden=[64], epochs=8, lr=0.005)
        finals.append(np.mean(run(strategy, stream)[-1]))
    assert finals[1] - finals[0] >= 0.3


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_naive_is_our_finetune(scenario: str, optimizer: str) -> None:
    """From the same weights and batches (an epoch is one batch) the logits agree."""
    stream = digits(scenario, experiences=3)
    hyper = {"hidden": [16], "epochs": 5, "batch_size": 60, "optimizer": optimizer, "lr": 0.01}
    both = [make("finetune", stream.info, **hyper), prepared("Naive", stream, **hyper)]
    test, logits = stream.test_set(3), []
    for strategy in both:
        run(strategy, stream)
        with torch.no_grad():
            told = test.task if stream.info.tells_task else None
            logits.append(strategy.predict(test.x, told))
    torch.testing.assert_close(logits[1], logits[0], atol=1e-4, rtol=1e-4)


def test_the_loss_of_an_exemplar_is_masked_to_its_task() -> None:
    from clbench.avalanche.strategy import MaskedCrossEntropy

    stream = digits("task-incremental")
    criterion = MaskedCrossEntropy(stream.info)
    experiences = [part for index in range(2) for part in stream.deliver(index)]
    for experience in experiences:
        criterion.admit(experience)
    logits = torch.randn(120, 10, generator=torch.Generator().manual_seed(0))
    y = torch.cat([experience.y for experience in experiences])
    masks = torch.cat([experience.mask.expand(60, -1) for experience in experiences])
    expected = torch.nn.functional.cross_entropy(masked(logits, masks), y)
    torch.testing.assert_close(criterion(logits, y), expected)


@pytest.mark.parametrize("name", ["Replay", "AGEM", "GenerativeReplay"])
def test_a_run_neither_changes_nor_reads_global_randomness(name: str) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (it is the global state that must stay)
        before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
        stream = digits()
        strategy = prepared(name, stream)
        matrix = run(strategy, stream)
        test = stream.test_set(2)
        found.append((matrix, strategy.predict(test.x, None).detach().numpy().tobytes()))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert random.getstate() == before[1]
        assert str(np.random.get_state()) == before[2]  # noqa: NPY002
    assert found[0] == found[1]


def test_predicting_in_the_midst_of_training_changes_nothing() -> None:
    finals = []
    for watched in (False, True):
        stream = digits()
        strategy = prepared("Replay", stream)
        test = stream.test_set(1)
        if watched:
            strategy.on_step = lambda: (strategy.predict(test.x, None), None)[1]  # noqa: B023
        run(strategy, stream)
        finals.append(strategy.predict(test.x, None))
    assert torch.equal(*finals)


def test_no_checkpoint_is_written(tmp_path: Path) -> None:
    hyper = {"hidden": [8], "epochs": 1}
    specification, reason = specify(
        dataset="digits",
        scenario="class-incremental",
        strategy="avalanche:Naive",
        options={"samples": 20},
        hyper_parameters=hyper,
    )
    assert reason is None
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    record = run_one(specification, checkpoint=checkpoint)
    assert record["status"] == "ok", record.get("error")
    assert not checkpoint.path.exists()


def test_a_loss_that_becomes_nan_is_told_as_ever() -> None:
    specification, _ = specify(
        dataset="digits",
        scenario="class-incremental",
        strategy="avalanche:GEM",
        options={"samples": 40},
        hyper_parameters={"lr": 1e30, "optimizer": "sgd", "epochs": 2},
    )
    record = run_one(specification)
    assert record["status"] == "failed"
    assert record["error"]["type"] == "NonFiniteLossError"
    assert record["error"]["experience"] == 0


@pytest.mark.parametrize(
    ("name", "hyper", "sentence"),
    [
        ("EWC", {"ewc_lamda": 1}, "Did you mean 'ewc_lambda'.*Allowed: batch_size, decay_factor"),
        ("EWC", {"ewc_lambda": "much"}, "ewc_lambda must be a valid number, not 'much'"),
        ("EWC", {}, "ewc_lambda: Field required"),
        ("Replay", {"mem_size": 10}, "Did you mean 'memory_size'"),
        ("LwF", {"alpha": 1, "temperature": 2, "lr": 0}, "lr must be greater than 0"),
    ],
)
def test_wrong_arguments_are_told(name: str, hyper: dict[str, Any], sentence: str) -> None:
    kind, _ = strategy_class(f"avalanche:{name}")
    with pytest.raises(UsageError, match=sentence):
        kind.Parameters.parse(hyper, name)


@pytest.mark.parametrize(
    ("name", "hyper", "sentence"),
    [
        (
            "ER_AML",
            {"memory_size": 29},
            "memory_size must be at least batch_size · 10 classes = 30",
        ),
        ("GSS_greedy", {"memory_size": 19}, "memory_size must be at least 2 · batch_size = 20"),
        ("FeatureReplay", {"memory_size": 9}, "at least batch_size_mem"),
        ("PackNet", {"post_prune_epochs": 2}, "post_prune_epochs must be less than the 2 epochs"),
        ("PackNet", {"network": "conv4"}, "network must be mlp"),
    ],
)
def test_what_would_hang_or_crash_is_refused(
    name: str, hyper: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        prepared(name, digits("task-incremental"), **hyper)


def test_what_would_wait_for_a_batch_of_one_class_for_ever_fails() -> None:
    stream = digits()
    strategy = prepared("ER_AML", stream, batch_size=10)
    with pytest.raises(ClbenchError, match="waits for ever for a batch of one class"):
        run(strategy, stream)


def test_misspelt_classes_are_told() -> None:
    with pytest.raises(UsageError, match=r"unknown strategy of Avalanche 'EWK'\. Did you mean"):
        strategy_class("avalanche:EWK")
    with pytest.raises(UsageError, match="'avalanche' needs NAME behind a colon"):
        strategy_class("avalanche")


def test_show_tells_arguments_and_quirks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "strategy", "avalanche:Replay"]) == 0
    shown = capsys.readouterr().out
    assert "memory_size = 200  (integer > 0)" in shown
    assert "batch_size replayed samples" in shown
    assert "hidden = [64, 64]" in shown


def test_on_a_cpu_their_si_has_no_importances() -> None:
    """What `show` says of it; once this fails, Avalanche has mended it."""
    stream = digits()
    strategy = prepared("SynapticIntelligence", stream)
    run(strategy, stream)
    (plugin,) = (p for p in strategy.learner.plugins if hasattr(p, "syn_data"))
    assert len(plugin.ewc_data[1]) > 0
    assert not any(importance.data.any() for importance in plugin.ewc_data[1].values())
