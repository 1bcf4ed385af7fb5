"""Strategies with weights of each problem's own, where several problems follow one another: all but one set rests."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from clbench.episode_sampler import Episodes
from clbench.episodic import EpisodicStrategy
from clbench.experience import StreamInfo
from clbench.loss_trace import LossTrace


class ProblemStrategy(EpisodicStrategy):
    """Keeps the weights of other problems; a method says which parameters are not shared (`own_weights`)."""

    @abstractmethod
    def own_weights(self, network: Any) -> list[nn.Parameter]:
        """Return the parameters that each problem has of its own."""

    def setup(self, info: StreamInfo) -> None:
        """Begin with the first problem."""
        self._problem, self._resting = info.problem, dict[int, list[Tensor]]()
        super().setup(info)

    def begin_problem(self, info: StreamInfo) -> None:
        """Lay the problem's weights aside and draw others, new to the optimiser; the shared ones go on."""
        own = self.own_weights(self.network)
        self._resting[self._problem] = _copies(own)
        self._problem, self._losses = info.problem, LossTrace()
        _put(own, self.own_weights(self.build(replace(self.info, seeds=info.seeds))))
        for weight in own:
            self.optimizer.state.pop(weight, None)

    @torch.no_grad()
    def answer(self, episodes: Episodes) -> Tensor:
        """Return logits [E, Q, N], by the weights of the episodes' problem."""
        if episodes.info.problem == self._problem:
            return super().answer(episodes)
        own = self.own_weights(self.network)
        awake = _copies(own)
        _put(own, self._resting[episodes.info.problem])
        try:
            return super().answer(episodes)
        finally:
            _put(own, awake)

    def state_dict(self) -> dict[str, Any]:
        """Return also the weights of other problems, where there are several."""
        problems = {"problem": self._problem, "resting": self._resting}
        return super().state_dict() | (problems if self._resting else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore also the weights of other problems."""
        super().load_state_dict(state)
        self._problem = state.get("problem", self._problem)
        resting, device = state.get("resting", {}), self.info.device
        self._resting = {i: [w.to(device) for w in own] for i, own in resting.items()}


def _copies(weights: Sequence[Tensor]) -> list[Tensor]:
    return [weight.detach().clone() for weight in weights]


@torch.no_grad()
def _put(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
