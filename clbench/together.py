"""Several learners of one kind that take their steps at once, as one stack of networks.

On a GPU a step of a small network is mostly launches, so ten networks cost little more than one. Each learner stays an
ordinary strategy with its own generator, memory and stream, and draws by itself what its step learns from. What is done
once for all is the forward and backward pass, by `torch.func.vmap` over weights [S, …], and the optimiser's step. A
learner's parameters and gradients are views of the stack's, so that whatever a method does around a step (`penalise`,
`before_step`, `after_step`), predictions and checkpoints need not know of it.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from clbench.backward import backward, not_a_loss
from clbench.blame import defined_at
from clbench.errors import ClbenchError
from clbench.gradient import GradientStrategy
from clbench.strategy import Strategy
from clbench.stream import Experience


def alone_because(kind: type[Strategy]) -> str | None:
    """Return why strategies of this class learn one after the other only; None if they can learn together."""
    if not issubclass(kind, GradientStrategy):
        return "it is no GradientStrategy"
    if kind.learn is not GradientStrategy.learn or kind.step is not GradientStrategy.step:
        return "its learning is not made of the framework's steps"
    if kind.loss is not GradientStrategy.loss and not kind.stackable:
        return "its loss may depend on more than its arguments: it does not say stackable = True"
    return None


class Together:
    """Lets S strategies of one class, with the same hyper-parameters, learn in step."""

    def __init__(self) -> None:
        self._stack: Stack | None = None

    def learn(
        self, strategies: Sequence[GradientStrategy], experiences: Sequence[Experience]
    ) -> list[BaseException | None]:
        """Let each strategy learn its experience; they may need different numbers of steps.

        Returns:
            What each strategy raised. Before a step it costs the others nothing; in one, all who take it end.
        """
        lessons = [s.lessons(e) for s, e in zip(strategies, experiences, strict=True)]
        raised: list[BaseException | None] = [None] * len(strategies)
        going = set(range(len(strategies)))
        while going:
            batches = {}
            for index in sorted(going):
                try:
                    batches[index] = next(lessons[index])
                except StopIteration:
                    going.remove(index)
                except Exception as error:
                    raised[index] = error
                    going.remove(index)
            try:
                self._step(strategies, batches)
            except Exception as error:  # the step was that of all who are still learning
                return [error if index in going else raised[index] for index in range(len(raised))]
        return raised

    def _step(self, strategies: Sequence[GradientStrategy], batches: Mapping[int, Any]) -> None:
        """Take a step of each: of the many that have batches of one shape at once, of the others one by one."""
        alike = most_alike(batches)
        if len(alike) > 1:
            if self._stack is None or not self._stack.holds(strategies):
                self._stack = Stack(strategies)
            self._stack.step({index: batches[index] for index in alike})
        for index, batch in batches.items():
            if len(alike) == 1 or index not in alike:
                strategies[index].step(batch)


def most_alike(batches: Mapping[int, Any]) -> list[int]:
    """Return the learners whose batches can be stacked: the largest group of one shape."""
    groups: dict[Any, list[int]] = {}
    for index, batch in batches.items():
        groups.setdefault(_form(batch) if is_dataclass(batch) else index, []).append(index)
    return max(groups.values(), key=len, default=[])


def _form(batch: Any) -> tuple[Any, ...]:
    """Return what batches must share: the shapes of their tensors, and everything else in them."""
    values = [getattr(batch, field.name) for field in fields(batch)]
    return (type(batch), *(v.shape if isinstance(v, Tensor) else v for v in values))


class Stack:
    """The networks of S learners as one: weights [S, …], of which each learner's parameters are views."""

    def __init__(self, learners: Sequence[GradientStrategy]) -> None:
        self._learners = list(learners)
        self._networks = [learner.network for learner in learners]
        of = [dict(network.named_parameters()) for network in self._networks]
        self._weights = {name: torch.stack([p[name].detach() for p in of]) for name in of[0]}
        self._gradients = {name: torch.zeros_like(w) for name, w in self._weights.items()}
        self._views = [
            [(p, self._gradients[name][index]) for name, p in parameters.items()]
            for index, parameters in enumerate(of)
        ]
        for name, weight in self._weights.items():
            for index, parameters in enumerate(of):
                parameters[name].data = weight[index]
            weight.requires_grad_()
            weight.grad = self._gradients[name]
        self._optimizer = self._one_for_all()

    def holds(self, learners: Sequence[GradientStrategy]) -> bool:
        """Return whether these are its learners, and have the networks that were stacked."""
        networks = [learner.network for learner in learners]
        return learners == self._learners and all(map(operator.is_, networks, self._networks))

    def step(self, batches: Mapping[int, Any]) -> None:
        """Take a step of some of the learners at once, as `GradientStrategy.step` is one learner's."""
        learners = [self._learners[index] for index in batches]
        losses = self._losses(batches)
        if losses.ndim != 1:
            raise not_a_loss(losses[0], learners[0].loss)
        backward(losses.sum(), learners[0].loss)
        for parameter, gradient in self._of(batches):
            parameter.grad = gradient
        penalties = [learner.penalise() for learner in learners]
        for learner in learners:
            learner.before_step()
        self._optimizer.step()
        for learner in learners:
            learner.after_step()
        for parameter, _ in self._of(batches):
            parameter.grad = None  # what has no gradient is not stepped: see `_one_for_all`
        torch._foreach_zero_(list(self._gradients.values()))
        each = zip(learners, batches.values(), losses.detach().unbind(), penalties, strict=True)
        for learner, batch, loss, penalty in each:
            learner.count(batch, loss if penalty is None else loss + penalty)

    def _losses(self, batches: Mapping[int, Any]) -> Tensor:
        """Return the learners' losses [S], as the first one computes its own."""
        leader, sample = self._learners[0], next(iter(batches.values()))
        chosen, every = list(batches), len(batches) == len(self._learners)
        weights = {name: w if every else w[chosen] for name, w in self._weights.items()}

        def loss(weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
            def network(x: Tensor) -> Any:
                return functional_call(self._networks[0], weights, (x,))

            return leader.loss(network, replace(sample, **tensors))

        with _stackable(leader):
            losses: Tensor = vmap(loss)(weights, _stacked(list(batches.values())))
        return losses

    def _of(self, chosen: Iterable[int]) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Yield each parameter of some learners with its gradient."""
        for index in chosen:
            yield from self._views[index]

    def _one_for_all(self) -> torch.optim.Optimizer:
        """Return an optimiser of all parameters, which shares each one's state with its learner's own."""
        networks = nn.ModuleList(self._networks)
        optimizer = self._learners[0].make_optimizer(networks)
        for learner in self._learners:
            for parameter in learner.network.parameters():
                optimizer.state[parameter] = learner.optimizer.state[parameter]
        return optimizer


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


def _stacked(batches: Sequence[Any]) -> dict[str, Tensor]:
    """Return the batches' tensors, each with a leading axis of learners."""
    names = [field.name for field in fields(batches[0])]
    tensors = [name for name in names if isinstance(getattr(batches[0], name), Tensor)]
    return {name: torch.stack([getattr(batch, name) for batch in batches]) for name in tensors}
