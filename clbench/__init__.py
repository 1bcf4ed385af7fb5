"""clbench: continual-learning benchmarks that compare honestly.

The public names below are loaded on first use, so that ``import clbench`` imports neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clbench.api import read as read
    from clbench.api import run as run
    from clbench.avalanche import from_avalanche as from_avalanche
    from clbench.avalanche import to_avalanche as to_avalanche
    from clbench.base_split import Base as Base
    from clbench.dataset import Arrays as Arrays
    from clbench.dataset import DatasetReader as DatasetReader
    from clbench.episode_sampler import EpisodeBatch as EpisodeBatch
    from clbench.episode_sampler import Episodes as Episodes
    from clbench.episode_stream import TrainingEpisodes as TrainingEpisodes
    from clbench.episodic import EpisodicParameters as EpisodicParameters
    from clbench.episodic import EpisodicStrategy as EpisodicStrategy
    from clbench.evaluation import Evaluation as Evaluation
    from clbench.evaluation import evaluate as evaluate
    from clbench.evaluation import make_stream as make_stream
    from clbench.experience import Experience as Experience
    from clbench.experience import StreamInfo as StreamInfo
    from clbench.gathered import Comparison as Comparison
    from clbench.gathered import Results as Results
    from clbench.gradient import Batch as Batch
    from clbench.gradient import GradientParameters as GradientParameters
    from clbench.gradient import GradientStrategy as GradientStrategy
    from clbench.memory import Memory as Memory
    from clbench.meta_training import MetaTrainingParameters as MetaTrainingParameters
    from clbench.parameters import Parameters as Parameters
    from clbench.registry import register as register
    from clbench.runner import run_one as run_one
    from clbench.scenario import Plan as Plan
    from clbench.scenario import Scenario as Scenario
    from clbench.strategy import MemoryParameters as MemoryParameters
    from clbench.strategy import Strategy as Strategy

__version__ = "0.1.0"

_HOME = {
    "run": "clbench.api",
    "read": "clbench.api",
    "Results": "clbench.gathered",
    "evaluate": "clbench.evaluation",
    "make_stream": "clbench.evaluation",
    "Evaluation": "clbench.evaluation",
    "Comparison": "clbench.gathered",
    "Arrays": "clbench.dataset",
    "Base": "clbench.base_split",
    "Batch": "clbench.gradient",
    "DatasetReader": "clbench.dataset",
    "Experience": "clbench.experience",
    "EpisodeBatch": "clbench.episode_sampler",
    "Episodes": "clbench.episode_sampler",
    "EpisodicParameters": "clbench.episodic",
    "EpisodicStrategy": "clbench.episodic",
    "GradientParameters": "clbench.gradient",
    "GradientStrategy": "clbench.gradient",
    "MemoryParameters": "clbench.strategy",
    "Memory": "clbench.memory",
    "MetaTrainingParameters": "clbench.meta_training",
    "Parameters": "clbench.parameters",
    "Plan": "clbench.scenario",
    "Scenario": "clbench.scenario",
    "Strategy": "clbench.strategy",
    "StreamInfo": "clbench.experience",
    "from_avalanche": "clbench.avalanche",
    "register": "clbench.registry",
    "TrainingEpisodes": "clbench.episode_stream",
    "run_one": "clbench.runner",
    "to_avalanche": "clbench.avalanche",
}
__all__ = [*_HOME, "__version__"]  # noqa: PLE0604

# In a checkout that is not installed in editable mode (`python -m pytest` in the clone), the mapped
# packages `clbench.configs`, `clbench.scenarios` and `clbench.strategies` are found beside this folder.
_root = _Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "strategies" / "__init__.py").is_file():
    __path__ += [str(_root), str(_root / "results")]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'clbench' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
