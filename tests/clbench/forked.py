"""Commands in processes of their own that need not import torch anew: forks of one that has."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch._dynamo", "clbench.cli", "clbench.sweep", "clbench.runner"])


def exit_code(arguments: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """Return that of ``clbench`` with arguments; negative, the signal that killed it."""
    given = {"ARGUMENTS": list(arguments), "ENVIRONMENT": dict(environment)}
    # By its path: pytest imports the tests without telling `sys.path`, so a fork could not by name.
    process = FORKS.Process(target=runpy.run_path, args=(__file__, given, "__main__"))
    process.start()
    process.join()
    return process.exitcode


if __name__ == "__main__":
    from clbench.cli import main

    os.environ.update(globals()["ENVIRONMENT"])
    sys.exit(main(globals()["ARGUMENTS"]))
