"""``clbench compare`` as a user meets it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from clbench.cli import main
from tests.clbench.compare.records import record, store

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a folder with three seeds of two strategies."""
    records = [
        record(strategy, seed, (0.9, first + seed / 100, 0.8))
        for strategy, first in (("replay", 0.7), ("nearest", 0.6))
        for seed in range(3)
    ]
    return store(tmp_path / "results", records)


def clbench(*arguments: object, code: int = 0) -> None:
    assert main(["compare", *map(str, arguments)]) == code


def test_a_table_of_the_default_folder(
    results: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results.parent)
    clbench("--baseline", "nearest")
    shown = capsys.readouterr()
    assert shown.out.startswith("toy, 2 experiences, memory 20 balanced, several passes\n")
    assert "Difference to nearest" in shown.out
    assert "learning accuracy" not in shown.err
    assert shown.err == ""


def test_the_default_folder_is_that_of_the_environment(
    results: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "mine", [record("joint")])
    monkeypatch.setenv("CLBENCH_RESULTS", str(tmp_path / "mine"))
    clbench()
    assert "joint" in capsys.readouterr().out
    clbench(results)
    assert "joint " not in capsys.readouterr().out
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLBENCH_RESULTS", "~/mine")
    clbench()
    assert "joint" in capsys.readouterr().out


def test_help_and_the_comparison_import_nothing_heavy(results: Path) -> None:
    """Neither torch nor pandas nor scipy.stats is needed, so the table is there at once."""
    for arguments, heavy in (
        (["--help"], {"numpy", "pydantic", "scipy"}),
        ([str(results)], {"torch", "pandas", "scipy.stats", "avalanche"}),
    ):
        code = (
            "import sys; from clbench.cli import main; code = main(['compare', *sys.argv[1:]]);"
            f"heavy = {heavy} & set(sys.modules);"
            "sys.exit(f'imported {heavy}' if heavy else code)"
        )
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_forgetting_is_never_alone_and_other_libraries_are_asked(
    results: Path, capsys: Capture
) -> None:
    clbench(results, "--metric", "forgetting", "--forgetting-as", "mammoth", "--format", "csv")
    lines = capsys.readouterr().out.splitlines()
    metrics = {line.split('",')[1].split(",")[2] for line in lines[1:]}
    assert {"forgetting", "forgetting_as_mammoth", "learning_accuracy"} <= metrics
    assert "average_accuracy" not in metrics


@pytest.mark.parametrize(
    ("kind", "beginning"),
    [
        ("table", "toy, 2 experiences"),
        ("markdown", "### toy"),
        ("latex", r"% Needs \usepackage{booktabs}."),
        ("csv", "table,setting,"),
        ("json", "{\n"),
    ],
)
def test_every_format_to_a_file(
    results: Path, tmp_path: Path, capsys: Capture, kind: str, beginning: str
) -> None:
    target = tmp_path / "new" / "comparison"
    clbench(results, "--format", kind, "--output", target)
    assert capsys.readouterr().out == ""
    assert target.read_text("utf-8").startswith(beginning)
    assert [path.name for path in target.parent.iterdir()] == ["comparison"]
    clbench(results, "--format", kind)
    assert capsys.readouterr().out == target.read_text("utf-8")


def test_what_is_left_out_is_said_and_strict_refuses(
    results: Path, tmp_path: Path, capsys: Capture
) -> None:
    (results / "package.json").write_text('{"name": "x\x7f"}')
    store(results / "copy", [record("replay", 0, (0.9, 0.5, 0.8))])
    clbench(results)
    said = capsys.readouterr().err
    assert f"Left out {results / 'package.json'}: not a result: status: field required" in said
    assert "Left out 1 JSON file in all." in said
    assert "Found more than once and counted once, the newest: 1 run." in said
    assert "Of these, files with different numbers: 1 run." in said
    target = tmp_path / "table.txt"
    clbench(results, "--strict", "--output", target, code=1)
    assert "Error: --strict: 1 JSON file left out" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["{}", "--metric", "acuracy"], 2, "unknown metric 'acuracy'"),
        (["{}", "--baseline", "nearst"], 2, "Did you mean 'nearest'"),
        (["{}", "--format", "excel"], 2, "'excel' is not one of"),
        (["{}", "--forgetting-as", "nobody"], 2, "'nobody' is not one of"),
        (["{}", "--plugin", "nowhere.py"], 2, "does not exist"),
        (["{}/nowhere"], 1, "does not exist"),
        (["{}/empty"], 1, "no results below"),
    ],
)
def test_wrong_usage_and_nothing_to_compare(
    results: Path, capsys: Capture, arguments: list[str], code: int, sentence: str
) -> None:
    (results / "empty").mkdir()
    clbench(*[argument.format(results) for argument in arguments], code=code)
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_a_plug_in_is_loaded(results: Path, tmp_path: Path, capsys: Capture) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text("raise RuntimeError('here I am')")
    clbench(results, "--plugin", plugin, code=2)
    assert "here I am" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["folder", "pipe", "file/below"])
def test_an_output_that_cannot_be_written(
    results: Path, tmp_path: Path, capsys: Capture, target: str
) -> None:
    """A pipe stands for devices: a rename would replace them by a file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    os.mkfifo(tmp_path / "pipe")
    clbench(results, "--output", tmp_path / target, code=1)
    assert f"cannot write {tmp_path / target}" in capsys.readouterr().err
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "file").read_text() == "old"


def test_a_full_disk_leaves_the_old_file(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "table.json"
    target.parent.mkdir()
    target.write_text("old")

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    command = [sys.executable, "-m", "clbench", "compare", str(results)]
    command += ["--format", "json", "--output", str(target)]
    done = subprocess.run(
        command, preexec_fn=little_room, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"cannot write {target}: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in target.parent.iterdir()] == ["table.json"]
    assert target.read_text() == "old"


def test_results_are_only_read(results: Path, capsys: Capture) -> None:
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    clbench(results, "--format", "json")
    assert json.loads(capsys.readouterr().out)["tables"]
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
