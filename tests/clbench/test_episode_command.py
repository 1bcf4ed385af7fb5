"""Episodes from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clbench.cli import main

RUN = ["run", "--scenario", "episodic", "-S", "rotations=none", "-S", "test_episodes=60"]
Capture = pytest.CaptureFixture[str]


def test_the_grid_of_baselines_and_their_table(tmp_path: Path, capsys: Capture) -> None:
    names = ("nearest", "finetune", "metanet", "metanet-frozen")
    strategies = [part for name in names for part in ("--strategy", name)]
    options = ["-S", "ways=3", "-S", "shots=2", "-s", "epochs=2", "--results", str(tmp_path)]
    options += ["-S", "episodes=2", "-S", "curve=1", "-s", "network=mlp"]
    assert main([*RUN, *strategies, *options, "--json"]) == 0
    cells = {cell["strategy"]: cell for cell in json.loads(capsys.readouterr().out)}
    assert [cells[name]["status"] for name in names] == ["ok", "ok", "ok", "skipped"]
    record = json.loads(Path(cells["metanet"]["file"]).read_text("utf-8"))
    assert record["budget"]["steps"] == 2
    assert cells["nearest"]["metrics"]["episodes"] == 60
    assert Path(cells["nearest"]["file"]).parent == tmp_path / "digits" / "episodic" / "nearest"
    assert main([*RUN, *strategies[:4], *options]) == 0
    shown = capsys.readouterr().out
    assert "Protocol: 3-way 2-shot, 10 queries of a class; 60 test episodes;" in shown
    assert shown.count("over 60 episodes)") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-S", "ways=6"], "scenario 'episodic': ways=6 is more than the 5 test classes"),
        (["-S", "ways=1"], "greater than or equal to 2"),
        (["-S", "shots=200"], "the dataset's smallest class has 174"),
        (["-S", "split=alphabet"], "split must"),
        (["-S", "experiences=5"], "experiences"),
        (["--eval-every", "5"], "any-time evaluation needs experiences"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str, tmp_path: Path, capsys: Capture) -> None:
    assert main([*RUN, "--strategy", "nearest", *arguments, "--results", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("assigned", "words"),
    [
        (
            "episodes=5",
            "episodes is for streams and does nothing here; the scenario's option is -S",
        ),
        ("memory_size=50", "memory_size is for streams and does nothing here"),
        ("meta_ways=1", "greater than or equal to 2"),
        ("meta_shots=200", "training episodes: 200 shots and 10 queries need more samples"),
        (
            "meta_ways=40",
            "training episodes: an episode of 40 ways needs more than the 5 classes there are",
        ),
    ],
)
def test_what_training_cannot_have_is_refused_before_it_begins(
    assigned: str, words: str, tmp_path: Path, capsys: Capture
) -> None:
    command = [*RUN, "--strategy", "metanet", "-S", "ways=3", "-s", assigned]
    assert main([*command, "--results", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err


def test_meta_training_says_how_far_it_is(tmp_path: Path, capsys: Capture) -> None:
    command = [*RUN, "--strategy", "metanet", "-S", "ways=2", "-S", "episodes=4", "-S", "curve=2"]
    assert main([*command, "-s", "network=mlp", "--results", str(tmp_path)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].split(" (")[0] for line in lines[:2]] == [
        "2 of 4 training episodes",
        "4 of 4 training episodes",
    ]


def test_hyper_parameters_are_chosen_on_validation_classes(tmp_path: Path, capsys: Capture) -> None:
    command = ["tune", *RUN[1:], "--strategy", "finetune", "--vary", "lr=[0.01, 0.1]"]
    options = ["ways=2", "validation_classes=3", "validation=true"]
    command += [part for option in options for part in ("-S", option)]
    assert main([*command, "--seeds", "100", "--results", str(tmp_path)]) == 0
    assert "held-out training data" in capsys.readouterr().out
    found = [json.loads(path.read_text("utf-8")) for path in tmp_path.rglob("*.json")]
    places = [record["specification"]["protocol"]["evaluated_on"] for record in found]
    assert places == ["validation", "validation"]
