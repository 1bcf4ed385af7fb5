"""The command of a specification makes that specification again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from clbench.cli import main
from clbench.compare.collection import Run
from clbench.evaluator import Anytime
from clbench.report.commands import command
from clbench.seeds import Seeds
from clbench.specification import result_path
from clbench.specify import specify
from tests.clbench.compare.records import record, runs_of

SETTINGS: dict[str, dict[str, Any]] = {
    "a meta-learner": {
        "scenario": "class-incremental",
        "strategy": "metanet",
        "hyper_parameters": {"temperature": 0.1, "hidden": [32, 16]},
    },
    "sizes and a small number": {
        "scenario": "class-incremental",
        "strategy": "replay",
        "options": {"sizes": [4, 6]},
        "hyper_parameters": {"lr": 1e-5, "memory_policy": "reservoir"},
    },
    "a shift, online": {
        "scenario": "domain-incremental",
        "strategy": "finetune",
        "options": {"shift": "rotated", "online": True},
    },
    "another order seed, any-time": {
        "scenario": "task-incremental",
        "strategy": "joint",
        "seeds": {"order": 4},
        "anytime": Anytime(50, 20),
    },
    "mixed precision": {
        "scenario": "task-incremental",
        "strategy": "finetune",
        "precision": "bf16",
    },
}


@pytest.mark.parametrize("name", SETTINGS)
def test_round_trip(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dataset, options, settings and seeds give the very paths of the result files, hashes and all."""
    runs, paths = [], []
    for seed in (0, 1, 3):
        specification, _ = specify(dataset="digits", seed=seed, **SETTINGS[name])
        paths.append(result_path(tmp_path, specification))
        stored = json.loads(json.dumps(specification))
        seeds = Seeds.of(seed, **specification["protocol"]["named_seeds"])
        runs.append(Run(paths[-1], {"specification": stored}, seeds))
    told = command(runs)
    assert told.startswith("clbench run --dataset digits --scenario ")
    assert "--seeds 0-1,3 " in told
    words = shlex.split(told)[1:]
    assert main([*words, "--dry-run", "--results", str(tmp_path)]) == 0
    planned = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert planned == [str(path) for path in paths]


def test_a_shell_reads_every_name_as_one_word() -> None:
    trap = "x; rm -rf ~ $(id) `id` 'a' \"b\""
    told = command(runs_of(record(trap, hyper_parameters={"a": trap, "b": "true"})))
    words = shlex.split(told)
    assert trap in words
    assert 'b="true"' in words
    assert ";" not in words
