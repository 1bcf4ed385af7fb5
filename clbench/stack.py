"""A stack of networks: S learners' weights and buffers as tensors [S, …], and the steps that all of them take as one.

The forward and backward pass is made by `torch.func.vmap`, the optimiser's step by one for all. A learner's parameters,
buffers and gradients are views of the stack's, so that whatever a method does around a step (`penalise`,
`before_step`, `after_step`) and between steps (`lessons`), predictions and checkpoints need not know of it.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from clbench.backward import not_a_loss, slopes
from clbench.blame import defined_at
from clbench.errors import ClbenchError
from clbench.flat import views
from clbench.gradient import GradientStrategy
from clbench.graphs import Record, Replayed
from clbench.inner_loop import InnerOptimizer
from clbench.lessons import filled, stacked, tensors_of


class Stack:
    """The networks of S learners as one: weights and buffers [S, …], of which each learner's are views.

    Args:
        learners: S.
        record: What makes graphs of steps, which all of them take; who takes none forgets it.
    """

    def __init__(self, learners: Sequence[GradientStrategy], record: Record | None = None) -> None:
        self._learners = list(learners)
        self._networks = [learner.stepped for learner in learners]
        self._loss = _Loss(self._learners[0])
        parameters = [list(network.parameters()) for network in self._networks]
        buffers = [list(network.buffers()) for network in self._networks]
        self._weights, self._gradients = self._room(parameters)
        self._buffers = [torch.stack(each) for each in zip(*buffers, strict=True)]
        for index in range(len(learners)):
            _share(parameters[index], self._weights, index)
            _share(buffers[index], self._buffers, index)
        for weight, parameter in zip(self._weights, parameters[0], strict=True):
            weight.requires_grad_(parameter.requires_grad)
        self._lent = [
            [(p, g[index]) for p, g in zip(own, self._gradients, strict=True) if p.requires_grad]
            for index, own in enumerate(parameters)
        ]
        self._lend(range(len(learners)))
        self._optimizer = self._one_for_all()
        # A learner can forget a step of which weights, buffers and moments are all that it changes.
        kind, own = type(learners[0]), GradientStrategy
        hooks = kind.before_step is own.before_step and kind.after_step is own.after_step
        self._forgets = self._optimizer is not None and hooks
        self._replayed: Replayed | None = None
        if record is not None:
            self._replayed = Replayed(self._all, learners[0].info.device, record)

    def holds(self, learners: Sequence[GradientStrategy]) -> bool:
        """Return whether these are its learners, and have the networks that were stacked."""
        networks = [learner.stepped for learner in learners]
        return learners == self._learners and all(map(operator.is_, networks, self._networks))

    def step(self, batches: Mapping[int, Any]) -> None:
        """Take the steps of some of the learners at once, as `GradientStrategy.step` takes one learner's."""
        parts = [self._learners[index].parts(batch) for index, batch in batches.items()]
        for each in zip(*parts, strict=True):
            self._step(dict(zip(batches, each, strict=True)))

    def _step(self, batches: Mapping[int, Any]) -> None:
        penalties: list[Tensor | None] = [None] * len(batches)
        losses = self._replay(batches)
        if losses is None:
            each = list(batches.values())
            lesson = filled(each[0], iter(stacked(each)))
            found, penalties = self._advance(list(batches), lesson)
            losses = found.unbind()
        counted = zip(batches.items(), losses, penalties, strict=True)
        for (index, batch), loss, penalty in counted:
            self._learners[index].count(batch, loss if penalty is None else loss + penalty)

    def _replay(self, batches: Mapping[int, Any]) -> Sequence[Tensor] | None:
        """Take the steps by a graph and return the losses; None where there is none for them.

        A graph steps all learners. Those who take none learn somebody's lesson and forget it.
        """
        idle = [index for index in range(len(self._learners)) if index not in batches]
        if self._replayed is None or (idle and not self._forgets):
            return None
        spare = next(iter(batches.values()))
        each = [batches.get(index, spare) for index in range(len(self._learners))]
        lesson = filled(spare, iter(stacked(each)))
        if idle and not self._replayed.has(lesson):
            return None
        with self._unchanged(idle):
            losses = self._replayed(lesson).unbind()
        return [losses[index] for index in batches]

    @contextmanager
    def _unchanged(self, idle: Sequence[int]) -> Iterator[None]:
        """Let learners be afterwards what they were before a step."""
        own: list[Tensor] = []
        for index in idle:
            for parameter in self._networks[index].parameters():
                state = self._learners[index].optimizer.state[parameter].values()
                own += [parameter, *(t for t in state if isinstance(t, Tensor))]
            own += self._networks[index].buffers()
        saved = [tensor.detach().clone() for tensor in own]
        try:
            yield
        finally:
            if own:
                with torch.no_grad():
                    torch._foreach_copy_(own, saved)

    def _all(self, lesson: Any) -> Tensor:
        """Take the steps of all learners, none of which has a penalty."""
        return self._advance(list(range(len(self._learners))), lesson)[0]

    def _advance(self, chosen: Sequence[int], lesson: Any) -> tuple[Tensor, list[Tensor | None]]:
        """Take the steps on lessons stacked as one; return the losses [S], and the penalties beside them."""
        learners = [self._learners[index] for index in chosen]
        losses = self._losses(chosen, lesson)
        if losses.ndim != 1:
            raise not_a_loss(losses[0], learners[0].loss)
        learnt = [n for n, weight in enumerate(self._weights) if weight.requires_grad]
        found = slopes(losses.sum(), [self._weights[n] for n in learnt], learners[0].loss)
        torch._foreach_copy_([self._gradients[n] for n in learnt], list(found))
        self._lend(chosen)
        penalties = [learner.penalise() for learner in learners]
        for learner in learners:
            learner.before_step()
        self._optimise(learners)
        for learner in learners:
            learner.after_step()
        self._take_back(chosen)
        return losses.detach(), penalties

    def _losses(self, chosen: Sequence[int], lesson: Any) -> Tensor:
        """Return the learners' losses [S], as the first one computes its own."""
        every = len(chosen) == len(self._learners)
        # Made only where it is needed: a graph cannot record a copy from the host.
        rows = None if every else torch.tensor(chosen, device=self._weights[0].device)
        state = [t if rows is None else t[rows] for t in (*self._weights, *self._buffers)]

        def loss(state: list[Tensor], tensors: list[Tensor]) -> Any:
            named = dict(zip(self._loss.names, state, strict=True))
            return functional_call(self._loss, named, (filled(lesson, iter(tensors)),))

        with _stackable(self._learners[0]):
            losses: Tensor = vmap(loss)(state, tensors_of(lesson))
        if rows is not None:
            for buffer, changed in zip(self._buffers, state[len(self._weights) :], strict=True):
                buffer[rows] = changed
        return losses

    def _lend(self, chosen: Iterable[int]) -> None:
        """Let the parameters of some learners have their gradients."""
        for index in chosen:
            for parameter, gradient in self._lent[index]:
                parameter.grad = gradient

    def _take_back(self, chosen: Iterable[int]) -> None:
        """Forget the gradients after a step; what has none, torch's optimisers do not step."""
        if self._optimizer is None:
            torch._foreach_zero_(self._gradients)
            return
        for index in chosen:
            for parameter, _ in self._lent[index]:
                parameter.grad = None

    def _optimise(self, learners: Sequence[GradientStrategy]) -> None:
        if self._optimizer is None:
            InnerOptimizer.step_each([cast(Any, learner.optimizer) for learner in learners])
        else:
            self._optimizer.step()

    def _one_for_all(self) -> torch.optim.Optimizer | None:
        """Return an optimiser of all parameters, which shares each one's state with its learner's own.

        None where these are `InnerOptimizer`s, which are stepped together as they are.
        """
        if any(isinstance(learner.optimizer, InnerOptimizer) for learner in self._learners):
            return None
        optimizer = self._learners[0].make_optimizer(nn.ModuleList(self._networks))
        for learner in self._learners:
            for parameter in learner.stepped.parameters():
                optimizer.state[parameter] = learner.optimizer.state[parameter]
        return optimizer

    def _room(self, of: Sequence[Sequence[nn.Parameter]]) -> tuple[list[Tensor], list[Tensor]]:
        """Return weights [S, …] and gradients of 0 for each parameter; of flat networks, views of rows [S, P].

        The vectors that such learners hold live in these rows from now on.
        """
        flat = [learner.flat for learner in self._learners if learner.flat is not None]
        if not flat:
            weights = [torch.stack([p.detach() for p in each]) for each in zip(*of, strict=True)]
            return weights, [torch.zeros_like(weight) for weight in weights]
        rows = torch.stack([weights for weights, _ in flat])
        of_gradients = torch.zeros_like(rows)
        for index, vectors in enumerate(flat):
            _share(vectors, (rows, of_gradients), index)
        network = self._networks[0]
        return list(views(rows, network)), list(views(of_gradients, network))


class _Loss(nn.Module):
    """A strategy's loss as a module, so that its network's weights and buffers can be given."""

    def __init__(self, learner: GradientStrategy) -> None:
        super().__init__()
        self._learner, self.network = learner, learner.stepped
        named = (self.named_parameters(), self.named_buffers())
        self.names = [name for part in named for name, _ in part]

    def forward(self, lesson: Any) -> Any:
        """Return the loss."""
        return self._learner.loss(self.network, lesson)


def _share(own: Sequence[Tensor], of_all: Sequence[Tensor], index: int) -> None:
    """Let a learner's tensors be views of those of all [S, …]."""
    for tensor, stack in zip(own, of_all, strict=True):
        tensor.data = stack[index]


@contextmanager
def _stackable(learner: GradientStrategy) -> Iterator[None]:
    """Let what vmap refuses be said in words of the method."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        name, place = learner.loss.__name__, defined_at(learner.loss)
        if "must only return Tensors" in str(error):
            raise ClbenchError(f"{name} must return a scalar tensor{place}") from error
        if str(error).startswith("vmap: It looks like"):  # .item(), if tensor
            raise ClbenchError(
                f"{name} synchronises (.item(), if tensor), which learners in a stack cannot; run"
                f" without --together, or keep to tensors (torch.where){place}"
            ) from error
        raise
