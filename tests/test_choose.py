"""`results/choose.py`: a trial that fails does not cost the others."""

from __future__ import annotations

import json
import subprocess
from types import ModuleType
from typing import Any

import click
import pytest

from tests.test_build import script


@pytest.fixture
def choose() -> ModuleType:
    return script("choose")


def said(monkeypatch: pytest.MonkeyPatch, code: int, chosen: dict[str, Any] | None) -> None:
    """Let `clbench tune` end so."""
    document = json.dumps({"trials": [{"settings": {}, "score": None}], "chosen": chosen})
    ended = subprocess.CompletedProcess([], code, document.encode())

    def run(*_: Any, check: bool, **__: Any) -> subprocess.CompletedProcess[bytes]:
        if check:
            ended.check_returncode()
        return ended

    monkeypatch.setattr(subprocess, "run", run)


def tune(choose: ModuleType) -> Any:
    table = {"dataset": "digits", "seeds": "100", "options": {}}
    return choose.tune(table, "class-incremental", "mer", {"vary": {"lr": [0.1, 1e9]}}, "results")


def test_a_failed_trial_is_one_that_is_not_chosen(
    choose: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(monkeypatch, 1, {"lr": 0.1})
    assert tune(choose)["chosen"] == {"lr": 0.1}


def test_nothing_is_written_where_nothing_was_chosen(
    choose: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(monkeypatch, 1, None)
    with pytest.raises(click.ClickException, match="every trial of mer on class-incremental"):
        tune(choose)
    said(monkeypatch, 2, None)
    with pytest.raises(subprocess.CalledProcessError):
        tune(choose)
