"""The Neural Turing Machine's own task (Graves et al. 2014, section 4.1): say a sequence of bits again."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from clbench.addressing import NTM
from clbench.controller import MANNetwork

BITS, LONGEST, BATCH = 3, 5, 32


def task(length: int, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return inputs [B, 2·length + 1, BITS + 1], the last channel marking the end, and the bits [B, length, BITS]."""
    bits = torch.randint(2, (batch, length, BITS), generator=generator).float()
    x = torch.zeros(batch, 2 * length + 1, BITS + 1)
    x[:, :length, :BITS] = bits
    x[:, length, BITS] = 1
    return x, bits


def copied(network: MANNetwork, x: Tensor) -> Tensor:
    """Return the logits of the second half, where nothing is shown; no label is ever told but 0."""
    logits, _ = network.run(x[:, :, None, None], torch.zeros(x.shape[:2], dtype=torch.long))
    return logits[:, x.shape[1] // 2 + 1 :]


def errors(network: MANNetwork, length: int, generator: torch.Generator) -> float:
    x, bits = task(length, 256, generator)
    with torch.no_grad():
        return ((copied(network, x) > 0) != bits).float().mean().item()


def test_a_neural_turing_machine_learns_to_copy_with_less_than_one_bit_in_a_hundred_wrong() -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = MANNetwork(BITS + 1, BITS, 32, NTM(32, slots=16, size=8, heads=1))
    lengths = range(1, LONGEST + 1)
    assert all(errors(network, length, generator) > 0.3 for length in lengths)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(600):
        x, bits = task(1 + step % LONGEST, BATCH, generator)
        loss = functional.binary_cross_entropy_with_logits(copied(network, x), bits)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10)
        optimizer.step()
    assert all(errors(network, length, generator) < 0.01 for length in lengths)
