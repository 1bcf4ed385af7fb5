"""White-box tests of external memories, by hand and by loop: LRUA (Santoro et al. 2016), NTM (Graves et al. 2014)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clbench.addressing import (
    EMPTY,
    LRUA,
    NTM,
    Addressing,
    address,
    cosine,
    interpolated,
    least_used,
    sharpened,
    shifted,
)

B, N, D, R, H = 3, 7, 4, 2, 5


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights(*shape: int) -> Tensor:
    return numbers(*shape, seed=4).softmax(-1)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ([0.3, 0.1, 0.9, 0.2], [1, 3]),
        ([0.5, 0.0, 0.0, 0.0], [1, 2]),  # of equals, the first
        ([1.0, 1.0, 1.0, 1.0], [0, 1]),
        ([0.2, 0.7, 0.2, 0.1], [3, 0]),
    ],
)
def test_the_least_used_slots_are_as_many_as_asked_even_where_usages_are_equal(
    usage: list[float], expected: list[int]
) -> None:
    chosen = least_used(torch.tensor([usage]), 2)
    assert chosen.sum(2).tolist() == [[1, 1]]
    assert chosen.argmax(2).tolist() == [expected]


def lrua(alpha: float) -> LRUA:
    """An LRUA whose gates σ(α) are all the same, whatever the controller says."""
    torch.manual_seed(0)
    memory = LRUA(H, N, D, R, decay=0.9)
    with torch.no_grad():
        for head in range(R):
            memory.emit.weight[head * (D + 1) + D] = 0
            memory.emit.bias[head * (D + 1) + D] = alpha
    return memory


def keys(memory: LRUA, h: Tensor) -> Tensor:
    emitted: Tensor = memory.emit(h).view(len(h), R, D + 1)
    return emitted[:, :, :D].tanh()


def test_the_erased_slots_are_the_least_used_and_are_written() -> None:
    """With the gate at 0 nothing else is touched."""
    memory, h = lrua(alpha=-50.0), numbers(1, H)
    usage = torch.tensor([[5.0, 0.4, 3.0, 0.1, 2.0, 9.0, 1.0]])
    before = numbers(1, N, D, seed=2)
    _, (after, _, _) = memory.step(h, (before, weights(1, R, N), usage))
    changed = (after != before).any(2)[0].nonzero().flatten().tolist()
    assert changed == [1, 3]
    k = keys(memory, h)[0]
    torch.testing.assert_close(after[0, 3], k[0])  # nothing is left of what was there
    torch.testing.assert_close(after[0, 1], k[1])


def test_with_the_gate_open_keys_go_to_the_slots_read_last_and_the_least_used_are_just_erased() -> (
    None
):
    memory, h = lrua(alpha=50.0), numbers(1, H)
    read = functional.one_hot(torch.tensor([[2, 5]]), N).float()
    usage = torch.tensor([[5.0, 0.4, 3.0, 0.1, 2.0, 9.0, 1.0]])
    before = numbers(1, N, D, seed=2)
    _, (after, _, _) = memory.step(h, (before, read, usage))
    k = keys(memory, h)[0]
    expected = before[0].clone()
    expected[[1, 3]] = 0
    expected[2] += k[0]
    expected[5] += k[1]
    torch.testing.assert_close(after[0], expected)


def test_a_step_of_lrua_equals_the_equations_written_as_loops() -> None:
    memory, h = lrua(alpha=0.3), numbers(B, H)
    M, read, usage = numbers(B, N, D, seed=2), weights(B, R, N), numbers(B, N, seed=3).abs()
    r, (M_after, read_after, usage_after) = memory.step(h, (M, read, usage))
    gate = float(torch.tensor(0.3).sigmoid())
    for b in range(B):
        k = keys(memory, h)[b]
        lowest = usage[b].argsort()[:R]
        expected = M[b].clone()
        expected[lowest] = 0
        used = 0.9 * usage[b]
        for head in range(R):
            w = gate * read[b, head]
            w[lowest[head]] += 1 - gate
            used = used + w
            expected = expected + w[:, None] * k[head]
        torch.testing.assert_close(M_after[b], expected)
        for head in range(R):
            w = functional.cosine_similarity(k[head][None], expected).softmax(0)
            torch.testing.assert_close(read_after[b, head], w, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(r[b].view(R, D)[head], w @ expected, atol=1e-5, rtol=1e-5)
            used = used + w
        torch.testing.assert_close(usage_after[b], used)


def test_a_step_of_ntm_equals_the_equations_written_as_loops() -> None:
    torch.manual_seed(0)
    memory, h = NTM(H, N, D, R), numbers(B, H)
    M, before = numbers(B, N, D, seed=2), weights(B, R + 1, N)
    r, (M_after, after) = memory.step(h, (M, before))
    emitted = memory.emit(h).view(B, R + 1, D + 6)
    erase, add = memory.emit_write(h)[:, :D].sigmoid(), memory.emit_write(h)[:, D:].tanh()
    for b in range(B):
        write = by_loop(emitted[b, R], M[b], before[b, R])
        expected = torch.stack([M[b, i] * (1 - write[i] * erase[b]) for i in range(N)])
        expected = torch.stack([expected[i] + write[i] * add[b] for i in range(N)])
        torch.testing.assert_close(after[b, R], write, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(M_after[b], expected, atol=1e-5, rtol=1e-4)
        for head in range(R):
            w = by_loop(emitted[b, head], expected, before[b, head])
            torch.testing.assert_close(after[b, head], w, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(r[b].view(R, D)[head], w @ expected, atol=1e-5, rtol=1e-4)


def by_loop(emitted: Tensor, M: Tensor, before: Tensor) -> Tensor:  # noqa: N803
    """The four stages of Graves et al. 2014, section 3.3, for one head."""
    key, (beta, gate, *shift, gamma) = emitted[:D].tanh(), emitted[D:]
    similar = functional.cosine_similarity(key[None], M)
    content = (functional.softplus(beta) * similar).softmax(0)
    g = gate.sigmoid()
    inner = g * content + (1 - g) * before
    s = torch.stack(shift).softmax(0)
    moved = torch.stack(
        [
            sum(inner[j] * s[(i - j + 1) % N] for j in range(N) if (i - j + 1) % N < 3)
            for i in range(N)
        ]
    )
    powers = moved ** (1 + functional.softplus(gamma))
    return powers / powers.sum()


def test_no_shift_no_sharpening_and_a_closed_gate_change_nothing() -> None:
    before = weights(B, R, N)
    one = torch.ones(B, R, 1)
    stay = torch.tensor([0.0, 1.0, 0.0]).expand(B, R, 3)
    kept = interpolated(numbers(B, R, N).softmax(2), before, 0 * one)
    torch.testing.assert_close(sharpened(shifted(kept, stay), one), before)
    big = 60.0  # the same through what a head emits: g = 0, s = [0, 1, 0], γ = 1
    emitted = torch.zeros(B, R, D + 6)
    emitted[:, :, D + 1 :] = torch.tensor([-big, -big, big, -big, -big])
    torch.testing.assert_close(address(emitted, numbers(B, N, D), before), before)


@pytest.mark.parametrize(("share", "moves"), [([1.0, 0, 0], -1), ([0, 0, 1.0], 1)])
def test_the_direction_of_a_shift_and_that_it_is_circular(share: list[float], moves: int) -> None:
    for start in range(N):
        weight = functional.one_hot(torch.tensor([[start]]), N).float()
        moved = shifted(weight, torch.tensor([[share]]))
        assert moved[0, 0].tolist() == [float(i == (start + moves) % N) for i in range(N)]


def test_sharpening_moves_weight_to_the_largest() -> None:
    weight = torch.tensor([[[0.5, 0.3, 0.2]]])
    sharper = sharpened(weight, torch.full((1, 1, 1), 3.0))
    torch.testing.assert_close(sharper[0, 0], torch.tensor([0.125, 0.027, 0.008]) / 0.16)


@pytest.mark.parametrize("kind", ["lrua", "ntm"])
def test_weights_are_positive_and_sum_to_one_for_many_steps(kind: str) -> None:
    memory = make(kind)
    slots = memory.initial(B, torch.ones(()))
    assert torch.equal(slots[0], torch.full((B, N, D), EMPTY))
    for t in range(40):
        read, slots = memory.step(5 * numbers(B, H, seed=t), slots)
        assert (slots[1] >= 0).all()
        torch.testing.assert_close(slots[1].sum(2), torch.ones(slots[1].shape[:2]))
        assert read.shape == (B, memory.width)
        assert all(tensor.isfinite().all() for tensor in slots)


def test_an_empty_slot_is_like_nothing_and_its_gradient_is_finite() -> None:
    empty = torch.zeros(1, N, D, requires_grad=True)
    similar = cosine(numbers(1, R, D), empty)
    assert (similar == 0).all()
    similar.sum().backward()  # type: ignore[no-untyped-call]
    assert empty.grad is not None
    assert empty.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["lrua", "ntm"])
def test_a_step_changes_no_state_in_place(kind: str) -> None:
    memory = make(kind)
    slots = memory.initial(B, torch.ones(()))
    before = [tensor.clone() for tensor in slots]
    memory.step(numbers(B, H), slots)
    assert all(torch.equal(a, b) for a, b in zip(slots, before, strict=True))


@pytest.mark.parametrize("kind", ["lrua", "ntm"])
def test_gradients_agree_with_finite_differences(kind: str) -> None:
    memory = make(kind).double()
    start = memory.initial(B, torch.ones((), dtype=torch.float64))

    def read(*hs: Tensor) -> Tensor:
        slots, found = start, []
        for h in hs:
            r, slots = memory.step(h, slots)
            found.append(r)
        return torch.stack(found)

    hs = [numbers(B, H, seed=t).double().requires_grad_() for t in range(3)]
    assert torch.autograd.gradcheck(read, hs)


def make(kind: str) -> Addressing:
    torch.manual_seed(0)
    return LRUA(H, N, D, R, 0.95) if kind == "lrua" else NTM(H, N, D, R)
