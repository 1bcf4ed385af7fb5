"""A bare torch loop on preloaded tensors: what nobody can do with less than by hand."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.networks import MLP
from clbench.scoring import Row
from tests.benchmarks.split import Work

Split = tuple[Tensor, Tensor]
"""Normalised float32 images and labels."""


def bare_side(work: Work) -> Callable[[], Callable[[], list[Row]]]:
    """Return the loop from clbench's initial weights, on its batches."""

    def ready() -> Callable[[], list[Row]]:
        stream, strategy = work.learner()
        experiences = []
        for index in range(len(stream)):
            (experience,) = stream.deliver(index)
            experiences.append((stream.info.normalise(experience.x), experience.y))
        test = stream.test_set(len(stream))
        x, own = stream.info.normalise(test.x), [test.task == j for j in range(len(stream))]
        tests = [(x[rows], test.y[rows]) for rows in own]
        network = sequential(strategy.network)
        optimizer = torch.optim.SGD(network.parameters(), lr=work.lr, fused=True)
        generator = strategy.generator

        def run() -> list[Row]:
            rows = [evaluate(network, tests)]
            for images, labels in experiences:
                order = torch.randperm(len(labels), generator=generator, device=labels.device)
                network.train()
                for at in torch.split(order, work.batch_size):
                    loss = functional.cross_entropy(network(images[at]), labels[at])
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    optimizer.zero_grad()
                rows.append(evaluate(network, tests))
            return rows

        return run

    return ready


def sequential(network: nn.Module) -> nn.Sequential:
    """Return the same layers with the same weights, as one writes them by hand."""
    assert isinstance(network, MLP)
    modules: list[nn.Module] = [nn.Flatten()]
    for layer in network.layers:
        modules += [deepcopy(layer), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


@torch.no_grad()
def evaluate(network: nn.Module, tests: list[Split]) -> Row:
    """Return the accuracy on each test set; none has more than a chunk of clbench's evaluation."""
    network.eval()
    return [float((network(x).argmax(1) == y).float().mean()) for x, y in tests]
