"""Several learners of one kind that take their steps at once, as one stack of networks (`clbench.stack`).

On a GPU a step of a small network is mostly launches, so ten networks cost little more than one. Each learner stays an
ordinary strategy with its own generator, memory and stream, and draws by itself what its step learns from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from clbench.experience import Experience
from clbench.gradient import GradientStrategy
from clbench.graphs import Record
from clbench.lessons import form
from clbench.single_steps import SingleSteps
from clbench.stack import Stack
from clbench.strategy import Strategy

_OURS = (GradientStrategy.learn, GradientStrategy.step, SingleSteps.step)


def alone_because(kind: type[Strategy]) -> str | None:
    """Return why strategies of this class learn one after the other only; None if they can learn together."""
    if not issubclass(kind, GradientStrategy):
        return "it does not learn by gradient steps (it is no GradientStrategy)"
    for method in ("learn", "step"):
        if getattr(kind, method) not in _OURS:
            return (
                f"it has a {method} of its own, which a stack would not call; lessons can yield"
                " what each step learns from and do the rest in between"
            )
    if not _has_stackable_loss(kind):
        return "its loss may depend on more than its arguments: it does not say stackable = True"
    return None


def _has_stackable_loss(kind: type[GradientStrategy]) -> bool:
    """Return whether its loss is the framework's, or said to be stackable, in its own class or below."""
    for each in kind.__mro__[: kind.__mro__.index(GradientStrategy)]:
        if "stackable" in vars(each):
            return bool(vars(each)["stackable"])
        if "loss" in vars(each):
            return False
    return True


class Together:
    """Lets S strategies of one class, with the same hyper-parameters, learn in step.

    Args:
        record: What makes graphs of the stack's steps, where `clbench.captured` has nothing against it; None for none.
    """

    def __init__(self, record: Record | None = None) -> None:
        self._stack: Stack | None = None
        self._record = record

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
                self._stack = Stack(strategies, self._record)
            self._stack.step({index: batches[index] for index in alike})
        for index, batch in batches.items():
            if len(alike) == 1 or index not in alike:
                strategies[index].step(batch)


def most_alike(batches: Mapping[int, Any]) -> list[int]:
    """Return the learners whose batches can be stacked: the largest group of one shape."""
    groups: dict[Any, list[int]] = {}
    for index, batch in batches.items():
        groups.setdefault(form(batch) if is_dataclass(batch) else index, []).append(index)
    return max(groups.values(), key=len, default=[])
