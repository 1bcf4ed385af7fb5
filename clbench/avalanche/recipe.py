"""What a class of Avalanche can need: its network, arguments of its constructor, conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from avalanche.models import PNN, MlpVAE, SCRModel
from avalanche.training.supervised import VAETraining
from torch import nn
from torch.optim import Adam

from clbench.avalanche.network import SplitNetwork, split
from clbench.experience import StreamInfo
from clbench.networks import choose
from clbench.seeds import initialised_by


@dataclass(frozen=True)
class Parts:
    """What a strategy is made from."""

    info: StreamInfo
    parameters: Any
    network: nn.Module
    common: Mapping[str, Any]
    """The arguments that all have: batch sizes, epochs, device, evaluator."""


def _our_network(parameters: Any, info: StreamInfo) -> nn.Module:
    return split(parameters, info)


@dataclass(frozen=True)
class Recipe:
    """How one class is run."""

    reason: str = ""
    """Why it cannot."""
    quirks: tuple[str, ...] = ()
    """What changes a number, compared with its paper or with our strategy of that name."""
    network: Callable[[Any, StreamInfo], nn.Module] = _our_network
    model: Callable[[nn.Module], nn.Module] = lambda network: network
    """What it gets as its ``model``."""
    given: Mapping[str, Callable[[Parts], Any]] = field(default_factory=dict)
    """Arguments of its constructor that the adapter gives; ``model`` instead of the network."""
    answers_untrained: bool = True
    """Whether it can predict before its first experience, and for a task it has not learnt."""
    needs_task: bool = False
    """Whether it needs the task id, in training and at test."""
    new_classes_only: bool = False
    """Whether it takes every class of an experience for a new one."""
    refusal: Callable[[Any, StreamInfo], str | None] = lambda _, __: None
    """What is wrong with hyper-parameters, with what is allowed; None if nothing is."""
    class_batches: bool = False
    """Whether it waits for ever unless each class has batch_size samples."""


def mlp_only(parameters: Any, info: StreamInfo) -> str | None:
    """Refuse layers other than linear ones."""
    mlp = choose(parameters.network, info.shape) == "mlp"
    return None if mlp else "network must be mlp: others hold layers that it cannot take"


def whole_batches_of_each_class(parameters: Any, info: StreamInfo) -> str | None:
    """Refuse a memory without a whole batch of every class."""
    least = parameters.batch_size * info.classes
    if parameters.memory_size >= least:
        return None
    return (
        f"memory_size must be at least batch_size · {info.classes} classes = {least}, or it waits for"
        " a batch of one class for ever"
    )


def two_batches(parameters: Any, info: StreamInfo) -> str | None:
    """Refuse a memory smaller than a doubled batch."""
    least = 2 * (info.batch_size if info.online else parameters.batch_size)
    enough = parameters.memory_size >= least
    return None if enough else f"memory_size must be at least 2 · batch_size = {least}"


def one_memory_batch(parameters: Any, _: StreamInfo) -> str | None:
    """Refuse a memory smaller than what is drawn from it."""
    enough = parameters.memory_size >= parameters.batch_size_mem
    return None if enough else "memory_size must be at least batch_size_mem, or it waits for ever"


def pruned_in_time(parameters: Any, info: StreamInfo) -> str | None:
    """Refuse fewer epochs than pruning takes."""
    epochs = 1 if info.online else parameters.epochs
    if not 0 <= parameters.post_prune_epochs < epochs:
        return f"post_prune_epochs must be less than the {epochs} epochs of an experience"
    return mlp_only(parameters, info)


def split_of(parts: Parts) -> SplitNetwork:
    """Return the network with its last layer apart."""
    assert isinstance(parts.network, SplitNetwork)
    return parts.network


def embedding(parameters: Any, info: StreamInfo) -> nn.Module:
    """Return a network with ``p_size`` outputs."""
    return split(parameters, info, parameters.p_size)


def columns(parameters: Any, info: StreamInfo) -> nn.Module:
    """Return an empty progressive network for images of the stream's shape."""
    channels, height, width = info.shape
    with initialised_by(info.seeds.init):
        return PNN(len(parameters.hidden), channels * height * width, parameters.hidden[0])  # type: ignore[no-any-return]


def generator(parts: Parts) -> Any:
    """Return Avalanche's own generator for GenerativeReplay, but for images of the stream's shape."""
    from avalanche.training.plugins import GenerativeReplayPlugin

    device = parts.info.device
    with initialised_by(parts.info.seeds.init):
        model = MlpVAE(parts.info.shape, nhid=2, device=device).to(device)
    optimizer = Adam(model.parameters(), lr=0.01, weight_decay=0.0001)
    plugins = [GenerativeReplayPlugin()]
    return VAETraining(model=model, optimizer=optimizer, plugins=plugins, **parts.common)


def projecting(network: nn.Module) -> nn.Module:
    """Return the network for supervised contrastive replay."""
    assert isinstance(network, SplitNetwork)
    return SCRModel(network.feature_extractor, network.classifier)  # type: ignore[no-any-return]
