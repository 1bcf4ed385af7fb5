"""White-box tests of the LSTM controller with an external memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench.addressing import LRUA, NTM, NoMemory
from clbench.controller import MANNetwork

B, S, C, H = 3, 6, 4, 5
SHAPE = (1, 2, 3)
KINDS = ("lrua", "ntm", "lstm")


def make(kind: str) -> MANNetwork:
    torch.manual_seed(0)
    memory = {"lrua": LRUA(H, 7, 4, 2, 0.95), "ntm": NTM(H, 7, 4, 2), "lstm": NoMemory()}[kind]
    return MANNetwork(6, C, H, memory)


def images(seed: int = 0, *first: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*(first or (B, S)), *SHAPE, generator=generator)


def labels(seed: int = 1) -> Tensor:
    return torch.randint(C, (B, S), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_depends_on_labels_told_before_it_and_on_no_other(kind: str) -> None:
    """Shifted labels: that of time t is heard at time t + 1."""
    network, x, y = make(kind), images(), labels()
    logits, _ = network.run(x, y)
    other = y.clone()
    other[:, 3] = (y[:, 3] + 1) % C
    changed = (network.run(x, other)[0] != logits).any(2).all(0)
    assert changed.tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize("kind", ["lrua", "ntm"])
def test_what_was_read_reaches_the_controller(kind: str) -> None:
    """r_{t−1} changes h_t, not the output layer alone."""
    network, x = make(kind), images()
    _, state = network.run(x, labels())
    seen = network.see(x[:, 0].flatten(1))
    other = state.hr.clone()
    other[:, H:] += 1
    assert not torch.equal(
        network.step(seen, replace(state, hr=other)).c, network.step(seen, state).c
    )


def test_without_memory_it_is_an_lstm() -> None:
    network, x, y = make("lstm"), images(), labels()
    lstm: Any = nn.LSTM(6 + C, H, batch_first=True)
    with torch.no_grad():
        own = torch.cat([network.see.weight, network.hear.weight], 1)
        i, f, o, g = 1, 0, 2, 3  # ours is f, i, o, g
        rows = torch.cat([torch.arange(H) + gate * H for gate in (i, f, g, o)])
        lstm.weight_ih_l0.copy_(own[rows])
        lstm.weight_hh_l0.copy_(network.recur.weight[rows])
        lstm.bias_ih_l0.copy_(network.see.bias[rows])
        lstm.bias_hh_l0.zero_()
    before = nn.functional.one_hot(y, C).float().roll(1, 1)
    before[:, 0] = 0
    h, _ = lstm(torch.cat([x.flatten(2), before], 2))
    torch.testing.assert_close(network.run(x, y)[0], network.out(h))


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_of_a_batch_are_independent(kind: str) -> None:
    network, x, y = make(kind), images(), labels()
    together, _ = network.run(x, y)
    for b in range(B):
        alone, _ = network.run(x[b : b + 1], y[b : b + 1])
        torch.testing.assert_close(alone[0], together[b])


@pytest.mark.parametrize("kind", KINDS)
def test_empty_places_change_nothing(kind: str) -> None:
    network, x, y = make(kind), images(), labels()
    valid = torch.ones(B, S, dtype=torch.bool)
    valid[:, 2] = valid[:, 5] = False
    _, state = network.run(x, y, valid)
    kept = [0, 1, 3, 4]
    _, expected = network.run(x[:, kept], y[:, kept])
    for found, wanted in zip(state.tensors(), expected.tensors(), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_queries_are_asked_one_by_one_of_the_same_state_which_stays(kind: str) -> None:
    network = make(kind)
    _, state = network.run(images(), labels())
    before = [tensor.clone() for tensor in state.tensors()]
    queries = images(5, B, 4)
    together = network.ask(queries, state)
    for q in range(4):
        seen = network.see(queries[:, q].flatten(1))
        torch.testing.assert_close(together[:, q], network.out(network.step(seen, state).hr))
    assert all(torch.equal(a, b) for a, b in zip(state.tensors(), before, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_can_be_taken_in_two_parts(kind: str) -> None:
    network, x, y = make(kind), images(), labels()
    whole, _ = network.run(x, y)
    _, state = network.run(x[:, :2], y[:, :2])
    torch.testing.assert_close(network.run(x[:, 2:], y[:, 2:], state=state)[0], whole[:, 2:])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind: str) -> None:
    network, y = make(kind).double(), labels()[:, :3]

    def logits(x: Tensor, *_: Tensor) -> Tensor:
        return network.run(x, y)[0]

    x = images().double()[:, :3].requires_grad_()
    assert torch.autograd.gradcheck(logits, (x, *network.parameters()), fast_mode=True)
