"""``clbench check``: every built-in passes, every cheat is caught."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clbench.cli import main
from clbench.conformance.checks import CHECKS
from clbench.conformance.toys import SCENARIOS, Subject
from clbench.conformance.verdicts import taken_part_in, verdicts
from clbench.specify import strategy_class
from tests.clbench.conformance.cheats import CHEATS
from tests.toys import STRATEGIES

Capture = pytest.CaptureFixture[str]
FILE = str(Path(__file__).with_name("cheats.py"))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_keeps_its_promises(name: str) -> None:
    subject = Subject(strategy_class(name)[0])
    scenarios, _ = taken_part_in(subject)
    assert scenarios
    found = {
        verdict.name: (verdict.status, verdict.reason) for verdict in verdicts(subject, scenarios)
    }
    assert {name: said for name, said in found.items() if said[0] == "failed"} == {}
    assert len(found) == len(CHECKS)


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_a_cheat_is_caught(cheat: Any) -> None:
    found = {v.name: v for v in verdicts(Subject(cheat), ["class-incremental"])}
    assert found[cheat.caught_by].status == "failed"
    assert found[cheat.caught_by].reason.startswith("class-incremental: ")


def test_every_check_has_a_cheat() -> None:
    """But for the GPU's, which needs one."""
    assert {cheat.caught_by for cheat in CHEATS} == {check.name for check in CHECKS} - {"gpu"}


def test_the_command_prints_a_line_a_check_and_the_reasons(capsys: Capture) -> None:
    assert main(["check", f"{FILE}:WantsTwo"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f"in {', '.join(SCENARIOS)}")
    assert [line for line in lines if line.startswith("FAILED")] == [
        "FAILED   few samples    survives one sample, a class without any, odd batches"
    ]
    told = " ".join(" ".join(lines).split())
    assert "class-incremental: raised IndexError: two samples at least" in told
    assert "cheats.py:" in told


def test_the_command_passes_a_good_one_and_prints_json(capsys: Capture) -> None:
    assert main(["check", "nearest", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["scenarios"] == list(SCENARIOS)
    assert {check["status"] for check in document["checks"]} <= {"ok", "skipped"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "unknown strategy 'nonsense'"),
        (["finetune", "-s", "lr=fast"], "lr"),
        (["finetune", "-s", "lr"], "-s takes key=value"),
        (["nowhere.py:Method"], "does not exist"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], told: str, capsys: Capture) -> None:
    assert main(["check", *arguments]) == 2
    assert told in capsys.readouterr().err
