"""New classes in every episode: N-way K-shot, meta-trained on some classes and tested on others.

Vinyals et al. 2016 (NeurIPS). ``split=characters`` draws the training classes by the order seed: 1,200 of Omniglot's
1,623 (Santoro et al. 2016), else half of the classes. ``split=alphabets`` takes the classes of the first three fifths
of the groups that their names begin with (``alphabet/character``): Omniglot's 30 alphabets of the background set (Lake
et al. 2015). Classes are split first, then rotated: all rotations of one are on the same side.
"""

from __future__ import annotations

from typing import Any

from clbench.class_split import ClassSplitOptions, split_classes
from clbench.episode_plan import EpisodePlan, EpisodeScenario
from clbench.scenario import Labels


class Episodic(EpisodeScenario):
    """Classes held out for test episodes."""

    Options = ClassSplitOptions

    def plan(self, labels: Labels, options: Any, seed: int) -> EpisodePlan:
        """Split the classes."""
        return split_classes(labels, options, seed)
