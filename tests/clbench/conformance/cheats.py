"""Strategies that break one promise each; the name is that of the check which must see it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from clbench.strategies.replay import Replay
from torch import Tensor

from clbench.experience import Experience, StreamInfo
from clbench.gradient import GradientStrategy


class Constant(GradientStrategy):
    """Never learns."""

    caught_by = "learns"

    def learn(self, experience: Experience) -> None:
        self.see(experience)


class Unseeded(GradientStrategy):
    """Draws from a generator that no seed reaches."""

    caught_by = "deterministic"

    def loss(self, network: Any, batch: Any) -> Tensor:
        noise = float.fromhex(random.SystemRandom().random().hex())
        return super().loss(network, batch) * (1 + noise)


class Reseeds(GradientStrategy):
    """Seeds torch for all."""

    caught_by = "global state"

    def setup(self, info: StreamInfo) -> None:
        torch.manual_seed(0)
        super().setup(info)


class DrawsFromNumpy(GradientStrategy):
    """Draws from numpy's global generator, and does not even use it."""

    caught_by = "global state"

    def learn(self, experience: Experience) -> None:
        np.random.rand()  # noqa: NPY002
        super().learn(experience)


class DrawsFromPython(GradientStrategy):
    """As above, from Python's."""

    caught_by = "global state"

    def learn(self, experience: Experience) -> None:
        random.random()
        super().learn(experience)


class Hoards(GradientStrategy):
    """Keeps all samples where no budget counts them."""

    caught_by = "state"

    def setup(self, info: StreamInfo) -> None:
        super().setup(info)
        self.hoard: list[Experience] = []

    def learn(self, experience: Experience) -> None:
        for old in self.hoard:
            super().learn(old)
        super().learn(experience)
        self.hoard.append(experience)


class PicklesObjects(GradientStrategy):
    """Puts an object into its state."""

    caught_by = "state"

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"info": self.info}


class CallsItNetwork(Replay):  # type: ignore[misc]
    """Keeps all samples and declares them a part of the network."""

    caught_by = "budget"

    def setup(self, info: StreamInfo) -> None:
        super().setup(info)
        self.hoard: list[Tensor] = []

    def learn(self, experience: Experience) -> None:
        super().learn(experience)
        self.hoard.append(experience.x)

    def trained_keys(self) -> tuple[str, ...]:
        return (*super().trained_keys(), "hoard")

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = super().state_dict()
        return state | {"hoard": list(self.hoard)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.hoard = list(state["hoard"])


class KeepsMore(CallsItNetwork):
    """Keeps all samples beside its exemplars."""

    def trained_keys(self) -> tuple[str, ...]:
        return GradientStrategy.trained_keys(self)


class LearnsFromTests(GradientStrategy):
    """Keeps the test images it was asked about, and uses them."""

    caught_by = "no trace"

    def setup(self, info: StreamInfo) -> None:
        super().setup(info)
        self.seen: list[Tensor] = []

    def learn(self, experience: Experience) -> None:
        for x in self.seen:
            super().learn(replace(experience, x=experience.x + x.float().mean().to(experience.x)))
        super().learn(experience)

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        self.seen.append(x.clone())
        return super().predict(x, task)


class ChangesTheQuestion(GradientStrategy):
    """Normalises test images in place."""

    caught_by = "no trace"

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        logits = super().predict(x, task)
        x.zero_()
        return logits


class Transduces(GradientStrategy):
    """Centres logits over the batch without saying so."""

    caught_by = "batch"

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        logits = super().predict(x, task)
        return logits - logits.mean(0)


class ChangesTheData(GradientStrategy):
    """Writes into the experience."""

    caught_by = "data"

    def learn(self, experience: Experience) -> None:
        super().learn(experience)
        experience.x.zero_()


class CountsExperiences(GradientStrategy):
    """Looks at the experience's number and declares no need of it."""

    caught_by = "needs"

    def learn(self, experience: Experience) -> None:
        for _ in range(1 + (experience.index or 0) % 3):
            super().learn(experience)


class Squeezes(GradientStrategy):
    """Returns one score a sample."""

    caught_by = "logits"

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        return super().predict(x, task).argmax(1)


class NotANumber(GradientStrategy):
    """Divides nothing by nothing before it has learnt."""

    caught_by = "logits"

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        logits = super().predict(x, task)
        return logits if self.effort.steps else logits * float("nan")


class WantsTwo(GradientStrategy):
    """Fails on an experience of one sample."""

    caught_by = "few samples"

    def learn(self, experience: Experience) -> None:
        if len(experience) < 2:
            raise IndexError("two samples at least")
        super().learn(experience)


CHEATS = [kind for kind in list(globals().values()) if hasattr(kind, "caught_by")]
