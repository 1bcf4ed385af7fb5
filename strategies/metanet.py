"""Meta Networks: weights generated from the gradients of a support set, read from a memory by attention.

Munkhdalai & Yu 2017 (ICML, arXiv 1703.00837), Algorithm 1, as a continual learner: slow weights W (base learner b), Q
(embedding u) and the generators Z (m, of example-level fast weights) and G (d, of task-level fast weights) are trained
on episodes drawn from the current experience and the exemplar memory, labels permuted in each. To predict, the memory
M and its index R are rebuilt from the exemplars alone; without exemplars the slow weights answer. What the paper leaves
open is in docs/metanet.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from clbench.episodes import Pairs, draw_pairs
from clbench.episodic import EpisodicParameters, EpisodicStrategy, Examples
from clbench.meta_gradients import ScalarGenerator, SequenceGenerator
from clbench.parameters import PositiveFloat, PositiveInt
from clbench.seeds import initialised_by
from clbench.stream import Experience, StreamInfo, masked


class MetaNetParameters(EpisodicParameters):
    """Hyper-parameters of MetaNet."""

    hidden: Annotated[list[PositiveInt], Field(min_length=2)] = Field(
        [64, 64], description="widths of b's hidden layers, and of u's layers; u's last is the key"
    )
    temperature: PositiveFloat = Field(
        1.0, description="of the attention softmax over cosines; 1 is the paper's"
    )
    margin: PositiveFloat = Field(1.0, description="of the contrastive representation loss")
    pairs: PositiveInt = Field(40, description="pairs of the representation loss, T in the paper")
    chunks: PositiveInt = Field(
        5, description="steps of the LSTM d: it reads the mean gradient of each part of the pairs"
    )

    @model_validator(mode="after")
    def _every_chunk_has_a_pair(self) -> Self:
        if self.chunks > self.pairs:
            raise ValueError(f"chunks={self.chunks} must not be more than pairs={self.pairs}")
        return self

    task_level: bool = Field(True, description="task-level fast weights Q*; false is MetaNet−")
    max_norm: PositiveFloat = Field(10.0, description="gradients are clipped to this norm")


@dataclass(frozen=True)
class Support:
    """A support set of N images as vectors."""

    x: Tensor
    """[N, D]."""
    y: Tensor
    """[N] units."""
    valid: Tensor
    """[N] bool: places that hold a sample."""
    mask: Tensor
    """[C] bool: units that compete."""
    pairs: Pairs
    """Of the representation loss."""


@dataclass(frozen=True)
class Lesson:
    """An episode as the network wants it."""

    support: Support
    query: Examples

    def __len__(self) -> int:
        return len(self.support.y) + len(self.query.y)


@dataclass(frozen=True)
class FastMemory:
    """What MetaNet knows of a support set."""

    weights: list[Tensor]
    """M: per layer of b the fast weights of each example, [N, out, in + 1]."""
    index: Tensor
    """R: normalised keys, [N, K]."""
    task: list[Tensor] | None
    """Q*: task-level fast weights of u."""
    valid: Tensor

    def bytes(self) -> int:
        """Return the bytes of M, R and Q*."""
        tensors = [*self.weights, self.index, *(self.task or [])]
        return sum(t.numel() * t.element_size() for t in tensors)


class MetaNetwork(nn.Module):
    """θ = {W, Q, Z, G}. Every weight matrix is [out, in + 1]: biases, too, have fast weights."""

    def __init__(self, inputs: int, units: int, parameters: MetaNetParameters) -> None:
        super().__init__()
        self.W = _matrices([inputs, *parameters.hidden, units])
        self.Q = _matrices([inputs, *parameters.hidden])
        self.m = ScalarGenerator()
        self.d = SequenceGenerator()
        self._p = parameters
        for generator in (self.m, self.d):
            generator.initialise(0.1)

    def remember(self, support: Support) -> FastMemory:
        """Return M, R and Q* of a support set (Algorithm 1, lines 1 to 10)."""
        task = self._task_weights(support) if self._p.task_level else None
        weights = [self.m(gradient) for gradient in self._example_gradients(support)]
        return FastMemory(weights, self.embed(support.x, task), task, support.valid)

    def answer(self, x: Tensor, memory: FastMemory) -> Tensor:
        """Return logits of queries [L, D] (lines 11 to 15): attention over R reads weights from M."""
        cosine = self.embed(x, memory.task) @ memory.index.T
        a = masked(cosine / self._p.temperature, memory.valid).softmax(1)
        h = _with_one(x)
        for slow, fast in zip(self.W, memory.weights, strict=True):
            by_slow, by_fast = h @ slow.T, _read(a, fast, h)
            h = _with_one(by_slow.relu() + by_fast.relu())
        logits: Tensor = by_slow + by_fast
        return logits

    def slow(self, x: Tensor) -> Tensor:
        """Return the logits of the slow weights alone."""
        return _forward(list(self.W), x)[1]

    def embed(self, x: Tensor, task: list[Tensor] | None) -> Tensor:
        """Return the keys u(Q, Q*, x) [N, K], normalised; no ReLU on the last layer."""
        if task is None:
            return functional.normalize(_forward(list(self.Q), x)[1], dim=1)
        h = _with_one(x)
        for slow, fast in zip(self.Q, task, strict=True):
            by_slow, by_fast = h @ slow.T, h @ fast.T
            h = _with_one(by_slow.relu() + by_fast.relu())
        return functional.normalize(by_slow + by_fast, dim=1)

    @torch.no_grad()
    def _example_gradients(self, support: Support) -> list[Tensor]:
        """Return ∇_W of each example's cross-entropy under slow weights alone, [N, out, in + 1] a layer."""
        weights = list(self.W)
        inputs, logits = _forward(weights, support.x)
        target = functional.one_hot(support.y, logits.shape[1])
        error = masked(logits, support.mask).softmax(1) - target
        errors = _backward(weights, inputs, error)
        return [e[:, :, None] * h[:, None, :] for e, h in zip(errors, inputs, strict=True)]

    def _task_weights(self, support: Support) -> list[Tensor]:
        """Return Q*, which d generates from the gradients of the representation loss."""
        gradients = self._pair_gradients(support)
        generated = self.d(torch.cat([gradient.flatten(1) for gradient in gradients], 1))
        parts = torch.split(generated, [slow.numel() for slow in self.Q])
        return [part.view(slow.shape) for part, slow in zip(parts, self.Q, strict=True)]

    @torch.no_grad()
    def _pair_gradients(self, support: Support) -> list[Tensor]:
        """Return the mean ∇_Q of the contrastive loss over each of T parts of the pairs, [T, out, in + 1].

        A pair of one class costs the squared distance of its keys, another max(0, margin − distance)².
        """
        weights, left, right = list(self.Q), support.pairs.left, support.pairs.right
        inputs, key = _forward(weights, support.x)
        away = key[left] - key[right]
        distance = away.norm(dim=1, keepdim=True).clamp_min(1e-6)
        short = (self._p.margin - distance).clamp_min(0)
        same = (support.y[left] == support.y[right])[:, None]
        error = torch.where(same, 2 * away, -2 * short * away / distance)
        error = error * support.pairs.weight[:, None]
        both = [torch.stack([h[left], h[right]], 1).flatten(0, 1) for h in inputs]
        errors = _backward(weights, both, torch.stack([error, -error], 1).flatten(0, 1))
        parts, size = self._p.chunks, len(left) // self._p.chunks
        cut = [rows[: 2 * parts * size].view(parts, 2 * size, -1) for rows in (*errors, *both)]
        return [e.mT @ h / size for e, h in zip(cut[: len(both)], cut[len(both) :], strict=True)]


class MetaNet(EpisodicStrategy):
    """Trains θ on episodes; answers from the exemplars."""

    Parameters = MetaNetParameters
    paper = "Munkhdalai & Yu 2017, ICML, arXiv 1703.00837"
    network: MetaNetwork

    def build(self, info: StreamInfo) -> nn.Module:
        """Return θ, initialised by the init seed."""
        channels, height, width = info.shape
        with initialised_by(info.seeds.init):
            network: nn.Module = MetaNetwork(
                channels * height * width, info.classes, self.parameters
            )
        return network.to(info.device)

    def setup(self, info: StreamInfo) -> None:
        """Start with nothing built to predict."""
        self._fast: dict[int, FastMemory] = {}
        super().setup(info)

    def draw(self, current: Experience, rows: Tensor) -> Lesson:
        """Return an episode and the pairs of its representation loss."""
        episode = super().draw(current, rows)
        support = self._support(episode.support, episode.mask, self.generator)
        return Lesson(support, episode.query)

    def loss(self, network: Any, batch: Lesson) -> Tensor:
        """Return the mean query loss of an episode."""
        memory, query = network.remember(batch.support), batch.query
        logits = masked(network.answer(query.x.flatten(1), memory), batch.support.mask)
        losses = functional.cross_entropy(logits, query.y, reduction="none")
        return torch.where(query.valid, losses, 0.0).sum() / query.valid.sum().clamp(min=1)

    def before_step(self) -> None:
        """Clip the gradient's norm; what was built to predict is out of date."""
        super().before_step()
        self._fast = {}
        nn.utils.clip_grad_norm_(self.network.parameters(), self.parameters.max_norm)

    def learn(self, experience: Experience) -> None:
        """Train on episodes; the memory has changed then, too."""
        super().learn(experience)
        self._fast = {}

    def scores(self, x: Tensor, row: int) -> Tensor:
        """Return logits by fast weights, or by the slow ones where there is no exemplar."""
        x, fast = x.flatten(1), self._rebuilt(row)
        if fast is None:
            return self.network.slow(x)
        return torch.cat([self.network.answer(part, fast) for part in torch.split(x, 256)])

    def _rebuilt(self, row: int) -> FastMemory | None:
        """Return M, R and Q* of a task's exemplars, built once after each experience; None without any."""
        if row not in self._fast:
            examples, generator = self.exemplars(row)
            if not len(examples.y):
                return None
            support = self._support(examples, self.masks[row], generator)
            self._fast[row] = self.network.remember(support)
        return self._fast[row]

    def _support(self, given: Examples, mask: Tensor, generator: torch.Generator) -> Support:
        pairs = draw_pairs(given.y, given.valid, self.parameters.pairs, generator)
        return Support(given.x.flatten(1), given.y, given.valid, mask, pairs)

    def working_bytes(self) -> int:
        """Return the bytes of M, R and Q*."""
        return sum(fast.bytes() for fast in self._fast.values())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore, and forget what was built to predict."""
        super().load_state_dict(state)
        self._fast = {}


def _matrices(widths: list[int]) -> nn.ParameterList:
    """Return a matrix [out, in + 1] per layer, drawn as torch draws linear layers."""
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    joined = [torch.cat([layer.weight, layer.bias[:, None]], 1) for layer in layers]
    return nn.ParameterList(nn.Parameter(matrix.detach()) for matrix in joined)


def _read(a: Tensor, fast: Tensor, h: Tensor) -> Tensor:
    """Return Σⱼ aⱼ W*ⱼ h for queries: attention [L, N], weights [N, out, in], inputs [L, in] → [L, out].

    With fewer examples than inputs every W*ⱼ h is formed, in one product; else every query's Σⱼ aⱼ W*ⱼ.
    """
    examples, out, inputs = fast.shape
    if examples < inputs:
        each = (h @ fast.reshape(-1, inputs).T).view(-1, examples, out)
        return torch.bmm(a[:, None], each).squeeze(1)
    read = (a @ fast.flatten(1)).view(-1, out, inputs)
    return torch.bmm(read, h[:, :, None]).squeeze(2)


def _with_one(h: Tensor) -> Tensor:
    return functional.pad(h, (0, 1), value=1.0)


def _forward(weights: list[Tensor], x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the input of each layer (with its 1) and the last layer's output."""
    inputs = [_with_one(x)]
    for weight in weights[:-1]:
        inputs.append(_with_one((inputs[-1] @ weight.T).relu()))
    return inputs, inputs[-1] @ weights[-1].T


def _backward(weights: list[Tensor], inputs: list[Tensor], error: Tensor) -> list[Tensor]:
    """Return the loss gradient at each layer's output, from the one at the last layer's."""
    errors = [error]
    for weight, h in zip(reversed(weights[1:]), reversed(inputs[1:]), strict=True):
        errors.append((errors[-1] @ weight[:, :-1]) * (h[:, :-1] > 0))
    return errors[::-1]
