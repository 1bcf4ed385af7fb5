"""A plug-in for tests: a prototype network (Snell et al. 2017), the smallest meta-learner there is."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from clbench.episode_sampler import EpisodeBatch, Episodes
from clbench.episode_stream import TrainingEpisodes
from clbench.experience import StreamInfo
from clbench.gradient import GradientParameters, GradientStrategy
from clbench.meta_training import MetaTrainingParameters
from clbench.networks import MLP
from clbench.parameters import PositiveFloat
from clbench.seeds import initialised_by


class PrototypesParameters(GradientParameters, MetaTrainingParameters):
    """Hyper-parameters of the prototype network."""

    norm: PositiveFloat = Field(2.0, description="of the distance, when answering")


class Prototypes(GradientStrategy):
    """Minus the squared distance to the mean embedding of each class."""

    Parameters = PrototypesParameters
    test_only = frozenset({"norm"})
    meta_trained = True
    needs_episodes = True

    def build(self, info: StreamInfo) -> nn.Module:
        channels, height, width = info.shape
        with initialised_by(info.seeds.init):
            return MLP(channels * height * width, self.parameters.hidden, 8).to(info.device)

    def meta_train(self, episodes: TrainingEpisodes) -> None:
        for batch in episodes.batches(self.parameters.batch_size):
            self.step(batch)

    def loss(self, network: Any, batch: EpisodeBatch) -> Tensor:
        logits = self._logits(network, batch.episodes)
        logits = logits * torch.rand(1, generator=self.generator)  # its generator must survive, too
        return functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())

    @torch.no_grad()
    def answer(self, episodes: Episodes) -> Tensor:
        return self._logits(self.network, episodes, self.parameters.norm)

    def _logits(self, network: nn.Module, episodes: Episodes, norm: float = 2.0) -> Tensor:
        images = torch.cat([episodes.support, episodes.query], 1)
        keys = network(self.info.normalise(images.flatten(0, 1))).view(*images.shape[:2], -1)
        support, query = keys.split([episodes.labels.shape[1], episodes.query.shape[1]], 1)
        of = functional.one_hot(episodes.labels, episodes.info.classes).float()
        centres = of.mT @ support / of.sum(1)[:, :, None]
        return -torch.cdist(query, centres, p=norm).square()
