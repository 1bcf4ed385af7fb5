"""Networks that read gradients coordinate by coordinate: the generators of meta-learners.

Andrychowicz et al. 2016 (NeurIPS), appendix A: a gradient g becomes the two features
(log|g|/p, sign g) if |g| ≥ e⁻ᵖ, else (−1, eᵖ g).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

P = 7.0


def coordinate(gradient: Tensor, p: float = P) -> Tensor:
    """Return a scalar s of each gradient, of which both features are piecewise linear functions.

    s = eᵖ g inside ±1, and grows by the logarithm outside: sign(g) (1 + p + log|g|).
    """
    inside = functional.hardtanh_(gradient * math.exp(p))  # clamp_ has no rule for vmap
    size = gradient.abs().clamp_min_(math.exp(-p))  # the logarithm of 0 is slow on a CPU
    return size.log_().add_(p).clamp_min_(0).copysign_(gradient).add_(inside)


def features(s: Tensor, p: float = P, dim: int = -1) -> Tensor:
    """Return the two features of a coordinate from `coordinate`, stacked in a new dimension ``dim``."""
    return torch.stack([((s.abs() - 1).clamp_min(0) / p) - 1, s.clamp(-1, 1)], dim)


class Generator(nn.Module):
    """A network that generates weights."""

    output: nn.Linear

    def initialise(self, bound: float, *, centred: bool) -> None:
        """Draw all parameters from U[−bound, bound); the output begins small.

        Args:
            bound: 0.1 in the paper.
            centred: Whether gradients of 0 begin with an output of 0, else the output's bias does. A constant in all
                of a kernel's 576 weights adds up over its inputs, from layer to layer.
        """
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound)
            self.output.bias.zero_()
            if centred:
                self.output.bias.sub_(self(torch.zeros(5, 1)).flatten()[0])


class ScalarGenerator(Generator):
    """An MLP from one gradient scalar to one number, applied to every coordinate.

    Being a function of one scalar, and with ReLU piecewise linear in `coordinate`, it is evaluated at the knots of a
    fine grid and interpolated between them: the same values but within a knot of a kink, 30 times as fast.
    Gradients with |g| > e⁴ count as e⁴.

    Args:
        hidden: Width of the two hidden layers.
        knots: Knots per unit of `coordinate`.
    """

    _REACH = 12

    def __init__(self, hidden: int = 20, knots: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.output = nn.Linear(hidden, 1)
        self._knots = knots

    def forward(self, gradient: Tensor) -> Tensor:
        """Return one number per coordinate of ``gradient``, which is a constant."""
        reach = self._REACH
        places = torch.arange(-reach * self._knots, reach * self._knots + 1, device=gradient.device)
        table = self.direct(places / self._knots)
        s = functional.hardtanh_(coordinate(gradient), -reach, reach)
        position = (s + reach) * self._knots
        values: Tensor = _Interpolation.apply(table, position)[0]
        return values

    def direct(self, s: Tensor) -> Tensor:
        """Return the MLP's value at coordinates ``s``, without the table."""
        values: Tensor = self.output(self.layers(features(s)))
        return values.squeeze(-1)


class _Interpolation(torch.autograd.Function):
    """Linear interpolation in a table, differentiable in the table only."""

    generate_vmap_rule = True

    @staticmethod
    def forward(table: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the values, and for the way back the knots below and the shares of those above, flat."""
        index = position.flatten().int().clamp_max_(len(table) - 2)
        share = position.flatten() - index
        # Seven times as fast as table[index] on a CPU.
        below, step = table.index_select(0, index), table.diff().index_select(0, index)
        return torch.addcmul(below, share, step).view_as(position), index, share

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, ...]) -> None:
        _, index, share = output
        ctx.mark_non_differentiable(index, share)
        ctx.save_for_backward(index, share)
        ctx.size = len(inputs[0])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        index, share = ctx.saved_tensors
        above = grads[0].flatten()
        zeros = above.new_zeros(ctx.size)
        index = index.long()
        total = zeros.scatter_add(0, index, above)
        upper = zeros.scatter_add(0, index, above * share)
        grad = total - upper
        grad[1:] += upper[:-1]
        return grad, None


class SequenceGenerator(Generator):
    """An LSTM from a sequence of gradients of one coordinate to one number, shared by all coordinates.

    Coordinates are columns, a block of them at a time, which bounds the memory.

    Its values are exact but for rounding; the gradient of its weights is estimated without bias from every
    ``stride``-th coordinate, times ``stride``, the offset going round from call to call: half of the time.

    Args:
        hidden: Width of its state.
        stride: 1 for the whole gradient.
        block: Coordinates at a time.
    """

    offset: Tensor

    def __init__(self, hidden: int = 20, stride: int = 8, block: int = 8192) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros((), dtype=torch.int64))
        self._stride = stride
        cell = nn.LSTMCell(2, hidden)  # for its initial weights
        self.from_input = nn.Parameter(cell.weight_ih.detach().clone())
        self.from_state = nn.Parameter(cell.weight_hh.detach().clone())
        self.bias = nn.Parameter((cell.bias_ih + cell.bias_hh).detach()[:, None])
        self.output = nn.Linear(hidden, 1)
        self._hidden, self._block = hidden, block

    def forward(self, gradients: Tensor) -> Tensor:
        """Return [P] numbers for gradients [T, P], which are constants."""
        s = coordinate(gradients)
        if not torch.is_grad_enabled():
            return self._read_distinct(s)
        if self._stride == 1:
            return self._read_all(s)
        rows = torch.arange(0, s.shape[1], self._stride, device=s.device) + self.offset
        times = torch.where(
            rows < s.shape[1], self._stride, 0
        )  # a place behind the end counts nothing
        rows = rows.clamp(max=s.shape[1] - 1)
        self.offset.copy_((self.offset + 1) % self._stride)
        traced = self._read_distinct(s.index_select(1, rows))
        with torch.no_grad():  # all places of what is traced are read as one, of zeros, on a CPU
            values = self._read_distinct(s.index_fill(1, rows, 0.0))
        return values.index_put((rows,), times * traced - (times - 1) * traced.detach())

    def _read_distinct(self, s: Tensor) -> Tensor:
        """Return outputs for [T, P], equal coordinates read once: backgrounds and silent units make most of them equal.

        Elsewhere than on a CPU finding them would synchronise, and all are read; so they are in a stack of learners,
        of which each would find its own number.
        """
        if not on_cpu(s):
            return self._read_all(s)
        first, place = _distinct(s)
        # Products of whole multiples of 64 columns give a column the same bits wherever it stands.
        padded = torch.cat([first, first[:1].expand(-len(first) % 64)])
        once = s.index_select(1, padded)
        if not torch.equal(once.index_select(1, place), s):  # two hashes were the same
            return self._read_all(s)
        return self._read_all(once).index_select(0, place)

    def _read_all(self, s: Tensor) -> Tensor:
        weights = self._joint_weights()
        in_place = on_cpu(s) and on_cpu(weights) and not torch.is_grad_enabled()
        read = self._read_in_place if in_place else self._read
        return torch.cat([read(block, weights) for block in torch.split(s, self._block, 1)])

    def _joint_weights(self) -> Tensor:
        """Return [4·hidden, hidden + 3] for columns (h/2, features, 1); the rows of gate g, the last, are doubled."""
        joint = torch.cat([2 * self.from_state, self.from_input, self.bias], 1)
        return torch.cat([joint[: -self._hidden], 2 * joint[-self._hidden :]])

    def _read(self, s: Tensor, weights: Tensor) -> Tensor:
        """Return the last output for coordinates [T, B]; gates stand in the order i, f, o, g.

        tanh z is 2σ(2z) − 1, on a CPU 2.8 times as fast: twice the cell and half the state are carried, so that the
        factors cost no pass of their own and one σ reads all gates.
        """
        half, one = s.new_zeros(self._hidden, s.shape[1]), s.new_ones(1, s.shape[1])
        twice_c = torch.zeros_like(half)
        for step in features(s, dim=1):
            gates = (weights @ torch.cat([half, step, one])).sigmoid()
            i, f, o, g = gates.view(4, self._hidden, -1).unbind(0)
            twice_c = torch.addcmul(f * twice_c, i, g - 0.5, value=4)
            half = o * (twice_c.sigmoid() - 0.5)
        return (2 * self.output.weight @ half).squeeze(0) + self.output.bias

    def _read_in_place(self, s: Tensor, weights: Tensor) -> Tensor:
        """Return what `_read` returns, in buffers that are used again in every step: a third less time.

        σ(z) is 1/(1 + 2^(−z·log₂e)): on a CPU exp2 is twice as fast as σ or exp.
        """
        hidden, columns = self._hidden, s.shape[1]
        rows, twice_c = s.new_zeros(hidden + 3, columns), s.new_zeros(hidden, columns)
        gates, weights = s.new_empty(4 * hidden, columns), weights * -math.log2(math.e)
        (i, f, o, g), half = gates.view(4, hidden, columns).unbind(0), rows[:hidden]
        rows[-1] = 1
        for time, step in enumerate(features(s, dim=1)):
            rows[hidden:-1] = step
            known = 0 if time else hidden  # at first the state is 0
            torch.mm(weights[:, known:], rows[known:], out=gates).exp2_().add_(1).reciprocal_()
            twice_c.mul_(f).addcmul_(i, g.sub_(0.5), value=4)
            torch.sigmoid(twice_c, out=half).sub_(0.5).mul_(o)
        return (2 * self.output.weight @ half).squeeze(0) + self.output.bias


def on_cpu(s: Tensor) -> bool:
    """Whether a tensor lies on a CPU, and is not one of a stack of learners' (`clbench.together`)."""
    return s.device.type == "cpu" and not torch._C._functorch.is_batchedtensor(s)


def _distinct(s: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each different column of [T, P] stands, and which of them each column is, by a 64-bit hash."""
    mixed = torch.zeros(s.shape[1], dtype=torch.int64)
    for row in s.view(torch.int32):
        mixed = mixed * 6364136223846793005 + row
    values, place = torch.unique(mixed, return_inverse=True)
    positions = torch.arange(len(place))
    return torch.empty_like(values).scatter_(0, place, positions), place
