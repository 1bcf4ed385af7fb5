"""Plug-ins that are wrong: one sentence with the file and the line, the right exit code, and the others go on."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clbench.cli import main
from clbench.specify import scenario_class, strategy_class

RUN = ["run", "--scenario", "class-incremental", "-q"]
BAD = '''
"""Plug-ins that are wrong; the comments say which line is to be blamed for what."""
import torch
from clbench import DatasetReader, GradientStrategy, Parameters, Scenario, Strategy


class Base(Strategy):
    def setup(self, info):
        self.info = info

    def learn(self, experience):
        pass

    def predict(self, x, task):
        return torch.zeros(len(x), self.info.classes)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class InSetup(Base):
    def setup(self, info):
        raise KeyError("colour")  # InSetup


class InLearn(Base):
    def learn(self, experience):
        torch.zeros(2) @ torch.zeros(3)  # InLearn


class InPredict(Base):
    def predict(self, x, task):
        return 1 / 0  # InPredict


class Leaves(Base):
    def learn(self, experience):
        raise SystemExit(0)  # Leaves


class Shape(Base):
    def predict(self, x, task):  # Shape
        return torch.zeros(3)


class Nan(Base):
    def predict(self, x, task):  # Nan
        return torch.full((len(x), self.info.classes), torch.nan)


class Infinite(Base):
    def predict(self, x, task):  # Infinite
        return torch.full((len(x), self.info.classes), torch.inf)


class Nothing(Base):
    def predict(self, x, task):  # Nothing
        return torch.full((len(x), self.info.classes), -torch.inf)


class Elsewhere(Base):
    def predict(self, x, task):  # Elsewhere
        return torch.zeros(len(x), self.info.classes, device="meta")


class Whole(Base):
    def predict(self, x, task):  # Whole
        return torch.zeros(len(x), self.info.classes, dtype=torch.int64)


class Array(Base):
    def predict(self, x, task):  # Array
        return torch.zeros(len(x), self.info.classes).numpy()


class Text(Base):
    def memory_bytes(self):  # Text
        return "a lot"


class OnDevice(Base):
    def parameter_count(self):  # OnDevice
        return torch.tensor(3)


class Uncounted(Base):
    def memory_bytes(self):
        raise NotImplementedError  # Uncounted


class NoSteps(Base):  # NoSteps
    def learn(self, experience):
        self.effort.steps = None


class NoSamples(Base):  # NoSamples
    def learn(self, experience):
        self.effort.samples_seen = -1


class NoLoss(GradientStrategy):
    def loss(self, network, batch):  # NoLoss
        network(batch.x)


class EachLoss(GradientStrategy):
    def loss(self, network, batch):  # EachLoss
        return network(batch.x).logsumexp(1)


class ConstantLoss(GradientStrategy):
    def loss(self, network, batch):  # ConstantLoss
        return torch.tensor(1.0)


class NumberLoss(GradientStrategy):
    def loss(self, network, batch):  # NumberLoss
        return 1.0


class InBackward(GradientStrategy):
    def loss(self, network, batch):
        return network(batch.x).sum()

    def penalise(self):
        return 1 / 0  # InBackward


class KeepsFunction(Base):
    def state_dict(self):  # KeepsFunction
        return {"rule": lambda x: x}


class Plain:  # Plain
    pass


class WrongParameters(Base):  # WrongParameters
    class Parameters:
        lr = 1


class InInit(Base):
    def __init__(self, parameters):
        raise ValueError("no such thing")  # InInit


class Bare(Base):
    def __init__(self):  # Bare
        super().__init__(None)


class Forgetful(Base):
    def __init__(self, parameters):  # Forgetful
        self.parameters = parameters


class AfterInit(Base):
    class Parameters(Parameters):
        def model_post_init(self, context):
            raise RuntimeError("no luck")  # AfterInit


class NoFields(GradientStrategy):  # NoFields
    Parameters = Parameters


class OddReason(Base):
    def skip_reason(self, info):  # OddReason
        return False


class BareScenario(Scenario):
    def __init__(self, size):  # BareScenario
        pass

    def plan(self, labels, options, seed):
        return None


class InPlan(Scenario):
    def plan(self, labels, options, seed):
        return [][1]  # InPlan


class NoPlan(Scenario):
    def plan(self, labels, options, seed):  # NoPlan
        return None


class WrongOptions(Scenario):  # WrongOptions
    Options = dict

    def plan(self, labels, options, seed):
        return None


class InRead(DatasetReader):
    def source(self):
        return "nowhere"

    def read(self):
        return {}["x_train"]  # InRead


class NoArrays(DatasetReader):
    def source(self):
        return "somewhere"

    def read(self):  # NoArrays
        return [1, 2]
'''


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of bad plug-ins, in the current folder."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bad.py"
    file.write_text(BAD, "utf-8")
    return file


def place(comment: str) -> str:
    """Return the file and the line that a comment marks."""
    lines = BAD.splitlines()
    return (
        f"(bad.py:{1 + next(i for i, line in enumerate(lines) if line.endswith(f'# {comment}'))})"
    )


FAILING = {
    "InSetup": "KeyError: 'colour'",
    "InLearn": "RuntimeError: ",
    "InPredict": "ZeroDivisionError: division by zero",
    "Leaves": "SystemExit: 0",
    "Shape": "predict must return logits of shape [N, C] = (72, 10), not (3,)",
    "Nan": "predictions became NaN or infinite after 1 experience ",
    "Infinite": "predictions became NaN or infinite after 1 experience ",
    "Nothing": "predictions became NaN or infinite after 1 experience ",
    "Elsewhere": "predict must return logits on cpu, where its images are, not on meta",
    "Whole": "predict must return floating-point logits, not torch.int64",
    "Array": "predict must return logits of shape [N, C] = (72, 10), not ndarray",
    "NoLoss": "loss must return a scalar tensor that depends on the network, not NoneType",
    "EachLoss": "loss must return a scalar tensor that depends on the network, not one of shape (32,)",
    "ConstantLoss": "loss must return a scalar tensor that depends on the network, not one without",
    "NumberLoss": "loss must return a scalar tensor that depends on the network, not float",
    "InBackward": "ZeroDivisionError: division by zero",
    "KeepsFunction": "state_dict must return tensors and plain values: ",
    "Text": "what memory_bytes returns must be an int from 0 on, not 'a lot'",
    "OnDevice": "what parameter_count returns must be an int from 0 on, not tensor(3)",
    "Uncounted": "NotImplementedError",
    "NoSteps": "effort.steps must be an int from 0 on, not None",
    "NoSamples": "effort.samples_seen must be an int from 0 on, not -1",
}


def test_a_run_that_fails_says_where_and_the_others_go_on(
    bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strategies = [word for name in FAILING for word in ("--strategy", f"bad.py:{name}")]
    assert main([*RUN, *strategies, "--strategy", "nearest", "--json"]) == 1
    *failed, nearest = json.loads(capsys.readouterr().out)
    assert nearest["status"] == "ok"
    for cell, (name, sentence) in zip(failed, FAILING.items(), strict=True):
        assert cell["status"] == "failed"
        assert cell["reason"].startswith(sentence)
        assert cell["reason"].endswith(place(name))
        record = json.loads(Path(cell["file"]).read_text("utf-8"))
        assert record["error"]["message"].endswith(place(name))
        assert "Traceback" in record["error"]["traceback"]


@pytest.mark.parametrize(
    ("option", "name", "sentence"),
    [
        ("--strategy", "Plain", "strategy 'bad.py:Plain' is not a subclass of clbench.Strategy"),
        ("--strategy", "WrongParameters", "must be a subclass of clbench.parameters.Parameters"),
        ("--strategy", "InInit", "strategy 'bad.py:InInit' raised ValueError: no such thing"),
        ("--strategy", "Bare", "strategy 'bad.py:Bare': __init__ must take (self, parameters)"),
        ("--strategy", "Forgetful", "__init__ must call super().__init__(parameters)"),
        ("--strategy", "AfterInit", "strategy 'bad.py:AfterInit' raised RuntimeError: no luck"),
        ("--strategy", "NoFields", "must subclass clbench.GradientParameters; these lack network,"),
        ("--strategy", "OddReason", "skip_reason must return a str that says why, or None, not F"),
        ("--scenario", "BareScenario", "__init__ must take (self) "),
        ("--scenario", "Plain", "scenario 'bad.py:Plain' is not a subclass of clbench.Scenario"),
        ("--scenario", "InPlan", "its plan raised IndexError: list index out of range"),
        ("--scenario", "NoPlan", "plan must return a clbench.Plan, not NoneType"),
        ("--scenario", "WrongOptions", "Options must be a subclass of"),
        ("--dataset", "Plain", "dataset 'bad.py:Plain' is not a subclass of clbench.DatasetReader"),
        ("--dataset", "InRead", "dataset 'bad.py:InRead' raised KeyError: 'x_train'"),
        ("--dataset", "NoArrays", "read must return clbench.Arrays, not list"),
    ],
)
def test_what_is_found_before_a_run_exits_2(
    option: str, name: str, sentence: str, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing runs, not even the good ones of the same call, and nothing is written."""
    assert main([*RUN, "--strategy", "nearest", option, f"bad.py:{name}"]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.strip().endswith(place(name))
    assert len(said.err.splitlines()) == 1
    assert not said.out
    assert [path.name for path in bad.parent.iterdir() if path.is_dir()] in ([], ["__pycache__"])


@pytest.mark.parametrize(
    ("source", "name", "sentence"),
    [
        ("class Mine(Strategy):\n    pass\n", "Min", "Did you mean 'Mine'? Allowed: Mine."),
        ("", "Mine", "unknown object in my.py 'Mine'. Allowed: (none)."),
        ("", "", "'my.py:' names a file alone; write my.py:CLASS"),
        (
            "class Mine(GradientStrategy):\n    class Parameters(GradientParameters):\n"
            "        @model_validator(mode='after')\n        def agree(self):\n"
            "            raise ValueError('lr and epochs disagree')\n",
            "Mine",
            "strategy 'my.py:Mine': lr and epochs disagree.",
        ),
    ],
)
def test_what_a_file_does_not_hold_or_its_parameters_refuse(
    source: str, name: str, sentence: str, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imports = "from clbench import GradientParameters, GradientStrategy, Strategy, register\n"
    imports += "from pydantic import model_validator\n"
    bad.with_name("my.py").write_text(imports + source, "utf-8")
    assert main([*RUN, "--strategy", f"my.py:{name}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert said.endswith(f"{sentence}\n")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        ["show", "strategy", "bad.py:Plain"],
        ["show", "scenario", "bad.py:Plain"],
        ["show", "dataset", "bad.py:Plain"],
        ["check", "bad.py:Plain"],
    ],
)
def test_show_and_check_say_it_too(
    command: list[str], bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "is not a subclass of clbench." in said
    assert place("Plain") in said


def test_check_says_where(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "bad.py:InLearn", "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {c["reason"][-len(place("InLearn")) :] for c in checks if c["status"] == "failed"} == {
        place("InLearn")
    }
    assert main(["check", "bad.py:InInit"]) == 2
    assert place("InInit") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("\nimport no_such_module\n", "No module named 'no_such_module' (broken.py:2)"),
        ("x = 1\ndef f(:\n    pass\n", "SyntaxError: invalid syntax (broken.py:2)"),
        ("import sys\n\nsys.exit(3)\n", "SystemExit: 3 (broken.py:3)"),
        ("from clbench import nothing\n", "(broken.py:1)"),
        ("def f():\n    return {}[1]\n\nf()\n", "KeyError: 1 (broken.py:2)"),
    ],
)
def test_a_file_that_fails_to_import_says_where(
    source: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.py").write_text(source, "utf-8")
    for given in (["--plugin", "broken.py"], ["--strategy", "broken.py:Method"]):
        assert main([*RUN, "--strategy", "nearest", *given]) == 2
        said = capsys.readouterr().err
        assert "broken.py fails to import: " in said
        assert sentence in said
        assert len(said.splitlines()) == 1


CLASH = BAD + (
    "\nfrom clbench import register\n\n\n@register('strategies', 'nearest')\nclass Mine(Base):  # Mine\n    pass\n"
)


def clbench(*arguments: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("clbench")
    command = [str(script), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **more)


def test_no_source_is_read_of_what_is_built_in_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding a class's line parses its file, and a grid of a hundred runs asks for its classes hundreds of times."""

    def refuse(thing: Any) -> None:
        raise AssertionError(f"read the source of {thing}")

    monkeypatch.setattr(inspect, "getsourcelines", refuse)
    strategy_class("metanet")
    scenario_class("class-incremental")


def test_a_built_in_wins_its_name_and_a_warning_says_so(tmp_path: Path) -> None:
    """Once, also where workers load the plug-in, too."""
    (tmp_path / "clash.py").write_text(CLASH, "utf-8")
    arguments = ["--strategy", "nearest", "--seeds", "0-1", "--jobs", "2"]
    done = clbench(*RUN, *arguments, "--plugin", "clash.py", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    line = 1 + CLASH.splitlines().index("@register('strategies', 'nearest')")
    assert done.stderr.splitlines() == [
        f"Warning: strategy 'nearest' is built in; the plug-in's (clash.py:{line}) is ignored,"
        " give it another name"
    ]
    record = json.loads(Path(json.loads(done.stdout)[0]["file"]).read_text("utf-8"))
    assert record["specification"]["strategy"]["source"] is None


def test_nothing_of_the_working_folder_is_imported_unless_named(tmp_path: Path) -> None:
    bomb = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n"
    for name in ("strategies", "scenarios", "my_method", "torch", "clbench", "conftest", "json"):
        (tmp_path / f"{name}.py").write_text(bomb, "utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    run = [*RUN, "--strategy", "nearest", "--dry-run"]
    for command in (["list", "--check", "strategies"], run):
        done = clbench(*command, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*.imported")) == []
