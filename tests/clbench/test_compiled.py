"""What torch compiles of a strategy's network; by a backend that only traces, so that no compiler is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from clbench import results, runner
from clbench.cli import main
from clbench.compiled import InTraining, compile_network, uncompiled_because
from tests.toys import STRATEGIES, make, stream_of, toy_dataset, unprepared

MANN = {
    "controller": 8,
    "slots": 8,
    "slot_size": 8,
    "heads": 1,
    "shots": 1,
    "episodes": 16,
    "meta_batch": 4,
}
# torch looks at gradients of what is none of its leaves, and hides what it says of it unless warnings are errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
RUN = ["run", "--scenario", "class-incremental", "-S", "samples=20", "--strategy"]


def test_a_compiled_network_ends_where_a_plain_one_ends() -> None:
    """Of experiences of two classes and of four: the second one asks more queries at once."""
    stream = stream_of("class-incremental", toy_dataset(train=(21, 12, 20, 23)))
    plain, compiled = (make("mann", stream.info, **MANN) for _ in range(2))
    compile_network(compiled, "eager")
    for strategy in (plain, compiled):
        for index in range(len(stream)):
            for experience in stream.deliver(index):
                strategy.learn(experience)
    expected = plain.state_dict()["network"]
    state = compiled.state_dict()["network"]
    assert list(state) == list(expected)
    for key, value in state.items():
        torch.testing.assert_close(value, expected[key])


def test_only_what_is_learnt_from_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda method, backend: lambda: backend)
    either = InTraining(lambda: "plain", "compiled")
    assert either() == "compiled"
    with torch.no_grad():
        assert either() == "plain"


def test_every_run_of_a_process_is_compiled() -> None:
    """torch gives a method up after so many shapes, those of earlier runs among them."""
    info, compiled = stream_of("class-incremental").info, 0

    def backend(graph: Any, _: Any) -> Any:
        nonlocal compiled
        compiled += 1
        return graph.forward

    with torch._dynamo.config.patch(recompile_limit=2):
        for size in (2, 3, 4, 5):
            strategy: Any = make("mann", info, **MANN)
            compile_network(strategy, backend)
            network = strategy.network
            network.step(torch.zeros(size, 32), network.initial(size))
    assert compiled == 4


def test_who_names_what_is_compiled() -> None:
    named = {n for n in STRATEGIES if uncompiled_because(type(unprepared(n))) is None}
    assert named == {"mann"}


def test_a_run_says_how_it_was_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "compile_network", lambda strategy: None)
    settings = [w for key, value in MANN.items() for w in ("-s", f"{key}={value}")]
    call = [*RUN, "mann", *settings, "-S", "experiences=2", "--compile", "--results", str(tmp_path)]
    assert main(call) == 0
    (file,) = tmp_path.rglob("*-s0.json")
    record = results.read(file)
    assert record is not None
    assert record["provenance"]["execution"] == "alone, compiled"


def test_who_is_not_compiled_runs_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "nearest", "--compile", "--results", str(tmp_path)]) == 0
    assert "nearest takes its steps one operation at a time: it names no method" in " ".join(
        capsys.readouterr().err.split()
    )
    (file,) = tmp_path.rglob("*-s0.json")
    record = results.read(file)
    assert record is not None
    assert record["provenance"]["execution"] == "alone"


def test_what_cannot_be_compiled_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = [*RUN, "mann", "--compile", "--device", "cpu", "--results", str(tmp_path)]
    assert main([*call, "--together", "2"]) == 2
    assert "--compile and --together do not go together" in capsys.readouterr().err
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert main(call) == 2
    assert "no-such-compiler is not here" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.rglob("*.json"))
    nothing = [*RUN, "nearest", "--compile", "--device", "cpu", "--results", str(tmp_path)]
    assert main(nothing) == 0
