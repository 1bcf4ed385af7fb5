"""A strategy of Avalanche under our evaluator."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor, nn
from torch.nn import functional

from clbench.avalanche import signature
from clbench.avalanche.exemplars import Exemplars, other_bytes
from clbench.avalanche.experience import Classes, TheirExperience, their_experience
from clbench.avalanche.randomness import Randomness
from clbench.avalanche.recipe import Parts, Recipe
from clbench.errors import ClbenchError, NonFiniteLossError, UsageError
from clbench.experience import Experience, StreamInfo, masked
from clbench.loss_trace import LossTrace
from clbench.strategy import Effort, Strategy


class MaskedCrossEntropy(nn.Module):
    """Cross-entropy among the units that compete: our masks, in the shape of a criterion.

    Where the task id is given a label tells its task, since tasks have disjoint classes; so exemplars of earlier
    tasks are masked to theirs.
    """

    def __init__(self, info: StreamInfo) -> None:
        super().__init__()
        self.reduction = "mean"
        """As torch's criteria have it; MIR changes it for a moment."""
        self._tells_task = info.tells_task
        every = torch.ones(info.classes, info.classes, dtype=torch.bool, device=info.device)
        self.register_buffer("competing", every)

    def admit(self, experience: Experience) -> None:
        """Note which units compete with which, from this experience on."""
        rows = torch.unique(experience.y) if self._tells_task else slice(None)
        self.competing[rows] = experience.mask  # type: ignore[operator]

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the loss; logits of another width than C are left as they are."""
        if logits.shape[1] == len(self.competing):  # type: ignore[arg-type]
            logits = masked(logits, self.competing[y])  # type: ignore[index]
        return functional.cross_entropy(logits, y, reduction=self.reduction)


class _Counter(SupervisedPlugin):  # type: ignore[misc]
    """Counts steps and samples and keeps the losses."""

    def __init__(self, effort: Effort, losses: LossTrace, on_step: Callable[[], None]) -> None:
        super().__init__()
        self._effort, self._losses, self._on_step = effort, losses, on_step

    def after_training_iteration(self, strategy: Any, **_: Any) -> None:
        """Note a step."""
        replayed = getattr(strategy, "mb_buffer_y", ())
        self._effort.steps += 1
        self._effort.samples_seen += len(strategy.mb_y) + len(replayed)
        self._losses.add(torch.as_tensor(strategy.loss).mean())
        self._on_step()


class AvalancheStrategy(Strategy):
    """Runs one class of Avalanche; `clbench.avalanche.kinds.of_class` makes a subclass for each."""

    kind: ClassVar[type]
    recipe: ClassVar[Recipe]
    plugins: ClassVar[Any] = None
    """A user's plug-ins for it: a list of them, or a function that returns one."""
    needs_boundaries = True
    resumable = False  # its objects cannot be told as plain data, and a checkpoint holds no pickles

    def skip_reason(self, info: StreamInfo) -> str | None:
        """Return why the class cannot learn such a stream."""
        recipe = self.recipe
        if recipe.reason:
            return f"Avalanche's {self.kind.__name__} {recipe.reason}"
        if info.shots is not None:
            return "does not learn episodes"
        if info.base_classes:
            return "does not learn a base split"
        if recipe.needs_task and not info.tells_task:
            return "needs the task id, which this stream does not tell"
        if recipe.new_classes_only and info.shares_labels:
            return "needs new classes in every experience, which this stream does not have"
        return super().skip_reason(info)

    def check(self, info: StreamInfo) -> None:
        """Refuse what the class cannot be made of."""
        refusal = self.recipe.refusal(self.parameters, info)
        if refusal:
            raise UsageError(f"Avalanche's {self.kind.__name__}: {refusal}")

    def setup(self, info: StreamInfo) -> None:
        """Make the network by our init seed, and the Avalanche strategy around it."""
        self.info = info
        self.randomness = Randomness(info.seeds.train)
        self.criterion = MaskedCrossEntropy(info)
        self.classes = Classes(info.classes)
        self._losses = LossTrace()
        self._learnt = 0
        with self._inside():
            self.learner = self._make()
        exemplars = Exemplars(self.learner, getattr(self.parameters, "memory_size", 0))
        self.memory = exemplars  # type: ignore[assignment]

    def _make(self) -> Any:
        p, info = self.parameters, self.info
        network = self.recipe.network(p, info)
        model = self.recipe.model(network).to(info.device)
        size = info.batch_size if info.online else p.batch_size
        common = {
            "train_mb_size": size,
            "eval_mb_size": size,
            "train_epochs": 1 if info.online else p.epochs,
            "device": info.device,
            "evaluator": None,
        }
        parts = Parts(info, p, network, common)
        given = {
            **self._chosen(),
            **common,
            "model": model,
            "optimizer": self._optimizer(model),
            "criterion": self.criterion,
            "plugins": self._plugins(),
            **{name: make(parts) for name, make in self.recipe.given.items()},
        }
        wanted = signature.arguments(self.kind)
        return self.kind(**{name: value for name, value in given.items() if name in wanted})

    def _optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        p = self.parameters
        kind = torch.optim.SGD if p.optimizer == "sgd" else torch.optim.Adam
        return kind(model.parameters(), lr=p.lr)

    def _plugins(self) -> list[Any] | None:
        """Return a user's plug-ins, new ones for every run."""
        if self.plugins is None:
            return None
        return list(self.plugins() if callable(self.plugins) else copy.deepcopy(self.plugins))

    def _chosen(self) -> dict[str, Any]:
        """Return the hyper-parameters under the names of the constructor's arguments."""
        chosen = dict(self.parameters)
        memory = chosen.get("memory_size")
        if memory is not None:
            share = max(1, memory // (self.info.experiences or 1))
            chosen |= {"mem_size": memory, "patterns_per_exp": share}
        return chosen

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """Let Avalanche's code run: it draws from the global generators, warns and prints."""
        with (
            warnings.catch_warnings(
                record=True
            ),  # it turns filters off, so what it says is dropped
            contextlib.redirect_stdout(io.StringIO()),
            self.randomness.here(),
        ):
            warnings.simplefilter("ignore")
            yield

    def learn(self, experience: Experience) -> None:
        """Let the Avalanche strategy train on the experience.

        Raises:
            ClbenchError: Avalanche's loop would never end.
        """
        self._check_samples(experience)
        self.criterion.admit(experience)
        self._losses = LossTrace()
        counter = _Counter(self.effort, self._losses, self.on_step)
        self.learner.plugins.insert(0, counter)
        theirs = their_experience(experience, self.info, self.classes)
        try:
            with self._inside():
                self.learner.train(theirs, eval_streams=[])
        except Exception as error:
            bad = self._losses.first_bad()
            if bad is not None and bad >= 0:  # what failed was a consequence
                raise NonFiniteLossError(experience.index, int(bad)) from error
            raise
        finally:
            self.learner.plugins.remove(counter)
        self._learnt += 1

    def _check_samples(self, experience: Experience) -> None:
        least = int(torch.unique(experience.y, return_counts=True)[1].min())
        if self.recipe.class_batches and least < self.learner.train_mb_size:
            raise ClbenchError(
                f"Avalanche's {self.kind.__name__} waits for ever for a batch of one class: a class"
                f" has {least} samples, fewer than batch_size={self.learner.train_mb_size}"
            )

    def predict(self, x: Tensor, task: Tensor | None) -> Tensor:
        """Return the logits of the strategy's own evaluation, one task after the other."""
        logits = torch.zeros(len(x), self.info.classes, device=x.device)
        for label in [0] if task is None else torch.unique(task).tolist():
            known = label < self._learnt if self.recipe.needs_task else self._learnt > 0
            if known or self.recipe.answers_untrained:
                rows = slice(None) if task is None else (task == label).nonzero().squeeze(1)
                logits[rows] = self._forward(self.info.normalise(x[rows]), label)
        return logits

    def _forward(self, x: Tensor, label: int) -> Tensor:
        """Run an evaluation step of Avalanche's loop on a batch of one task; training may be under way."""
        learner = self.learner
        kept = {name: vars(learner).get(name) for name in ("mbatch", "mb_output", "loss")}
        before = learner._save_train_state()
        learner.is_training = False
        learner.model.eval()
        y = torch.zeros(len(x), dtype=torch.long, device=x.device)
        learner.mbatch = [x, y, torch.full_like(y, label)]
        learner.experience = TheirExperience(None, label, label, None)
        try:
            with self._inside(), torch.no_grad():
                learner._before_eval_forward()
                learner.mb_output = learner.forward()
                learner._after_eval_forward()
                learner._after_eval_iteration()
            return self._widened(learner.mb_output)
        finally:
            learner._load_train_state(before)
            vars(learner).update(kept)

    def _widened(self, logits: Tensor) -> Tensor:
        """Give units that have no score yet one below all others."""
        missing = self.info.classes - logits.shape[1]
        if missing <= 0:
            return logits[:, : self.info.classes].float()
        least = logits.min(1, keepdim=True).values - 1
        return torch.cat([logits, least.expand(-1, missing)], 1).float()

    def first_bad_step(self) -> Tensor | None:
        """Return the first step whose loss was not finite, −1 if none."""
        return self._losses.first_bad()

    def parameter_count(self) -> int:
        """Return the number of the model's parameters."""
        return sum(p.numel() for p in self.learner.model.parameters())

    def memory_bytes(self) -> int:
        """Return the bytes of exemplars (at stored dtype, with labels), old models and importances."""
        channels, height, width = self.info.shape
        example = channels * height * width * self.info.dtype.itemsize + 8
        held = len(self.memory) if self.memory is not None else 0
        return held * example + other_bytes(self.learner, self.criterion)

    def state_dict(self) -> dict[str, Any]:
        """Return the model's weights; the rest of an Avalanche strategy is not plain data."""
        return {"network": self.learner.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuse: a run of an Avalanche strategy begins again."""
        raise ClbenchError("a strategy of Avalanche cannot go on from a checkpoint")
