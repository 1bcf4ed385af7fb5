"""The command line as a user meets it; what needs a process of its own is in a subprocess."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clbench.cli import main

RUN = ["run", "--scenario", "class-incremental"]
QUICK = [*RUN, "--strategy", "finetune", "-s", "epochs=1", "-q"]


def clbench(*arguments: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clbench", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **more)


def results(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["list"],
        ["list", "configs", "--json"],
        ["show", "config", "hsu2018-split-mnist"],
        ["--version"],
        ["new", "strategy", "my-method"],
    ],
)
def test_help_and_list_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from clbench.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'pandas', 'avalanche', 'scipy', 'sklearn', 'seaborn'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    ("typed", "completion"),
    [
        ("--strategy ne", "plain,nearest"),
        ("--config hsu", "plain,hsu2018-split-mnist"),
        ("--config ./my", "file,./my"),
    ],
)
def test_completion_knows_names_without_torch(typed: str, completion: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_CLBENCH_COMPLETE": "bash_complete",
        "COMP_WORDS": f"clbench run {typed}",
        "COMP_CWORD": "3",
    }
    script = Path(sys.executable).with_name("clbench")
    done = subprocess.run(
        [script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert completion in done.stdout.split()


def test_run_end_to_end(tmp_path: Path) -> None:
    """One result with the fixed keys, a readable table on stdout, progress on stderr."""
    done = clbench(*QUICK[:-1], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "average_accuracy: mean of R[T,j]" in done.stdout
    assert "forgetting" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "Protocol: single head" in done.stdout
    assert "after 5" in done.stdout
    assert "experience 5/5" in done.stderr
    (path,) = results(tmp_path / "results")
    assert path.parent == tmp_path / "results/digits/class-incremental/finetune"
    record = json.loads(path.read_text("utf-8"))
    assert set(record) == {
        "status",
        "specification",
        "matrix",
        "metrics",
        "budget",
        "provenance",
    }
    assert set(record["specification"]) == {
        "dataset",
        "scenario",
        "strategy",
        "seed",
        "protocol",
    }
    assert record["status"] == "ok"
    assert len(record["matrix"]) == 6
    assert record["matrix"][0] == [None] * 5
    assert record["budget"]["steps"] > 0


def test_json_prints_one_array_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*QUICK, "--strategy", "nearest", "--seeds", "0-1", "--json"]
    arguments += ["--results", str(tmp_path)]
    assert main(arguments) == 0
    cells = json.loads(capsys.readouterr().out)
    assert [(c["strategy"], c["seed"], c["status"]) for c in cells] == [
        ("finetune", 0, "ok"),
        ("finetune", 1, "ok"),
        ("nearest", 0, "ok"),
        ("nearest", 1, "ok"),
    ]
    assert all(Path(cell["file"]).is_absolute() for cell in cells)
    assert all(0 <= cell["metrics"]["average_accuracy"] <= 1 for cell in cells)


def test_a_second_call_finds_force_repeats_dry_run_plans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*QUICK, "--json", "--results", str(tmp_path / "r")]

    def statuses(*more: str) -> list[str]:
        assert main([*arguments, *more]) == 0
        return [cell["status"] for cell in json.loads(capsys.readouterr().out)]

    assert statuses("--dry-run") == ["planned"]
    assert not (tmp_path / "r").exists()
    assert statuses() == ["ok"]
    (path,) = results(tmp_path)
    before, written = path.read_text("utf-8"), path.stat().st_mtime_ns
    assert statuses() == ["found"]
    assert path.read_text("utf-8") == before
    assert statuses("--seeds", "0-1") == ["found", "ok"]
    assert statuses("--force") == ["ok"]
    again, first = json.loads(path.read_text("utf-8")), json.loads(before)
    assert again["matrix"] == first["matrix"]
    assert path.stat().st_mtime_ns > written


def test_a_damaged_result_is_run_again(tmp_path: Path) -> None:
    arguments = [*QUICK, "--results", str(tmp_path)]
    assert main(arguments) == 0
    (path,) = results(tmp_path)
    path.write_text(path.read_text("utf-8")[:100], "utf-8")
    assert main(arguments) == 0
    assert json.loads(path.read_text("utf-8"))["status"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scenario", "clas-incremental"], "Did you mean 'class-incremental'?"),
        (["--strategy", "fintune"], "Did you mean 'finetune'?"),
        (["--dataset", "digit"], "Did you mean 'digits'?"),
        (["-s", "epoch=1"], "Did you mean 'epochs'?"),
        (["-S", "experience=2"], "Did you mean 'experiences'?"),
        (["-s", "lr=-1"], "lr must be greater than 0, not -1"),
        (["-s", "lr=fast"], "lr must be a valid number, not 'fast'"),
        (["-s", "lr=nan"], "lr must be a finite number"),
        (["-s", "epochs=true"], "epochs must be a valid integer, not True"),
        (["-s", "network=vgg"], "network must be 'auto', 'mlp' or 'conv4', not 'vgg'"),
        (["-s", "lr"], "-s takes key=value"),
        (["-S", "experiences=11"], "at most 10 are possible"),
        (["-S", "experiences=0"], "experiences must be greater than 0"),
        (["-S", "sizes=[4, 2]"], "adds up to 6"),
        (["-S", "class_order=[1, 2]"], "each of the classes"),
        (["-S", "boundaries=false"], "boundaries=false needs online=true"),
        (["-S", "validation=1.5"], "validation must be less than 1"),
        (["-s", "nearest.memory_size=3", "--strategy", "nearest"], "at least 10 is allowed"),
        (["--strategy", "smooth.py"], "write smooth.py:CLASS"),
        (["--seeds", "4-0"], "--seeds"),
        (["--seeds", ""], "--seeds takes numbers and ranges such as 0-4 or 0,2,5-7, not ''"),
        (["--init-seeds", ""], "--init-seeds takes numbers and ranges"),
        (["--seed", "0", "--seeds", "1"], "not both"),
        (["--device", "tpu9"], "try auto or cpu"),
        (["--config", "hsu2018-split-mnits"], "Did you mean 'hsu2018-split-mnist'?"),
        (["--plugin", "missing.py"], "does not exist"),
        (["--plugin", "no_such_module"], "cannot be imported"),
        (["--dataset", "npz"], "needs FILE behind a colon"),
        (["--dataset", "digits:x"], "takes nothing behind a colon"),
        (["--threads", "0"], "0 is not in the range"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, *arguments]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert not said.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "missing"),
    [([], "--scenario"), (["--strategy", "nearest"], "--scenario"), (RUN[1:], "--strategy")],
)
def test_scenario_and_strategy_are_required_without_a_configuration(
    given: list[str], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *given]) == 2
    assert f"give {missing}, or --config" in capsys.readouterr().err


def test_missing_data_exits_1_and_names_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "mine.npz"
    assert main([*QUICK, "--dataset", f"npz:{missing}"]) == 1
    assert str(missing) in capsys.readouterr().err


def test_unwritable_results_exit_1_before_any_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    arguments = [*RUN, "--strategy", "finetune", "-s", "epochs=100000"]
    assert main([*arguments, "--results", str(tmp_path / "file" / "results")]) == 1
    assert "cannot be written to" in capsys.readouterr().err


def test_a_nan_loss_fails_one_run_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*QUICK, "--strategy", "nearest", "--results", str(tmp_path), "--json"]
    bad = ["-s", "optimizer=sgd", "-s", "lr=1e30"]
    assert main([*arguments, *bad]) == 1
    failed, ok = json.loads(capsys.readouterr().out)
    assert (failed["status"], ok["status"]) == ("failed", "ok")
    assert "experience 0, step 1" in failed["reason"]
    record = json.loads(Path(failed["file"]).read_text("utf-8"))
    assert record["error"]["experience"] == 0
    assert record["error"]["step"] == 1
    assert "Traceback" in record["error"]["traceback"]
    assert record["metrics"]["average_accuracy"] is None
    assert main([*arguments, *bad]) == 1  # a failed run is tried again
    assert [c["status"] for c in json.loads(capsys.readouterr().out)] == ["failed", "found"]


def test_the_table_says_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = ["-s", "optimizer=sgd", "-s", "lr=1e30"]
    assert main([*QUICK, *bad, "--results", str(tmp_path)]) == 1
    assert "failed: finetune, seed 0: the loss became NaN" in capsys.readouterr().out


def test_an_impossible_pair_is_skipped_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*RUN, "--strategy", "joint", "-S", "online=true", "-S", "boundaries=false"]
    assert main([*arguments, "--results", str(tmp_path), "-q"]) == 0
    assert "skipped: joint, seed 0: needs boundaries" in capsys.readouterr().out
    assert results(tmp_path) == []


def test_ctrl_c_exits_130_and_leaves_no_half_written_file(tmp_path: Path) -> None:
    arguments = [*RUN, "--strategy", "finetune", "-s", "epochs=1000000"]
    # A background shell hands on an ignored SIGINT, which Python would leave ignored.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from clbench.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "-v"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(6)  # imports done, in the middle of the first experience
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Interrupted" in said
    assert "Traceback" not in said
    assert results(tmp_path) == []


PLUGIN = '''
"""Guesses class 0; a plug-in of the tests."""
import torch
from clbench import Strategy, register


@register("strategies", "guess")
class Guess(Strategy):
    def setup(self, info):
        self.info = info

    def learn(self, experience):
        pass

    def predict(self, x, task):
        return torch.zeros(len(x), self.info.classes, device=x.device)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
'''


@pytest.mark.parametrize("way", ["plugin", "file"])
def test_a_strategy_in_a_file(way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"{way}.py"
    file.write_text(PLUGIN.replace('"guess"', f'"guess-{way}"'), "utf-8")
    named = f"{file}:Guess" if way == "file" else "guess-plugin"
    arguments = [*RUN, "--strategy", named, "--plugin", str(file), "--json", "-q"]
    assert main([*arguments, "--results", str(tmp_path / "r")]) == 0
    (cell,) = json.loads(capsys.readouterr().out)
    assert cell["strategy"] == named
    record = json.loads(Path(cell["file"]).read_text("utf-8"))
    assert len(record["specification"]["strategy"]["source"]) == 16
    assert Path(cell["file"]).is_relative_to(tmp_path / "r")
    assert main(["list", "strategies", "--plugin", str(file)]) == 0
    assert "Guesses class 0" in capsys.readouterr().out


def test_a_broken_plugin_breaks_only_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.py"
    file.write_text("import no_such_module_at_all", "utf-8")
    assert main(["list", "--plugin", str(file)]) == 2
    assert "no_such_module_at_all" in capsys.readouterr().err
    assert main(["list", "--check"]) == 0


def test_list_json_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(clbench("list", "--json", cwd=tmp_path).stdout)  # other tests register here
    assert set(listed) == {"scenarios", "strategies", "datasets", "metrics", "configs"}
    assert all(row["summary"] for rows in listed.values() for row in rows)
    for strategy in [row["name"] for row in listed["strategies"]]:
        assert main(["show", "strategy", strategy]) == 0
    assert main(["show", "strategy", "metanet"]) == 0
    shown = capsys.readouterr().out
    assert "Munkhdalai" in shown
    assert "memory_size = 200  (integer >= 0)" in shown
    for scenario in [row["name"] for row in listed["scenarios"]]:
        assert main(["show", "scenario", scenario]) == 0
    assert main(["show", "metric", "forgeting"]) == 2
    assert "Did you mean 'forgetting'?" in capsys.readouterr().err


def test_spaces_of_spelling_do_not_change_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 and 1.0 are the same value of a float; a default typed out is still the default."""
    arguments = [*QUICK, "--json", "--dry-run", "--results", str(tmp_path)]
    from clbench.assignments import parse_assignment
    from clbench.grid import Request, build

    def path(*settings: str) -> Path:
        given = dict(parse_assignment(s, "-s") for s in settings)
        request = Request("digits", "class-incremental", "finetune", hyper_parameters=given)
        return build([request], tmp_path)[0].path

    assert path("lr=1") == path("lr=1.0")
    assert path("epochs=10") == path()
    assert path("epochs=11") != path()
    assert main(arguments) == 0


BROKEN = '''
"""Strategies that break the contract."""
import torch
from clbench import Strategy


class Base(Strategy):
    def setup(self, info):
        self.info = info

    def learn(self, experience):
        pass

    def predict(self, x, task):
        return torch.zeros(1, self.info.classes)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Shape(Base):
    pass


class Leaves(Base):
    def learn(self, experience):
        raise SystemExit(0)


class Unfinished(Strategy):
    pass


class Vandal(Base):
    def predict(self, x, task):
        seen = x.float().sum()
        x.zero_()
        return torch.zeros(len(x), self.info.classes) + seen
'''


def test_a_strategy_that_breaks_the_contract_fails_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken_strategies.py"
    file.write_text(BROKEN, "utf-8")
    arguments = [*RUN, "--strategy", f"{file}:Shape", "--strategy", f"{file}:Leaves"]
    arguments += ["--strategy", "nearest", "--json", "-q", "--results", str(tmp_path / "r")]
    assert main(arguments) == 1
    shape, leaves, nearest = json.loads(capsys.readouterr().out)
    assert "predict must return logits of shape [N, C]" in shape["reason"]
    assert (leaves["status"], nearest["status"]) == ("failed", "ok")
    assert main([*RUN, "--strategy", f"{file}:Unfinished"]) == 2
    assert "does not define learn, load_state_dict, predict" in capsys.readouterr().err


def test_a_strategy_cannot_change_the_test_set(tmp_path: Path) -> None:
    import torch

    from clbench.evaluator import Outcome, run_stream
    from clbench.specify import prepare, specify
    from clbench.stream import Stream

    file = tmp_path / "vandals.py"
    file.write_text(BROKEN, "utf-8")
    specification, _ = specify(
        dataset="digits", scenario="domain-incremental", strategy=f"{file}:Vandal"
    )
    stream, strategy = prepare(specification)
    assert isinstance(stream, Stream)
    before = stream.test_set(5).x.clone()
    run_stream(stream, strategy, Outcome())
    assert torch.equal(stream.test_set(5).x, before)


def test_sizes_run_as_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `sizes` implies must hold when the specification is read back."""
    arguments = [*RUN, "--strategy", "nearest", "-S", "sizes=[4, 2, 2, 2]", "--json", "-q"]
    assert main([*arguments, "--results", str(tmp_path)]) == 0
    (cell,) = json.loads(capsys.readouterr().out)
    record = json.loads(Path(cell["file"]).read_text("utf-8"))
    assert len(record["matrix"]) == 5
    assert record["specification"]["scenario"]["options"]["experiences"] == 4
