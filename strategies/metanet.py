"""Meta Networks: weights generated from the gradients of a support set, read from a memory by attention.

Munkhdalai & Yu 2017 (ICML, arXiv 1703.00837), Algorithm 1: slow weights W (base learner b), Q (embedding u) and the
generators Z (m, of example-level fast weights) and G (d, of task-level fast weights) are trained on episodes. On a
stream these are drawn from the current experience and the exemplar memory, labels permuted in each; to predict, the
memory M and its index R are rebuilt from the exemplars alone; without exemplars the slow weights answer. What the
paper leaves open is in docs/metanet.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from clbench.augmented import (
    Chain,
    Dense,
    Term,
    Trace,
    attended,
    cnn,
    generate,
    generate_each,
    mlp,
    shared,
)
from clbench.episodic import Episode, EpisodicParameters, Examples
from clbench.experience import StreamInfo, masked
from clbench.fast_memory import (
    FastMemory,
    Support,
    largest_of_units,
    mean_of_parts,
    samples_of_parts,
)
from clbench.meta_gradients import Generator, ScalarGenerator, SequenceGenerator
from clbench.parameters import LATER, Parameters, PositiveFloat, PositiveInt
from clbench.problems import ProblemStrategy
from clbench.representation import contrastive_error, cross_entropy_error, draw_pairs
from clbench.seeds import initialised_by, torch_generator


class MetaNetParameters(EpisodicParameters):
    """Hyper-parameters of MetaNet."""

    network: Literal["auto", "mlp", "cnn"] = Field(
        "auto",
        description="of b and u: the paper's cnn, or mlp; auto takes cnn for episodes, mlp on a stream",
        json_schema_extra=LATER,
    )
    hidden: Annotated[list[PositiveInt], Field(min_length=2)] = Field(
        [64, 64],
        description="widths of b's hidden layers, and of u's layers; u's last is the key; cnn takes"
        " the first for its channels",
    )
    temperature: PositiveFloat = Field(
        1.0, description="of the attention softmax over cosines; 1 is the paper's"
    )
    representation: Literal["auto", "contrastive", "cross-entropy"] = Field(
        "auto",
        description="loss whose gradients d reads; auto takes cross-entropy for episodes of one"
        " shot, as the paper, else contrastive",
        json_schema_extra=LATER,
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
    base_task_level: bool = Field(
        False,
        description="task-level fast weights in b, too: MetaNet+",
        json_schema_extra=LATER,
    )
    max_norm: PositiveFloat = Field(10.0, description="gradients are clipped to this norm")
    ablation: Literal["none", "no-fast-weights", "uniform-attention", "nearest-key"] = Field(
        "none",
        description="what is taken away from answers, not from training: W* (0 in its place),"
        " attention (all examples count the same) or b (the label of the nearest key answers)",
        json_schema_extra=LATER,
    )
    new_layer: Literal["drawn", "zero"] = Field(
        "drawn",
        description="slow weights of the last layer that answers other ways than trained on",
        json_schema_extra=LATER,
    )


@dataclass(frozen=True)
class Lesson:
    """An episode as the network wants it."""

    support: Support
    query: Examples

    def __len__(self) -> int:
        return len(self.support.y) + len(self.query.y)


class MetaNetwork(nn.Module):
    """θ = {W, Q, Z, G}: matrices of the layers of b and u, and a generator m and d for each kind of layer.

    Args:
        b: Layers of the base learner.
        u: Layers of the embedding.
        parameters: Of MetaNet.
        seed: Of the matrices that are never learnt.
    """

    def __init__(self, b: Chain, u: Chain, parameters: MetaNetParameters, seed: int = 0) -> None:
        super().__init__()
        self.b, self.u, self._p, self._seed = b, u, parameters, seed
        self.W = nn.ParameterList(layer.initial() for layer in b.layers)
        self.Q = nn.ParameterList(layer.initial() for layer in u.layers)
        kinds = list(dict.fromkeys(layer.kind for layer in b.layers))
        self.m = nn.ModuleDict({kind: ScalarGenerator() for kind in kinds})
        self.d = nn.ModuleDict({kind: SequenceGenerator() for kind in kinds})
        if parameters.base_task_level:
            self.d_base = nn.ModuleDict({kind: SequenceGenerator() for kind in kinds})
        for generator in self.modules():
            if isinstance(generator, Generator):
                generator.initialise(0.1, centred=len(kinds) > 1)
        self._unlearnt: dict[int, Tensor] = {}

    def remember(self, support: Support) -> FastMemory:
        """Return M, R and Q* of a support set (Algorithm 1, lines 1 to 10)."""
        p, task, base = self._p, None, None
        if p.task_level:
            task = generate(self.d, self.u, self._representation_gradients(support))
        trace, errors = self._example_trace(support)
        if p.base_task_level:
            each = trace.gradients(errors, len(support.y))
            parts = [mean_of_parts(g, support.valid, p.chunks) for g in each]
            base = generate(self.d_base, self.b, parts)
        weights = generate_each(self.m, trace, errors)
        index = self.embed(support.x, task)
        return FastMemory(weights, index, task, base, support.y, support.valid)

    def answer(self, x: Tensor, memory: FastMemory, ablation: str = "none") -> Tensor:
        """Return logits of queries (lines 11 to 15): attention over R reads weights from M."""
        cosine = self.embed(x, memory.task) @ memory.index.T
        if ablation == "nearest-key":
            return largest_of_units(masked(cosine, memory.valid), memory)
        scores = cosine * 0 if ablation == "uniform-attention" else cosine / self._p.temperature
        a = masked(scores, memory.valid).softmax(1)
        terms = _terms(self.slow_weights(memory.units), memory.base)
        if ablation != "no-fast-weights":
            terms.append(attended(a, memory.weights))
        return self.b.forward(x, *terms)

    def slow(self, x: Tensor) -> Tensor:
        """Return the logits of the slow weights alone."""
        return self.b.forward(x, shared(list(self.W)))

    def embed(self, x: Tensor, task: list[Tensor] | None) -> Tensor:
        """Return the keys u(Q, Q*, x) [N, K], normalised; no ReLU on the last layer."""
        return functional.normalize(self.u.forward(x, *_terms(list(self.Q), task)), dim=1)

    def slow_weights(self, units: int) -> list[Tensor]:
        """Return W; for another number of units its last layer is one never learnt, which fast weights adapt."""
        *body, last = self.W
        if units != len(last):
            last = self.never_learnt(units)
            last = torch.zeros_like(last) if self._p.new_layer == "zero" else last
        return [*body, last]

    @torch.no_grad()
    def _example_trace(self, support: Support) -> tuple[Trace, list[Tensor]]:
        """Return b's trace of the examples under slow weights alone, and the loss's gradient in each output."""
        trace = self.b.traced(self.slow_weights(len(support.mask)), support.x)
        error = cross_entropy_error(trace.result, support.y, support.mask)
        return trace, trace.errors(error * support.valid[:, None])

    @torch.no_grad()
    def _representation_gradients(self, support: Support) -> list[Tensor]:
        """Return the mean ∇_Q of the representation loss over each of T parts of the support, [T, out, in] a layer."""
        x, of_one = support.x, 1
        if support.pairs is not None:
            rows = torch.stack([support.pairs.left, support.pairs.right], 1)
            x, of_one = x[rows.flatten()], 2
        count = len(x) // of_one
        parts = min(self._p.chunks, count)
        size = count // parts
        trace = self.u.traced(list(self.Q), x[: parts * size * of_one])
        error = self._representation_error(trace.result, support)
        gradients = trace.gradients(trace.errors(error), parts)
        samples = (
            size if support.pairs is not None else samples_of_parts(support.valid, parts, size)
        )
        return [gradient / samples for gradient in gradients]

    def _representation_error(self, key: Tensor, support: Support) -> Tensor:
        """Return the representation loss's gradient in the keys."""
        if support.pairs is not None:
            return contrastive_error(key, support.pairs, self._p.margin)
        classifier = cast(Tensor, support.classifier)
        y, valid = support.y[: len(key)], support.valid[: len(key)]
        error = cross_entropy_error(key.relu() @ classifier.T, y, support.mask)
        return (error * valid[:, None]) @ classifier * (key > 0)

    def never_learnt(self, units: int) -> Tensor:
        """Return the last layer for a number of units that W was not trained for, always the same one."""
        if units not in self._unlearnt:
            generator = torch_generator(self._seed, "head")
            drawn = Dense(units, self.W[-1].shape[1] - 1).initial(generator)
            self._unlearnt[units] = drawn.to(self.W[-1].device)
        return self._unlearnt[units]


class MetaNet(ProblemStrategy):
    """Trains θ on episodes; answers from the support set, on a stream from the exemplars."""

    Parameters: ClassVar[type[Parameters]] = MetaNetParameters
    paper = "Munkhdalai & Yu 2017, ICML, arXiv 1703.00837"
    meta_trained = True
    stackable = True
    test_only = frozenset({"ablation", "new_layer"})
    quick: ClassVar = {"episodes": 20, "base_episodes": 60, "lr": 0.003, "temperature": 0.1}
    network: MetaNetwork

    def build(self, info: StreamInfo) -> nn.Module:
        """Return θ, initialised by the init seed."""
        p, on_episodes = self.parameters, info.shots is not None
        units = (p.meta_ways if on_episodes else None) or info.classes
        convolutional = p.network == "cnn" or (p.network == "auto" and on_episodes)

        def layers(*last: int) -> Chain:
            widths = [*p.hidden[1:], *last]
            if convolutional:
                return Chain(cnn(info.shape, p.hidden[0], widths))
            return Chain(mlp([math.prod(info.shape), p.hidden[0], *widths]))

        with initialised_by(info.seeds.init):
            network = MetaNetwork(layers(units), layers(), p, info.seeds.init)
        return network.to(info.device)

    def own_weights(self, network: MetaNetwork) -> list[nn.Parameter]:
        """Return W and Q; Z and G are shared by all problems."""
        return [*network.W, *network.Q]

    def lesson(self, episode: Episode) -> Lesson:
        """Return an episode with the pairs of its representation loss."""
        support = self._support(episode.support, episode.mask, self.generator)
        return Lesson(support, episode.query)

    def loss(self, network: Any, batch: Lesson) -> Tensor:
        """Return the mean query loss of an episode."""
        memory, query = network.remember(batch.support), batch.query
        logits = masked(network.answer(query.x, memory), batch.support.mask)
        losses = functional.cross_entropy(logits, query.y, reduction="none")
        return torch.where(query.valid, losses, 0.0).sum() / query.valid.sum().clamp(min=1)

    def before_step(self) -> None:
        """Clip the gradient's norm."""
        nn.utils.clip_grad_norm_(self.network.parameters(), self.parameters.max_norm)

    def remember(self, support: Examples, mask: Tensor, generator: torch.Generator) -> FastMemory:
        """Return M, R and Q*."""
        memory: FastMemory = self.network.remember(self._support(support, mask, generator))
        return memory

    def respond(self, x: Tensor, state: FastMemory | None) -> Tensor:
        """Return logits by fast weights, or by the slow ones where nothing is remembered."""
        if state is None:
            return self.network.slow(x)
        ablation = self.parameters.ablation
        parts = torch.split(x, 256)
        return torch.cat([self.network.answer(part, state, ablation) for part in parts])

    def _support(self, given: Examples, mask: Tensor, generator: torch.Generator) -> Support:
        p = self.parameters
        one_shot = self.info.shots is not None and (p.meta_shots or self.info.shots) == 1
        usual = "cross-entropy" if one_shot else "contrastive"
        if (usual if p.representation == "auto" else p.representation) == "contrastive":
            pairs = draw_pairs(given.y, given.valid, p.pairs, generator)
            return Support(given.x, given.y, given.valid, mask, pairs, None)
        classifier = self.network.never_learnt(len(mask))[:, :-1]
        return Support(given.x, given.y, given.valid, mask, None, classifier)


class MetaNetFrozenParameters(MetaNetParameters):
    """Hyper-parameters of MetaNet, ``frozen`` among them."""

    frozen: Literal[True] = Field(
        True, description="θ stays as the base split left it; only the memory grows"
    )


class MetaNetFrozen(MetaNet):
    """MetaNet that learns on a base split alone (docs/base-split.md): on the stream, only its memory grows."""

    Parameters = MetaNetFrozenParameters
    needs_base = True


def _terms(slow: Sequence[Tensor], fast: Sequence[Tensor] | None) -> list[Term]:
    """Return the products of slow weights and, where there are any, of task-level fast ones."""
    return [shared(slow)] if fast is None else [shared(slow), shared(fast)]
