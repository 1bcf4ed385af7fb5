"""MetaNet's time for an episode, of whatever version of clbench is imported; a process of its own for `metanet`.

``python -P episode.py REQUEST`` prints as JSON the seconds of a training episode and of an answer from 200 exemplars;
with ``"count": true`` in the request, the floating-point operations of the matrix products of a training episode.
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

ANSWERS = 50
"""Images that are answered of each chunk: the first version needs 10 ms for one."""
spent = {"learn": 0.0, "predict": 0.0, "answered": 0.0}


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

    MetaNet.learn = watched


def watch_answers() -> None:
    """Let `predict` answer a few images only, the rest with zeros, and add up its processor time."""
    predict = MetaNet.predict

    def watched(self: MetaNet, x: Any, task: Any) -> Any:
        begun = time.process_time()
        logits = predict(self, x[:ANSWERS], task)
        spent["predict"] += time.process_time() - begun
        spent["answered"] += len(logits)
        return torch.cat([logits, logits.new_zeros(len(x) - len(logits), logits.shape[1])])

    MetaNet.predict = watched


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
    watch_learning(count)
    watch_answers()
    torch.set_num_threads(1)
    record = run_one(specification)
    if record["status"] != "ok":
        raise SystemExit(record["error"]["traceback"])
    learn, predict = spent["learn"] / episodes, spent["predict"] / spent["answered"]
    sys.stdout.write(json.dumps({"learn": learn, "predict": predict}))


if __name__ == "__main__":
    main()
