"""Runs on episodes in tables: their interval over episodes, and what is comparable."""

from __future__ import annotations

from pathlib import Path

import pytest

from clbench.cli import main
from clbench.compare.comparability import groups
from tests.clbench.compare.records import episodic, record, runs_of, store

OVER_EPISODES = "50.00 (± 0.61 over 1,000 episodes)"


def printed(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["compare", str(folder), *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
def test_one_seed_has_an_interval_over_episodes_and_says_so(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(store(tmp_path, [episodic()]), capsys, "--format", form)
    told = shown.replace(r"\,", "").replace("$\\pm$", "±").replace("\\%", "%")
    assert OVER_EPISODES in told
    assert told.count(OVER_EPISODES) == 1  # of average accuracy alone
    assert "half a 95 % t interval over the test episodes of one run" in " ".join(told.split())


def test_several_seeds_have_an_interval_over_seeds_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(store(tmp_path, [episodic(seed=seed) for seed in range(3)]), capsys)
    assert "50.00 ± 0.00" in shown
    assert "episodes)" not in shown


def test_the_protocol_of_episodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = " ".join(printed(store(tmp_path, [episodic()]), capsys).split())
    assert (
        "Protocol: 5-way 1-shot, 10 queries of a class; 1,000 test episodes; rotations as classes:"
        " train; split by characters; evaluated on test classes." in shown
    )


def test_the_training_length_tells_rows_apart_and_not_tables() -> None:
    runs = runs_of(
        episodic(options={"episodes": 10_000}),
        episodic(options={"episodes": 500}),
        episodic("nearest"),
    )
    (group,) = groups(runs)
    assert [row.label for row in group.rows] == [
        "metanet training.episodes=10000",
        "metanet training.episodes=500",
        "nearest",
    ]
    assert group.title == "toy"


def test_other_episodes_and_other_scenarios_have_tables_of_their_own() -> None:
    found = groups(runs_of(episodic(), episodic(options={"ways": 20}), record()))
    assert [group.title for group in found] == [
        "toy, 2 experiences, memory 20 balanced, several passes",
        "toy, episodic ways=20",
        "toy, episodic ways=5",
    ]
