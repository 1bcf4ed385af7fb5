"""A user's own strategies and plug-ins for Avalanche, from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clbench.errors import UsageError
from clbench.evaluator import Outcome, run_stream
from clbench.specify import strategy_class
from tests.clbench.avalanche.small import digits

SOURCE = '''
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.supervised import Replay
from avalanche.training.templates import SupervisedTemplate


class Scaled(SupervisedTemplate):
    """The loss times a factor."""

    def __init__(self, *, factor: float = 1.0, **kwargs):
        """Init.

        :param factor: what the loss is multiplied by.
        """
        super().__init__(**kwargs)
        self.factor = factor

    def criterion(self):
        return self.factor * super().criterion()


class Bigger(Replay):
    """Replay with an argument more."""

    def __init__(self, *, seen: list[int] | None = None, **kwargs):
        super().__init__(**kwargs)


class Impossible(SupervisedTemplate):
    def __init__(self, *, teacher: object, **kwargs):
        super().__init__(**kwargs)


class Spy(SupervisedPlugin):
    steps = 0

    def after_training_iteration(self, strategy, **kwargs):
        self.steps += 1


def plugins():
    return [ReplayPlugin(mem_size=30)]


listed = [Spy(), ReplayPlugin(mem_size=20)]
number = 3
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with strategies and plug-ins for Avalanche."""
    path = tmp_path / "own.py"
    path.write_text(SOURCE, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "hyper", "kept"),
    [
        ("Scaled", {"factor": 0.5}, 0),
        ("Bigger", {"memory_size": 25, "seen": [1]}, 25),
        ("plugins", {}, 30),
        ("listed", {}, 20),
    ],
)
def test_own_classes_and_plugins_run(
    file: Path, name: str, hyper: dict[str, object], kept: int
) -> None:
    kind, found = strategy_class(f"avalanche:{file}:{name}")
    assert found.source is not None
    for _ in range(2):  # a second run begins with new plug-ins
        stream = digits()
        strategy = kind(kind.Parameters.parse({"hidden": [8], "epochs": 1, **hyper}, name))
        strategy.setup(stream.info)
        outcome = Outcome()
        run_stream(stream, strategy, outcome)
        assert len(outcome.matrix) == 3
        assert len(strategy.memory or ()) == kept


def test_its_argument_counts(file: Path) -> None:
    kind, _ = strategy_class(f"avalanche:{file}:Scaled")
    weights = []
    for factor in (1.0, 0.0):
        stream = digits()
        strategy = kind(kind.Parameters.parse({"hidden": [8], "factor": factor}, "own"))
        strategy.setup(stream.info)
        (experience,) = stream.deliver(0)
        strategy.learn(experience)
        weights.append(strategy.state_dict()["network"]["classifier.weight"].clone())
    assert not torch.equal(*weights)
    rows = {row["name"]: row for row in kind.Parameters.table()}
    assert rows["factor"]["meaning"] == "what the loss is multiplied by"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("number", "neither a subclass of Avalanche's SupervisedTemplate nor a list of plug-ins"),
        ("Impossible", "argument 'teacher' has no default and a type that no hyper-parameter has"),
        ("Nothing", "unknown object in .* 'Nothing'"),
    ],
)
def test_what_cannot_be_run_is_told(file: Path, name: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        strategy_class(f"avalanche:{file}:{name}")
