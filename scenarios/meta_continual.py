"""Two problems of episodes in turn: what a meta-learner of both still knows of the first, whose weights rest meanwhile.

Munkhdalai & Yu 2017 (ICML), section 4.2.3: Omniglot, then MNIST under 50 pixel permutations (500 classes). Each problem
has weights of its own; only the meta weights are shared, and the first problem's test episodes, always the same ones,
are asked while the second is learnt. The first problem is as in the scenario ``episodic``.
"""

from __future__ import annotations

from typing import Any

from clbench.class_split import ClassSplitOptions, split_classes
from clbench.episode_plan import EpisodePlan, EpisodeScenario
from clbench.problem_stream import ProblemOptions
from clbench.scenario import Labels


class MetaContinualOptions(ClassSplitOptions, ProblemOptions):
    """Options of both problems."""


class MetaContinual(EpisodeScenario):
    """Classes of the first dataset held out for its test episodes."""

    Options = MetaContinualOptions

    def plan(self, labels: Labels, options: Any, seed: int) -> EpisodePlan:
        """Split the first problem's classes."""
        return split_classes(labels, options, seed)
