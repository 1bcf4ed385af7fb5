"""MetaNet's time for an episode, of whatever version of clbench is imported; a process of its own for `metanet`.

``python -P episode.py REQUEST`` prints as JSON the seconds of a training episode, of building the memory of the
exemplars and of an answer from it; with ``"count": true`` in the request, then the number of floating-point operations
of the matrix products of a training episode, too.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from typing import Any

import torch
from clbench.strategies.metanet import MetaNet
from torch.utils.flop_counter import FlopCounterMode

from clbench.runner import run_one

ANSWERS = 256
"""Images whose answers are timed."""
spent = dict.fromkeys(("learn", "rebuild", "answer"), 0.0)


def watch_learning(count: bool) -> None:
    """Let `learn` note its processor time, or the operations of its products, in the last experience.

    The first one's has imports in it that torch puts off until its first step.
    """
    learn = MetaNet.learn

    def watched(self: MetaNet, experience: Any) -> None:
        begun = time.process_time()
        with FlopCounterMode(display=False) if count else nullcontext() as counter:
            learn(self, experience)
        spent["learn"] = (
            counter.get_total_flops() if counter is not None else time.process_time() - begun
        )
        spent["answer"] = 0.0

    MetaNet.learn = watched


def watch_answers() -> None:
    """Let `predict` note what an experience's first answer takes, which builds the memory, and then one of many.

    The images behind these are answered with zeros.
    """
    predict = MetaNet.predict

    def watched(self: MetaNet, x: Any, task: Any) -> Any:
        begun = time.process_time()
        predict(self, x[:1], task)
        built = time.process_time()
        logits = predict(self, x[:ANSWERS], task)
        if not spent["answer"]:
            spent["rebuild"] = built - begun
            spent["answer"] = (time.process_time() - built) / len(logits)
        return torch.cat([logits, logits.new_zeros(len(x) - len(logits), logits.shape[1])])

    MetaNet.predict = watched


def noted(specification: Any, episodes: int) -> dict[str, float]:
    """Return what a run noted."""
    record = run_one(specification)
    if record["status"] != "ok":
        raise SystemExit(record["error"]["traceback"])
    return spent | {"learn": spent["learn"] / episodes}


def main() -> None:
    """Do what the request says."""
    try:
        from clbench.specify import specify
    except ImportError:  # the first version
        from clbench.runner import specify  # type: ignore[attr-defined,no-redef]
    request = json.loads(sys.argv[1])
    count, episodes = request.pop("count"), request["hyper_parameters"]["episodes"]
    known = MetaNet.Parameters.model_fields
    request["hyper_parameters"] = {
        key: value for key, value in request["hyper_parameters"].items() if key in known
    }
    specification, _ = specify(**request)
    torch.set_num_threads(1)
    watch_answers()
    watch_learning(count=False)
    found = noted(specification, episodes)
    if count:
        watch_learning(count=True)
        found["operations"] = noted(specification, episodes)["learn"]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
