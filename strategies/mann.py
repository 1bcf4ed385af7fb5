"""Memory-augmented network: an LSTM with an external memory, which learns to bind images to the labels told later.

Santoro et al. 2016 (ICML, arXiv 1605.06065). An episode is a sequence: the controller is fed an image, the label of
the image *before* it and what was read before, and names each image before it is told. It is trained on all answers of
the sequence. To predict, it is primed with a support set (on a stream, the exemplars) in this way; then each query is
a time step from a copy of the primed state, and what it writes is discarded. What the paper leaves open is in
docs/mann.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from clbench.addressing import LRUA, NTM, Addressing, NoMemory
from clbench.controller import MANNetwork, State
from clbench.episode_sampler import Episodes
from clbench.episode_stream import TrainingEpisodes
from clbench.episodic import Episode, EpisodicParameters, EpisodicStrategy, Examples
from clbench.errors import UsageError
from clbench.experience import Experience, StreamInfo, masked
from clbench.parameters import LATER, Fraction, NaturalInt, Parameters, PositiveFloat, PositiveInt
from clbench.seeds import initialised_by, torch_generator

UNUSED = {"lrua": (), "ntm": ("decay",), "lstm": ("slots", "slot_size", "heads", "decay")}
"""Hyper-parameters that do nothing with an addressing."""


class MANNParameters(EpisodicParameters):
    """Hyper-parameters of the memory-augmented network."""

    on_streams: ClassVar = EpisodicParameters.on_streams | {"long_every", "permuted"}

    addressing: Literal["lrua", "ntm", "lstm"] = Field(
        "lrua",
        description="least-recently-used access; a Neural Turing Machine's; no memory but the LSTM's",
    )
    controller: PositiveInt = Field(200, description="units of the LSTM")
    slots: PositiveInt | None = Field(
        None, description="of the memory; none: 128, or memory_size on a stream where that is more"
    )
    slot_size: PositiveInt = Field(40, description="numbers in a slot")
    heads: PositiveInt = Field(4, description="that read; with lrua each of them writes, too")
    decay: Fraction = Field(0.99, description="γ, by which usage decays in a time step (lrua)")
    meta_batch: PositiveInt = Field(16, description="training episodes in a step")
    episodes: PositiveInt = Field(
        3200, description="training episodes an experience; meta_batch per batch if online"
    )
    shots: PositiveInt | None = Field(  # type: ignore[assignment]
        None,
        description="support samples of each class in a stream's training episodes; none: as many"
        " as make them as long as the priming",
    )
    queries: PositiveInt = Field(2, description="query samples of each class in such an episode")
    long_every: NaturalInt = Field(
        0,
        description="every so-manyth step on a stream has episodes as long as the priming, whatever"
        " shots says; 0 for none",
        json_schema_extra=LATER,
    )
    permuted: Literal["all", "own"] = Field(
        "all",
        description="units that the labels of a stream's episode are permuted over: all C, or those"
        " of the episode's own classes, which are few at first",
        json_schema_extra=LATER,
    )
    max_norm: PositiveFloat = Field(10.0, description="gradients are clipped to this norm")
    priming_order: NaturalInt = Field(
        0,
        description="which seeded order the support set is shown in to predict: 0, 1, …",
        json_schema_extra=LATER,
    )
    base_episodes: PositiveInt = Field(16_000, description="training episodes on a base split")

    @model_validator(mode="after")
    def _nothing_is_set_in_vain(self) -> Self:
        for name in UNUSED[self.addressing]:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} does nothing with addressing={self.addressing}")
        if self.long_every and self.shots is None:
            raise ValueError("long_every does nothing without shots: every episode is long then")
        return self


@dataclass(frozen=True)
class Sequences:
    """A batch of B episodes: S steps that are learnt from along the way, and L queries to the state at the end."""

    x: Tensor
    """[B, S, c, H, W]."""
    y: Tensor
    """[B, S] units."""
    valid: Tensor | None
    """[B, S] bool: places that hold a sample; None for all."""
    query: Tensor
    """[B, L, c, H, W]."""
    target: Tensor
    """[B, L] units."""
    query_valid: Tensor | None
    """[B, L] bool; None for all."""
    mask: Tensor
    """[B, C] bool: units that compete."""

    def __len__(self) -> int:
        return self.y.numel() + self.target.numel()

    @property
    def answered(self) -> Tensor:
        """[B, S + L] bool: the answers that count."""
        if self.valid is None or self.query_valid is None:
            return torch.ones_like(torch.cat([self.y, self.target], 1), dtype=torch.bool)
        return torch.cat([self.valid, self.query_valid], 1)


class MANN(EpisodicStrategy):
    """Trains the network on batches of sequences; answers from a primed state."""

    Parameters: ClassVar[type[Parameters]] = MANNParameters
    paper = "Santoro et al. 2016, ICML, arXiv 1605.06065"
    meta_trained = True
    stackable = True
    replayed = frozenset({"before_step"})
    compiled = frozenset({"step"})
    test_only = frozenset({"priming_order"})
    quick: ClassVar = {
        "controller": 64,
        "heads": 2,
        "slots": 16,
        "slot_size": 16,
        "memory_size": 16,
        "episodes": 1600,
        "lr": 0.003,
        "queries": 4,
        "shots": 2,
    }
    orders = 5
    network: MANNetwork

    def check(self, info: StreamInfo) -> None:
        """Refuse more ways at test than there are units, and more heads than slots."""
        super().check(info)
        p, units, slots = self.parameters, self._units(info), self._slots(info)
        if info.classes > units:
            raise UsageError(
                f"ways={info.classes} is more than the network's {units} units (meta_ways={units})"
            )
        if p.addressing == "lrua" and p.heads > slots:
            raise UsageError(f"heads={p.heads} is more than the {slots} slots that they write to")

    def setup(self, info: StreamInfo) -> None:
        """Begin with the order of priming that the hyper-parameter says."""
        super().setup(info)
        self._order = self.parameters.priming_order

    def reorder(self, order: int) -> None:
        """Prime in another order from now on."""
        self._order = self.parameters.priming_order + order
        self._remembered = {}

    def build(self, info: StreamInfo) -> nn.Module:
        """Return the network, initialised by the init seed."""
        p = self.parameters
        with initialised_by(info.seeds.init):
            memory = self._memory(info)
            network = MANNetwork(math.prod(info.shape), self._units(info), p.controller, memory)
        return network.to(info.device)

    def loss(self, network: Any, batch: Sequences) -> Tensor:
        """Return the mean loss over all answers of B episodes: along the sequences, and to the queries."""
        logits, state = network.run(batch.x, batch.y, batch.valid)
        logits = torch.cat([logits, network.ask(batch.query, state)], 1)
        logits = masked(logits, batch.mask[:, None])
        y, valid = torch.cat([batch.y, batch.target], 1), batch.answered
        losses = functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
        return torch.where(valid.flatten(), losses, 0.0).sum() / valid.sum().clamp(min=1)

    def before_step(self) -> None:
        """Clip the gradient's norm."""
        nn.utils.clip_grad_norm_(self.network.parameters(), self.parameters.max_norm)

    def remember(self, support: Examples, mask: Tensor, generator: torch.Generator) -> State:
        """Return the state primed with a support set."""
        return self._primed(support.x[None], support.y[None], generator)

    def respond(self, x: Tensor, state: State | None) -> Tensor:
        """Return logits [L, C], each from a copy of the primed state, or of an empty one."""
        return self._asked(x[None], self.network.initial(1) if state is None else state)[0]

    # On a stream.

    def steps(self, episodes: int) -> int:
        """Return in how many steps so many episodes are learnt from."""
        return math.ceil(episodes / self._at_once)

    def shots(self) -> int:
        """Return the support samples of each class in the next step: those asked for, or as many as the priming has."""
        p = self.parameters
        is_long = p.long_every and self.effort.steps % p.long_every == p.long_every - 1
        if p.shots is not None and not is_long:
            return int(p.shots)
        tasks = self._groups.view(-1, self.info.classes).any(1).sum() if self.info.tells_task else 1
        return int(max(1, p.memory_size // max(1, int(tasks)) // self._ways))

    def permuted(self, labels: Tensor) -> Tensor:
        """Return the units of an episode's labels [n]: drawn of all C, or their own in another order."""
        if self.parameters.permuted == "all":
            return super().permuted(labels)
        keys = torch.rand(self.info.classes, generator=self.generator, device=labels.device)
        other = torch.ones_like(keys).scatter(0, labels, 0.0)
        units = torch.empty_like(
            keys, dtype=torch.int64
        )  # own ones first, in order and in a random one
        units.scatter_(0, other.argsort(stable=True), (other + keys).argsort())
        return units[labels]

    def draw(self, current: Experience, rows: Tensor) -> Sequences:
        """Return a batch of episodes."""
        return stacked([super(MANN, self).draw(current, rows) for _ in range(self._at_once)])

    # On episodes.

    def meta_train(self, episodes: TrainingEpisodes) -> None:
        """Take a step for every batch of episodes."""
        for batch in episodes.batches(self.parameters.meta_batch):
            asked = batch.episodes
            x, query = (self.noisy(asked.info.normalise(x)) for x in (asked.support, asked.query))
            mask = torch.arange(self.network.units, device=x.device) < asked.info.classes
            mask = mask.expand(len(asked), -1)
            self.step(Sequences(x, asked.labels, None, query, batch.targets, None, mask))

    @torch.no_grad()
    def answer(self, episodes: Episodes) -> Tensor:
        """Return logits [E, Q, N], all episodes at once."""
        generator = torch_generator(self.info.seeds.train, "rebuild", self.info.device)
        support, query = (episodes.info.normalise(x) for x in (episodes.support, episodes.query))
        logits = self._asked(query, self._primed(support, episodes.labels, generator))
        return logits[:, :, : episodes.info.classes]

    @torch.no_grad()
    def present(self, episodes: Episodes) -> Tensor:
        """Return logits [E, S, N] along the sequences: each answered before its label is told."""
        logits, _ = self.network.run(episodes.info.normalise(episodes.support), episodes.labels)
        return logits[:, :, : episodes.info.classes]

    # For both.

    def _primed(self, x: Tensor, y: Tensor, generator: torch.Generator) -> State:
        """Return the state after sequences [E, S, c, H, W] in the order that is asked for, with their units."""
        order = torch.arange(y.shape[1], device=y.device)
        for _ in range(self._order):
            order = torch.randperm(len(order), generator=generator, device=y.device)
        x, y = x[:, order], y[:, order]
        state: State = self.network.run(x, y)[1]
        return state

    def _asked(self, x: Tensor, state: State) -> Tensor:
        """Return logits [E, L, C] for queries, some at a time: each has a memory of its own."""
        parts = torch.split(x, max(1, 512 // len(x)), 1)
        return torch.cat([self.network.ask(part, state) for part in parts], 1)

    @property
    def _at_once(self) -> int:
        return int(min(self.parameters.meta_batch, self.parameters.episodes))

    def _units(self, info: StreamInfo) -> int:
        given = self.parameters.meta_ways if info.shots is not None else None
        return given or info.classes

    def _slots(self, info: StreamInfo) -> int:
        p = self.parameters
        return p.slots or (128 if info.shots is not None else max(128, p.memory_size))

    def _memory(self, info: StreamInfo) -> Addressing:
        p, slots = self.parameters, self._slots(info)
        if p.addressing == "lrua":
            return LRUA(p.controller, slots, p.slot_size, p.heads, p.decay)
        if p.addressing == "ntm":
            return NTM(p.controller, slots, p.slot_size, p.heads)
        return NoMemory()


def stacked(episodes: Sequence[Episode]) -> Sequences:
    """Return episodes of one shape as a batch."""
    of = [
        (e.support.x, e.support.y, e.support.valid, e.query.x, e.query.y, e.query.valid, e.mask)
        for e in episodes
    ]
    return Sequences(*(torch.stack(tensors) for tensors in zip(*of, strict=True)))
