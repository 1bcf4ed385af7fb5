"""A plug-in package, really installed: it comes through the same door as what is built in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installing import install

PACKAGE = Path(__file__).resolve().parent.parent / "sample_package"
RUN = ["run", "--scenario", "sample-pairs", "--dataset", "sample-squares", "-S", "experiences=2"]
RUN += ["--strategy", "sample-coin", "-s", "epochs=2", "-s", "sample-coin.drop=0.2", "--json", "-q"]
WARNING = (
    "Warning: strategy 'finetune' is built in; clbench_sample.coin:Coin of the package"
    " clbench-sample is ignored, give it another name\n"
)
CALLS = """
import contextlib, io, json, sys
from clbench.cli import main

if __name__ == "__main__":  # workers import this, too
    ended = []
    for command in json.loads(sys.argv[1]):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            with contextlib.redirect_stderr(io.StringIO()) as err:
                code = main(command)
        ended.append([code, out.getvalue(), err.getvalue()])
    print(json.dumps(ended))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(PACKAGE, tmp_path_factory.mktemp("package"))


def calls(installed: Path, folder: Path, *commands: list[str]) -> list[tuple[int, str, str]]:
    """Return exit code, stdout and stderr of commands where the package is installed, of one process."""
    (folder / "calls.py").write_text(CALLS, "utf-8")
    done = subprocess.run(
        [sys.executable, "calls.py", json.dumps(commands)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # of workers
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


def test_it_is_listed_and_a_broken_part_breaks_nothing_else(
    installed: Path, tmp_path: Path
) -> None:
    plain = ["list", "strategies", "scenarios", "datasets"]
    listed, checked = calls(installed, tmp_path, plain, ["list", "strategies", "--check", "--json"])
    code, out, err = listed
    assert (code, err) == (0, WARNING)
    assert "A linear classifier with dropout on its pixels" in out
    assert "Two classes at a time" in out
    assert "White squares at four places" in out
    assert "Cannot be imported, and must break nothing else." in out
    code, out, _ = checked
    assert code == 1
    errors = {row["name"]: row["error"] for row in json.loads(out)["strategies"]}
    assert [name for name, error in errors.items() if error] == ["sample-broken"]
    assert "RuntimeError: out of order" in errors["sample-broken"]
    assert "broken.py:3)" in errors["sample-broken"]


def test_it_runs_beside_what_is_built_in(installed: Path, tmp_path: Path) -> None:
    """In two workers, found again, compared, shown, checked."""
    first, again, compared, *shown, checked, broken = calls(
        installed,
        tmp_path,
        [*RUN, "--seeds", "0-1", "--jobs", "2"],
        [*RUN, "--seeds", "0-1", "--strategy", "finetune"],
        ["compare", "results", "--baseline", "finetune"],
        ["show", "strategy", "sample-coin"],
        ["show", "scenario", "sample-pairs"],
        ["show", "dataset", "sample-squares"],
        ["check", "sample-coin"],
        ["check", "sample-broken"],
    )
    assert first[0] == 0, first[2]
    assert first[2] == WARNING
    cells = json.loads(first[1])
    assert [cell["status"] for cell in cells] == ["ok", "ok"]
    specification = json.loads(Path(cells[0]["file"]).read_text("utf-8"))["specification"]
    assert specification["strategy"]["hyper_parameters"]["drop"] == 0.2
    sources = [specification[part]["source"] for part in ("strategy", "scenario")]
    assert all(len(source) == 16 for source in sources)

    cells = json.loads(again[1])
    assert [cell["status"] for cell in cells] == ["found", "found", "ok", "ok"]
    built_in = json.loads(Path(cells[-1]["file"]).read_text("utf-8"))["specification"]["strategy"]
    assert built_in["source"] is None  # and not the package's, which lost its name

    assert compared[0] == 0
    assert "sample-coin" in compared[1]
    words = ["drop = 0.1  (number >= 0, < 1)", "first = 0", "White squares"]
    assert all(word in out for word, (_, out, _) in zip(words, shown, strict=True))
    assert checked[0] == 0, checked[1]
    assert broken[0] == 2
    assert "broken.py:3)" in broken[2]
