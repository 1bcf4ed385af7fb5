"""What a worker process begins with, where it is a fork: imported for its effect, once for all of them."""

from clbench.importing import import_torch

import_torch()

import torch._dynamo  # noqa: E402, F401 (torch's optimisers ask for it, two seconds at their first step)

import clbench.runner  # noqa: E402
import clbench.sweep  # noqa: E402, F401
