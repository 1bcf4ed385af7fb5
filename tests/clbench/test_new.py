"""``clbench new``: what it writes works as it is, and it never harms what is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clbench.cli import main

ROOT = Path(__file__).resolve().parent.parent.parent
KINDS = {"strategy": "my-method", "scenario": "my-stream", "dataset": "my-data"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one of each kind."""
    folder = tmp_path_factory.mktemp("new")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for kind, name in KINDS.items():
            assert main(["new", kind, name]) == 0
    return folder


def tool(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_it_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "strategy", "my-method"]) == 0
    said = capsys.readouterr().out
    assert "Wrote my_method.py and test_my_method.py." in said
    assert "clbench check my_method.py:MyMethod" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_method.py", "test_my_method.py"]


@pytest.mark.parametrize("settings", [["--isolated"], ["--config", ROOT / "pyproject.toml"]])
def test_ruff_is_content(settings: list[str | Path], written: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        done = tool("ruff", *command, *settings, "--no-cache", ".", cwd=written)
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_tests_pass_and_need_nothing_of_ours(written: Path) -> None:
    done = tool("pytest", "-q", "-p", "no:cacheprovider", "-W", "error", cwd=written)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_strategy_passes_check(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{written / 'my_method.py'}:MyMethod", "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert len(checked["scenarios"]) == 3
    assert {c["status"] for c in checked["checks"]} <= {"ok", "skipped"}


def test_all_three_run_together_as_built_ins_do(
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Options of its own, help, two workers, a second call, compare and report."""
    monkeypatch.chdir(written)
    run = ["run", "--scenario", "my_stream.py:MyStream", "--dataset", "my_data.py:MyData"]
    run += ["--strategy", "my_method.py:MyMethod", "--strategy", "nearest", "--jobs", "2", "-q"]
    run += ["-S", "keep=0.4", "-S", "experiences=2", "-s", "rehearsal=0.5", "-s", "epochs=1"]
    run += ["--results", str(tmp_path), "--json"]
    assert main(run) == 0
    cells = json.loads(capsys.readouterr().out)
    assert [cell["status"] for cell in cells] == ["ok", "ok"]
    spec = json.loads(Path(cells[0]["file"]).read_text("utf-8"))["specification"]
    assert spec["scenario"]["options"]["keep"] == 0.4
    assert spec["strategy"]["hyper_parameters"]["rehearsal"] == 0.5
    assert len(spec["scenario"]["source"]) == len(spec["strategy"]["source"]) == 16
    assert main(run) == 0
    assert {c["status"] for c in json.loads(capsys.readouterr().out)} == {"found"}

    assert main(["compare", str(tmp_path), "--baseline", "nearest"]) == 0
    assert "my_method.py:MyMethod" in capsys.readouterr().out
    assert main(["report", str(tmp_path), "--output", str(tmp_path / "report.html")]) == 0
    assert "my_stream.py:MyStream" in (tmp_path / "report.html").read_text("utf-8")

    for kind, name in (("scenario", "my_stream.py:MyStream"), ("dataset", "my_data.py:MyData")):
        assert main(["show", kind, name]) == 0
        assert f"my-{'stream' if kind == 'scenario' else 'data'}: " in capsys.readouterr().out
    assert main([*run, "-s", "rehearsal=-1"]) == 2
    assert "rehearsal must be greater than or equal to 0" in capsys.readouterr().err
    assert main([*run, "-S", "keeep=0.4"]) == 2
    assert "Did you mean 'keep'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my method", "needs a letter first"),
        ("3d", "needs a letter first"),
        ("../up", "needs a letter first"),
        ("größe", "needs a letter first"),
        ("", "needs a letter first"),
        ("a" * 31, "30 characters at most"),
        ("class", "a word of Python"),
        ("torch", "hide the installed module torch"),
        ("json", "hide the installed module json"),
        ("gradient-strategy", "needs another GradientStrategy"),
    ],
)
def test_a_name_that_would_not_do_is_refused(
    name: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "strategy", name]) == 2
    said = capsys.readouterr()
    assert f"{name!r} is no valid name: " in said.err
    assert sentence in said.err
    assert not said.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["my_method.py", "test_my_method.py"])
def test_what_is_there_is_left_as_it_is(
    there: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / there).write_text("precious", "utf-8")
    assert main(["new", "strategy", "MyMethod"]) == 2
    assert f"{there} exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text("utf-8") == "precious"
